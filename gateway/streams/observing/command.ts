/**
 * Words of an exec command line, as far as they are certain without being the shell that runs it.
 *
 * Quoting is that of POSIX sh, 2.2. What only the shell can know (variables, globs, `~`) stays in the word as it
 * was written; anything that makes more than one simple command of it (`;`, `|`, `&`, redirections, command
 * substitution, newlines) makes the answer `null`. An aid, not a boundary. Tested in command.test.ts.
 */

/** Longest command line that is looked at, in UTF-16 units: more does not fit into a packet of SSH. */
const MAX_COMMAND = 256 * 1024;

export interface CommandWords {
  /** Last component of the program's path. */
  readonly program: string;
  readonly args: readonly string[];
  /**
   * Whether the line as it is spelled runs the program of that name where the system has it: no variables are set, which
   * might name another (PATH, LD_PRELOAD); no folder of the user's is named; no wrapper has an option that might run
   * something else (`exec -a scp bash`). What the account's own files make of the name (an alias, a function) is not known.
   */
  readonly plain: boolean;
}

/** Programs that run another one with the same standard streams: options that take a word, and those that a plain line may have. */
const wrappers: Readonly<Record<string, { readonly valued: readonly string[]; readonly plain: readonly string[] }>> = {
  sudo: { valued: ['-u', '-g', '-C', '-D', '-h', '-p', '-r', '-t', '-T', '-U'], plain: ['-u', '-g', '-n', '-H'] },
  doas: { valued: ['-u', '-C'], plain: ['-u', '-n'] },
  nice: { valued: ['-n'], plain: ['-n'] },
  ionice: { valued: ['-c', '-n'], plain: ['-c', '-n'] },
  env: { valued: ['-u', '-C'], plain: [] },
  exec: { valued: [], plain: [] },
  command: { valued: [], plain: [] },
};

/** Where distributions put the programs that are followed, and sftp-server. Only root writes there. */
const systemFolders: ReadonlySet<string> = new Set([
  '/bin',
  '/sbin',
  '/usr/bin',
  '/usr/sbin',
  '/usr/local/bin',
  '/usr/lib/openssh',
  '/usr/libexec',
  '/usr/libexec/openssh',
  '/usr/lib/ssh',
  '/usr/lib/git-core',
  '/usr/libexec/git-core',
]);

export function parseCommand(line: string): CommandWords | null {
  const words = shellWords(line);
  if (words === null) return null;
  let at = 0;
  let plain = true;
  for (;;) {
    for (; at < words.length && /^[A-Za-z_][A-Za-z0-9_]*=/.test(words[at]!); at++) plain = false;
    const word = words[at] ?? '';
    const program = baseName(word);
    if (program === '') return null;
    plain &&= word === program || systemFolders.has(word.slice(0, -program.length - 1));
    if (program === 'git' && /^(upload-pack|receive-pack|upload-archive)$/.test(words[at + 1] ?? '')) {
      return { program: `git-${words[at + 1]}`, args: words.slice(at + 2), plain };
    }
    const wrapper = Object.hasOwn(wrappers, program) ? wrappers[program]! : null;
    if (wrapper === null) return { program, args: words.slice(at + 1), plain };
    at++;
    while (at < words.length && words[at]!.startsWith('-')) {
      const option = words[at++]!;
      plain &&= wrapper.plain.includes(option);
      if (option === '--') break;
      if (wrapper.valued.includes(option)) at++;
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
