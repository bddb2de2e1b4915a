/**
 * Words of an exec command line, as far as they are certain without being the shell that runs it.
 *
 * Quoting is that of POSIX sh, 2.2. What only the shell can know (variables, globs, `~`) stays in the word as it
 * was written; anything that makes more than one simple command of it (`;`, `|`, `&`, redirections, command
 * substitution, newlines) makes the answer `null`. An aid, not a boundary. Tested in command.test.ts.
 */

/** Longest command line that is looked at, in UTF-16 units: more is what no client of these protocols sends. */
const MAX_COMMAND = 65_536;

export interface CommandWords {
  /** Last component of the program's path. */
  readonly program: string;
  readonly args: readonly string[];
}

/** Programs that run another one with the same standard streams, and those of their options that take a word. */
const wrappers: Readonly<Record<string, readonly string[]>> = {
  sudo: ['-u', '-g', '-C', '-D', '-h', '-p', '-r', '-t', '-T', '-U'],
  doas: ['-u', '-C'],
  nice: ['-n'],
  ionice: ['-c', '-n'],
  env: ['-u', '-C'],
  exec: [],
  command: [],
};

export function parseCommand(line: string): CommandWords | null {
  const words = shellWords(line);
  if (words === null) return null;
  let at = 0;
  for (;;) {
    while (at < words.length && /^[A-Za-z_][A-Za-z0-9_]*=/.test(words[at]!)) at++;
    const program = baseName(words[at] ?? '');
    if (program === '') return null;
    if (program === 'git' && /^(upload-pack|receive-pack|upload-archive)$/.test(words[at + 1] ?? '')) {
      return { program: `git-${words[at + 1]}`, args: words.slice(at + 2) };
    }
    const valued = Object.hasOwn(wrappers, program) ? wrappers[program]! : null;
    if (valued === null) return { program, args: words.slice(at + 1) };
    at++;
    while (at < words.length && words[at]!.startsWith('-')) {
      const option = words[at++]!;
      if (option === '--') break;
      if (valued.includes(option)) at++;
    }
  }
}

/** Splits into words with quotes removed, or `null` if it is not surely one simple command. */
export function shellWords(line: string): string[] | null {
  if (line.length > MAX_COMMAND) return null;
  const words: string[] = [];
  let word: string | null = null;
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    switch (c) {
      case ' ':
      case '\t':
        if (word !== null) words.push(word);
        word = null;
        break;
      case "'": {
        const close = line.indexOf("'", i + 1);
        if (close < 0) return null;
        word = (word ?? '') + line.slice(i + 1, close);
        i = close;
        break;
      }
      case '"': {
        let text = '';
        for (i++; line[i] !== '"'; i++) {
          if (i >= line.length || line[i] === '`' || (line[i] === '$' && line[i + 1] === '(')) return null;
          if (line[i] === '\\' && /["\\$`\n]/.test(line[i + 1] ?? '')) i++;
          text += line[i];
        }
        word = (word ?? '') + text;
        break;
      }
      case '\\':
        if (++i >= line.length) return null;
        word = (word ?? '') + line[i]!;
        break;
      case ';':
      case '|':
      case '&':
      case '<':
      case '>':
      case '(':
      case ')':
      case '`':
      case '\n':
      case '\r':
      case '\0':
        return null;
      case '$':
        if (line[i + 1] === '(') return null;
        word = (word ?? '') + c;
        break;
      case '#':
        if (word === null) return words;
        word += c;
        break;
      default:
        word = (word ?? '') + c;
    }
  }
  if (word !== null) words.push(word);
  return words;
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
