/**
 * The rows that the kernel would report for a command line: the programs that it starts, the files that it names, the connections that
 * it opens. With them, every rule about programs and files also decides about lines that were typed or ordered where no kernel was
 * watched, about commands built into the shell (`history -c`), and about scripts that are decoded on the way.
 *
 * Programs without a path are assumed to be in `/usr/bin`; shell builtins are in `builtin/`, where no program is. Tested in
 * line-rows.test.ts.
 */
import type { EventRow } from '#schemas/events/rows.js';
import { basename, interpret } from '../normal-form/interpret.js';
import type { Execution } from '../normal-form/interpret.js';
import type { Program } from '../predicate/field.js';

export interface LineRow {
  readonly row: EventRow;
  /** The same answer as from `ProcessTable`. */
  readonly other: Program | null;
}

const builtins = new Set(
  'alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown enable eval exec exit export fc fg getopts hash help history jobs let local logout mapfile popd pushd read readarray readonly return set shift shopt source . suspend times trap type typeset ulimit umask unalias unset wait zmodload ztcp setopt unsetopt for case select function'.split(
    ' ',
  ),
);
const removers = /^(?:rm|unlink|shred|rmdir|srm|wipe)$/;
const changers = /^(?:chmod|chown|chgrp|chattr|setfacl|setfattr|truncate|touch)$/;
const writers = /^(?:cp|mv|install|ln|rsync|scp|dd|tee|sponge|mknod|mkfifo|mkdir)$/;
const MAX_PATHS = 64;

/** `base`: whose line it is and when; its kind and facts are replaced. */
export function rowsOfLine(line: string, base: EventRow): readonly LineRow[] {
  const executions = interpret(line);
  const home = base.login === 'root' || base.login === '' ? '/root' : `/home/${base.login}`;
  let folder = home;
  const absolute = (path: string): string => {
    if (path.startsWith('/')) return path;
    if (path === '~' || path.startsWith('~/')) return home + path.slice(1);
    return `${folder}/${path.replace(/^\.\//, '')}`;
  };
  const rows: LineRow[] = [];
  const programs = executions.map(programOf);
  for (const [i, execution] of executions.entries()) {
    const self = programs[i]!;
    const other = execution.parent < 0 ? null : (programs[execution.parent] ?? null);
    if (execution.argv.length > 0) rows.push({ row: execRow(base, execution, self), other });
    if (execution.program === 'cd' && execution.argv[1] !== undefined) folder = absolute(execution.argv[1]).replace(/\/+$/, '');
    for (const { path, name, reason } of filesOf(execution))
      rows.push({ row: { ...base, kind: 'file', path: absolute(path).slice(0, 4_096), name, reason, outcome: 'success' }, other: self });
    for (const { target } of execution.redirects) {
      const [, protocol, address, port] = /^\/dev\/(tcp|udp)\/([^/]+)\/(\d{1,5})$/.exec(target) ?? [];
      if (protocol === undefined) continue;
      const isPort = Number(port) <= 65_535;
      rows.push({ row: { ...base, kind: 'connect', name: protocol, address: address!, port: isPort ? Number(port) : null }, other: self });
    }
  }
  return rows;
}

function programOf({ argv, program, revealed }: Execution): Program {
  const [first = ''] = argv;
  const path = first.includes('/') ? first.replace(/^\.\//, '/') : builtins.has(program) ? `builtin/${program}` : `/usr/bin/${program}`;
  return { path: path.slice(0, 4_096), command: [...argv, ...revealed.map((text) => `#= ${text}`)].join(' ').slice(0, 4_096) };
}

function execRow(base: EventRow, { argv }: Execution, { path, command }: Program): EventRow {
  return { ...base, kind: 'exec', path, name: command, outcome: 'success', data: JSON.stringify({ argv }).slice(0, 262_144) };
}

interface NamedFile {
  readonly path: string;
  readonly name: string;
  readonly reason: string;
}

const isPath = (word: string): boolean =>
  /^(?:~?\/|\.{1,2}\/)[^\s]*$/.test(word) && !word.startsWith('//') && !word.startsWith('/dev/tcp/');

function filesOf({ argv, program, redirects }: Execution): readonly NamedFile[] {
  const files: NamedFile[] = [];
  const add = (path: string, name: string, reason: string): void => {
    if (path !== '' && path.length < 4_096 && files.length < MAX_PATHS) files.push({ path, name, reason });
  };
  for (const { operator, target } of redirects) {
    if (
      operator === '<<' ||
      operator === '<<<' ||
      /^[\d-]*$/.test(target) ||
      target.startsWith('/dev/tcp/') ||
      target.startsWith('/dev/udp/')
    )
      continue;
    if (operator === '<' || operator === '<&') add(target, 'open', 'read');
    else add(target, operator.includes('>>') ? 'open' : 'create', operator.includes('>>') ? 'write,append' : 'write,create,truncate');
  }
  if (builtins.has(program) && program !== '.' && program !== 'source') return files;
  const edits = /^(?:sed|perl|ruby)$/.test(program) && argv.some((word) => /^-[a-zA-Z]*i/.test(word) || word.startsWith('--in-place'));
  const named = argv.slice(1).flatMap((word) => [word, ...pathsInside(word)]);
  const operands = named.filter((word) => isPath(word) || (writers.test(program) && !word.startsWith('-') && /^[\w.~/-]+$/.test(word)));
  for (const [i, word] of operands.entries()) {
    const isLast = i === operands.length - 1;
    if (removers.test(program)) add(word, 'unlink', '');
    else if (changers.test(program)) add(word, program.startsWith('ch') ? program : 'utimes', '');
    else if (edits) add(word, 'create', 'write,create');
    else if (writers.test(program)) {
      const writes = (program === 'dd' ? argv.includes(`of=${word}`) : isLast) || /^(?:tee|sponge|mk\w+)$/.test(program);
      const last = argv.some((one) => /^(?:-[a-z]*t|--target-directory)$/.test(one)) ? '' : (operands[0] ?? '');
      if (!writes) add(word, 'open', 'read');
      else if (program === 'tee' && argv.includes('-a')) add(word, 'open', 'write,append');
      else
        add(
          word.endsWith('/') && last !== '' && last !== word ? word + basename(last) : word,
          program === 'ln' ? 'symlink' : 'create',
          'write,create,truncate',
        );
    } else if (isOutput(program, argv, word)) add(word, 'create', 'write,create,truncate');
    else add(word, 'open', 'read');
  }
  return files;
}

/** `--file=/x`, `@/x`, `if=/x`, and paths in the code of an interpreter. */
function pathsInside(word: string): readonly string[] {
  const [, value] = /^(?:--?[\w-]+=|@|if=|of=|file:\/\/|\w+=@)(~?\/[^\s]*)$/.exec(word) ?? [];
  if (value !== undefined) return [value];
  if (!/[\s('"]/.test(word)) return [];
  return [...word.matchAll(/['"(\s<>](~?\/(?:etc|root|home|proc|var|tmp|dev|usr|opt|boot|lib)\/[\w./-]+)/g)]
    .map(([, path]) => path!)
    .slice(0, 8);
}

function isOutput(program: string, argv: readonly string[], word: string): boolean {
  const before = argv[argv.indexOf(word) - 1] ?? '';
  if (
    /^(?:curl|wget|gcc|cc|g\+\+|ld|as|sort|openssl|nmap|aria2c|strace|go)$/.test(program) &&
    /^(?:-[a-zA-Z]*[oO]|--output.*|-out|-oN|-oG|-P)$/.test(before)
  )
    return true;
  return argv.some((one) => one === `--output=${word}` || one === `-o${word}` || one === `of=${word}`);
}
