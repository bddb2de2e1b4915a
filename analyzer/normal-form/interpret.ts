/**
 * Determines the programs that a command line would start, without running it: pipelines, wrappers (`sudo`, `find -exec`), scripts
 * inside scripts (`sh -c`, `eval`, `$(…)`, here-documents to a shell) and scripts that are decoded on the way (`echo … | base64 -d |
 * sh`).
 *
 * An aid, not a boundary: anything that depends on files, the environment or the network is unknown here. Tested in interpret.test.ts.
 */
import { printed, revealed } from './decoding.js';
import { ShellReader, limits } from './shell-words.js';
import type { Command, Joint, Redirect } from './shell-words.js';
import { wrapped } from './wrappers.js';

export interface Execution {
  readonly argv: readonly string[];
  /** The last part of the program's path. */
  readonly program: string;
  readonly joint: Joint;
  readonly assignments: readonly (readonly [string, string])[];
  readonly redirects: readonly Redirect[];
  /** Index in the list of the program that starts this one; -1: the shell that reads the line. */
  readonly parent: number;
  /** Whether the command was obscured: by quoting inside a word, variables, or an encoding. */
  readonly hidden: boolean;
  /** Hidden code of an interpreter: decoded texts in its code, or its known input. */
  readonly revealed: readonly string[];
}

export const shells: ReadonlySet<string> = new Set([
  'sh',
  'bash',
  'dash',
  'zsh',
  'ksh',
  'mksh',
  'ash',
  'rbash',
  'fish',
  'csh',
  'tcsh',
  'pdksh',
  'yash',
]);
const interpreter =
  /^(?:python[\d.]*|pypy\d*|perl[\d.]*|ruby[\d.]*|php[\d.]*|node|nodejs|lua[\d.]*|luajit|tclsh[\d.]*|[gmn]?awk|Rscript|groovy|jrunscript|deno|bun|julia|osascript)$/;

export function basename(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function isInterpreter(program: string): boolean {
  return interpreter.test(program);
}

class Interpretation {
  readonly executions: Execution[] = [];
  readonly #variables = new Map<string, string>([
    ['HOME', '~'],
    ['PWD', '.'],
    ['SHELL', '/bin/bash'],
  ]);

  /** The output of the script, if it can be determined. */
  script(text: string, parent: number, depth: number, hidden: boolean): string | undefined {
    if (depth > limits.depth) return undefined;
    const substitute = (inner: string): string | undefined => this.#silently(inner, depth + 1);
    const { commands } = new ShellReader(text, this.#variables, substitute);
    let output: string | undefined;
    const printedAll: (string | undefined)[] = [];
    for (const [i, command] of commands.entries()) {
      output = this.#command(command, command.joint === 'pipe' ? output : undefined, parent, depth, hidden || isHidden(command, text));
      if (commands[i + 1]?.joint !== 'pipe') printedAll.push(output);
    }
    return printedAll.includes(undefined) ? undefined : printedAll.join('\n');
  }

  /** The value of `$(…)`: nothing is listed here, because `script` lists the inner commands when it reaches the command. */
  #silently(text: string, depth: number): string | undefined {
    const length = this.executions.length;
    const value = this.script(text, -1, depth, true);
    this.executions.length = length;
    return value === undefined ? undefined : Buffer.from(value, 'latin1').toString('utf8');
  }

  #command(command: Command, piped: string | undefined, parent: number, depth: number, hidden: boolean): string | undefined {
    for (const inner of command.inner) this.script(inner, parent, depth + 1, hidden);
    const here = command.redirects.find(({ operator }) => operator === '<<<' || operator === '<<');
    return this.#run(command.words, command, here?.target ?? piped, parent, depth, hidden);
  }

  #run(
    argv: readonly string[],
    command: Command,
    input: string | undefined,
    parent: number,
    depth: number,
    hidden: boolean,
  ): string | undefined {
    if (this.executions.length >= limits.commands) return undefined;
    const escape = /^:?!+(?=[\w/])/.exec(argv[0] ?? '');
    // Shell escapes of an editor or a pager: `!sh`, `:!sh`.
    if (escape !== null) {
      const from = parent < 0 ? this.executions.length - 1 : parent;
      return this.#run([argv[0]!.slice(escape[0].length), ...argv.slice(1)], command, input, from, depth, hidden);
    }
    const program = basename(argv[0] ?? '');
    const code = isInterpreter(program) ? [...argv.slice(1), ...(input === undefined ? [] : [input])].join(' ') : '';
    const texts = code === '' ? [] : [...(input === undefined ? [] : [input]), ...revealed(code)];
    const { joint, assignments, redirects } = command;
    const self = this.executions.push({ argv, program, joint, assignments, redirects, parent, hidden, revealed: texts }) - 1;
    if (argv.length === 0) return '';
    const script = scriptOf(program, argv, input);
    if (script !== undefined) {
      this.script(Buffer.from(script.text, script.isBytes ? 'latin1' : 'utf8').toString('utf8'), self, depth + 1, hidden || script.isBytes);
      return undefined;
    }
    const inner = depth > limits.depth ? null : wrapped(program, argv);
    if (inner !== null)
      return this.#run(inner, { ...command, joint: 'next', assignments: [], redirects: [] }, input, self, depth + 1, hidden);
    return printed(program, argv.slice(1), input);
  }
}

/** The script that a shell, or `eval`, is given to run. */
function scriptOf(
  program: string,
  argv: readonly string[],
  input: string | undefined,
): { readonly text: string; readonly isBytes: boolean } | undefined {
  if (program === 'eval') return { text: argv.slice(1).join(' '), isBytes: false };
  const takesScript = shells.has(program) || program === 'su' || program === 'runuser' || program === 'script' || program === 'watch';
  if (takesScript) {
    const at = argv.findIndex((word, i) => i > 0 && /^(?:-[a-zA-Z]*c|--command)$/.test(word));
    if (at > 0 && argv[at + 1] !== undefined) return { text: argv[at + 1]!, isBytes: false };
    const option = argv.find((word) => word.startsWith('--command='));
    if (option !== undefined) return { text: option.slice('--command='.length), isBytes: false };
  }
  const readsInput = shells.has(program) && argv.slice(1).every((word) => word.startsWith('-') || word === '/dev/stdin');
  const sources = (program === '.' || program === 'source') && argv[1] === '/dev/stdin';
  return (readsInput || sources) && input !== undefined ? { text: input, isBytes: true } : undefined;
}

/** Whether the program's name does not occur in one piece in the text. */
function isHidden({ words }: Command, text: string): boolean {
  const [first] = words;
  return first !== undefined && /^[\w./-]{2,}$/.test(first) && !text.includes(first);
}

/** Never throws. Outermost programs first, each before the programs that it starts. */
export function interpret(line: string): readonly Execution[] {
  const interpretation = new Interpretation();
  interpretation.script(line, -1, 0, false);
  return interpretation.executions;
}

/** For the argv of a started program: the kernel reports it without quotes, so it is not parsed as shell input. */
export function interpretArguments(argv: readonly string[]): readonly Execution[] {
  return interpret(argv.map(quoted).join(' '));
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
