/**
 * Splits an exec command line into words, as far as that is possible without being the shell that runs it.
 *
 * Quoting follows POSIX sh, 2.2. Text that only the shell can expand (variables, globs, `~`) stays in the word as
 * written; a line that is not exactly one simple command (`;`, `|`, `&`, redirections, command substitution,
 * newlines) gives `null`. An aid, not a boundary. Tested in command.test.ts.
 */

/** Longest command line that is parsed, in UTF-16 units: a longer one does not fit into an SSH packet. */
const MAX_COMMAND = 256 * 1024;

export interface CommandWords {
  /** Last component of the program's path. */
  readonly program: string;
  readonly args: readonly string[];
  /**
   * Whether the line as written runs the system's program of that name: it sets no variables that might select another
   * (PATH, LD_PRELOAD), names no folder of the user, and gives no wrapper an option that might run something else
   * (`exec -a scp bash`). An alias or a function of that name in the account's own files cannot be known.
   */
  readonly plain: boolean;
}

/** Programs that run another one with the same standard streams: `valued` options take a word, `plain` options may occur in a plain line. */
const wrappers: Readonly<Record<string, { readonly valued: readonly string[]; readonly plain: readonly string[] }>> = {
  sudo: { valued: ['-u', '-g', '-C', '-D', '-h', '-p', '-r', '-t', '-T', '-U'], plain: ['-u', '-g', '-n', '-H'] },
  doas: { valued: ['-u', '-C'], plain: ['-u', '-n'] },
  nice: { valued: ['-n'], plain: ['-n'] },
  ionice: { valued: ['-c', '-n'], plain: ['-c', '-n'] },
  env: { valued: ['-u', '-C'], plain: [] },
  exec: { valued: [], plain: [] },
  command: { valued: [], plain: [] },
};

/** Folders where distributions install the followed programs and sftp-server. Only root can write there. */
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

/** Splits a line into words and removes quotes; `null` if the line is not certainly one simple command. */
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
