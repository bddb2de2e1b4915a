/**
 * Rows of the event store from records of the kernel: pure, so that a log file read again gives the same rows.
 *
 * A record becomes one row, and a second (`escape`) where something outside the session's tree was asked to run
 * something. `index` is twice the record's number in its file, and one more for the second. Tested in programs.test.ts and evasion.test.ts.
 */
import { constants } from 'node:os';
import type { KernelKind, KernelRow } from '#schemas/kernel.js';
import { KERNEL_BLOCKS } from '#schemas/kernel.js';
import { containerOf } from './container.js';
import { questionOf } from './dns.js';
import { doorOfFile, doorOfSocket } from './escapes.js';
import { endpointsOf, execFactsOf, flags, kinds, pathOf, resolvePath, textOf } from './record.js';
import type { KernelRecord, Text } from './record.js';
import { opNames } from './syscalls.js';
import type { Op } from './syscalls.js';

/** What is known of an executable: its digest, or why there is none. */
export type Digest = { readonly sha256: string } | { readonly missing: string };

export interface RowContext {
  /** The session's id; null: the log does not say (it began in a file that is gone). */
  readonly session: (number: number) => SessionClock | null;
  readonly digest: (record: KernelRecord) => Digest;
}

/** Session time: `offset_ms` at `boot_ns` of CLOCK_BOOTTIME; events came at most `error_ms` later than said. */
export interface SessionClock {
  readonly session: string;
  readonly boot_ns: number;
  readonly offset_ms: number;
  readonly error_ms: number;
}

const LINE = 4096;
const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

interface Row {
  readonly kind: KernelKind;
  readonly path?: string;
  readonly size?: number;
  readonly sha256?: string;
  readonly address?: string;
  readonly port?: number;
  readonly name?: string;
  readonly reason?: string;
  readonly outcome?: string;
  readonly count?: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Appends the rows of one record; none for one that is of no known session. */
export function appendRows(rows: KernelRow[], record: KernelRecord, file: number, ordinal: number, context: RowContext): void {
  const clock = context.session(record.session);
  if (clock === null) return;
  const made = rowOf(record, clock, context);
  if (made === null) return;
  const { repeats } = record;
  const row = repeats === null ? made : { ...made, count: repeats.count, data: { ...made.data, last_ms: offsetOf(clock, repeats.last) } };
  const offset = offsetOf(clock, record.time);
  push(rows, clock.session, file, 2 * ordinal, offset, row);
  const door = doorOf(row);
  if (door !== null) {
    push(rows, clock.session, file, 2 * ordinal + 1, offset, {
      kind: 'escape',
      reason: door,
      outcome: row.outcome ?? '',
      ...(row.path === undefined ? {} : { path: row.path }),
      name: row.name ?? '',
      data: { pid: record.pid },
      ...(repeats === null ? {} : { count: repeats.count }),
    });
  }
}

/** ms of session time, never negative. */
export function offsetOf(clock: SessionClock, time: number): number {
  return Math.max(0, Math.floor(clock.offset_ms + (time - clock.boot_ns) / 1e6));
}

function push(rows: KernelRow[], session: string, file: number, index: number, offset: number, row: Row): void {
  rows.push([
    session,
    KERNEL_BLOCKS + file,
    index,
    offset,
    row.kind,
    bound(row.path),
    row.size ?? null,
    row.sha256 ?? '',
    row.address ?? '',
    row.port ?? null,
    bound(row.name),
    bound(row.reason),
    row.outcome ?? '',
    row.count ?? null,
    JSON.stringify(row.data),
  ]);
}

/** Within the column's bound, without half a character at its end. */
function bound(text: string | undefined): string {
  if (text === undefined) return '';
  return text.length <= LINE ? text : text.slice(0, LINE).replace(/[\ud800-\udbff]$/, '');
}

function rowOf(record: KernelRecord, clock: SessionClock, context: RowContext): Row | null {
  switch (record.kind) {
    case kinds.fork:
      return { kind: 'fork', data: { pid: record.pid, child: record.a, started_ms: offsetOf(clock, record.b) } };
    case kinds.exec:
      return execRow(record, clock, context);
    case kinds.exit:
      return exitRow(record);
    case kinds.file:
      return fileRow(record);
    case kinds.net:
      return netRow(record);
    case kinds.privilege:
      return {
        kind: 'privilege',
        name: opNames.get(record.op) ?? '',
        outcome: outcomeOf(record.result),
        data: { ...who(record), uid: record.a, euid: record.b, gid: record.c, egid: record.d },
      };
    case kinds.system:
      return systemRow(record);
    case kinds.session: {
      const { session: _, ...data } = jsonOf(record.text(0));
      return { kind: 'kernel', name: 'recording', data };
    }
    case kinds.gap: {
      const data = jsonOf(record.text(0));
      return { kind: 'gap', reason: 'kernel_events', name: String(data['why']), count: record.a, data };
    }
    default:
      return null;
  }
}

/** Records of the agent itself hold JSON that it wrote. */
export function jsonOf(bytes: Buffer): Record<string, unknown> {
  try {
    return JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function execRow(record: KernelRecord, clock: SessionClock, context: RowContext): Row | null {
  const facts = execFactsOf(record.text(3));
  if (facts === null) return null;
  const exe = pathOf(record.text(0));
  const bytes = record.text(1);
  const argv = splitArguments(bytes);
  const digest = context.digest(record);
  const unlinked = record.has(flags.unlinked);
  const memory = unlinked && exe.text.startsWith('/memfd:');
  return {
    kind: 'exec',
    path: exe.text,
    name: argv.map(({ text }) => text).join(' '),
    size: facts.size,
    outcome: 'success',
    ...('sha256' in digest ? { sha256: digest.sha256 } : {}),
    data: {
      ...who(record),
      ppid: record.a,
      gid: facts.gid,
      egid: facts.egid,
      argv: argv.map(({ text }) => text),
      ...rawOf('argv', argv.some(({ raw }) => raw !== undefined) ? bytes : undefined),
      ...(facts.argvBytes > bytes.length || record.c > argv.length ? { argv_cut: true, argv_bytes: facts.argvBytes, argc: record.c } : {}),
      cwd: pathOf(record.text(2)).text,
      ...(facts.filename.text === exe.text ? {} : { asked: facts.filename.text }),
      ...rawOf('path', exe.raw),
      started_ms: offsetOf(clock, record.b),
      inode: facts.inode,
      mode: facts.mode,
      mnt_ns: facts.mntNs,
      pid_ns: facts.pidNs,
      ...('missing' in digest ? { sha256_missing: digest.missing } : {}),
      ...(memory ? { memory: true } : unlinked ? { deleted: true } : {}),
      ...(record.has(flags.compat) ? { bits: 32 } : {}),
      ...containerOf(facts.cgroup),
    },
  };
}

/** argv as the kernel has it: texts one after another, each ended by NUL; the last may be cut. */
function splitArguments(bytes: Buffer): Text[] {
  if (bytes.length === 0) return [];
  const whole = textOf(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes);
  if (whole.raw === undefined) return whole.text.split('\0').map((text) => ({ text }));
  const parts: Text[] = [];
  for (let from = 0; from < bytes.length;) {
    const nul = bytes.indexOf(0, from);
    const end = nul < 0 ? bytes.length : nul;
    parts.push(textOf(bytes.subarray(from, end)));
    from = end + 1;
  }
  return parts;
}

function exitRow(record: KernelRecord): Row {
  const status = record.a;
  const signal = status & 0x7f;
  const code = (status >>> 8) & 0xff;
  const data = { pid: record.pid, duration_ms: Math.max(0, Math.round((record.time - record.b) / 1e6)) };
  if (signal === 0) return { kind: 'exit', name: String(code), outcome: code === 0 ? 'success' : 'failure', data: { ...data, code } };
  const name = signalNames.get(signal) ?? `signal ${signal}`;
  return { kind: 'exit', name, outcome: 'failure', data: { ...data, signal: name, ...((status & 0x80) === 0 ? {} : { core: true }) } };
}

const { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_DIRECTORY, O_EXCL } = {
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0o100,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_DIRECTORY: 0o200000,
  O_EXCL: 0o200,
};
/** include/linux/fs.h: this open made the file. */
const FMODE_CREATED = 0x10_0000;
const opens: ReadonlySet<Op> = new Set<Op>(['open', 'openat', 'openat2', 'creat', 'open_by_handle_at']);
const pairs: ReadonlySet<Op> = new Set<Op>(['rename', 'renameat', 'link', 'linkat']);
/** One name for what is the same, with or without a folder's descriptor. */
const shortNames: Partial<Record<Op, string>> = {
  renameat: 'rename',
  unlinkat: 'unlink',
  linkat: 'link',
  symlinkat: 'symlink',
  mkdirat: 'mkdir',
  mknodat: 'mknod',
  fchmod: 'chmod',
  fchmodat: 'chmod',
  fchown: 'chown',
  fchownat: 'chown',
  ftruncate: 'truncate',
};
const AT_REMOVEDIR = 0x200;

function openedFor(asked: number): string {
  let text = (asked & O_RDWR) !== 0 ? 'read,write' : (asked & O_WRONLY) !== 0 ? 'write' : 'read';
  if ((asked & O_CREAT) !== 0) text += ',create';
  if ((asked & O_EXCL) !== 0) text += ',exclusive';
  if ((asked & O_TRUNC) !== 0) text += ',truncate';
  if ((asked & O_APPEND) !== 0) text += ',append';
  if ((asked & O_DIRECTORY) !== 0) text += ',directory';
  return text;
}

function fileRow(record: KernelRecord): Row | null {
  const op = opNames.get(record.op);
  if (op === undefined) return null;
  const first = place(record, 0);
  const outcome = record.has(flags.uring) ? 'submitted' : outcomeOf(record.result);
  const data = noted(record);
  if (first.raw !== undefined) Object.assign(data, rawOf('path', first.raw));
  if (opens.has(op)) {
    const asked = record.a;
    data['flags'] = asked;
    return {
      kind: 'file',
      name: (record.c & FMODE_CREATED) !== 0 ? 'create' : 'open',
      path: first.text,
      reason: openedFor(asked),
      outcome,
      data,
    };
  }
  const name = op === 'unlinkat' && (record.a & AT_REMOVEDIR) !== 0 ? 'rmdir' : (shortNames[op] ?? op);
  if (pairs.has(op)) {
    // The path is where it is afterwards; where it came from is beside it.
    const second = place(record, 2);
    return { kind: 'file', name, path: second.text, outcome, data: { ...data, ...rawOf('path', second.raw), from: first.text } };
  }
  if (op === 'symlink' || op === 'symlinkat')
    return { kind: 'file', name, path: first.text, outcome, data: { ...data, target: textOf(record.text(3)).text } };
  const more =
    name === 'chmod' || name === 'mkdir' || name === 'mknod'
      ? { mode: record.a & 0o7777 }
      : name === 'chown'
        ? { owner: record.a | 0, group: record.b | 0 }
        : {};
  return { kind: 'file', name, path: first.text, outcome, ...(name === 'truncate' ? { size: record.a } : {}), data: { ...data, ...more } };
}

/** The path in texts `i` and `i + 1`: what was reached, or what was asked for in which folder. */
function place(record: KernelRecord, i: 0 | 2): Text {
  const base = pathOf(record.text(i));
  if (record.has(flags.reached) && i === 0) return base;
  const asked = textOf(record.text(i + 1));
  const raw = asked.raw ?? base.raw;
  return { text: resolvePath(base.text, asked.text), ...(raw === undefined ? {} : { raw }) };
}

const socketTypes = new Map([
  [1, 'tcp'],
  [2, 'udp'],
  [3, 'raw'],
]);

function netRow(record: KernelRecord): Row | null {
  const ends = endpointsOf(record.text(0));
  const op = opNames.get(record.op);
  if (ends === null || op === undefined) return null;
  const outcome = outcomeOf(record.result);
  if (ends.family === 1) {
    const asked = record.text(1);
    // A path, up to its NUL; or, behind a NUL, a name that is in no folder.
    const nul = asked[0] === 0 ? -1 : asked.indexOf(0);
    const name = textOf(nul < 0 ? asked : asked.subarray(0, nul));
    const path = name.text.startsWith('\0') ? `@${name.text.slice(1)}` : name.text;
    return { kind: 'connect', name: 'unix', path, outcome, data: noted(record) };
  }
  const name = socketTypes.get(ends.type) ?? `socket type ${ends.type}`;
  const data = { ...noted(record), local_address: ends.local, local_port: ends.localPort };
  const remote = { address: ends.remote, port: ends.remotePort };
  switch (op) {
    case 'connect':
      return { kind: 'connect', name, ...remote, outcome: record.result === -constants.errno.EINPROGRESS ? 'in_progress' : outcome, data };
    case 'tcp_state':
      return { kind: 'connect', name, ...remote, outcome, reason: 'completed', data };
    case 'accept':
      return { kind: 'accept', name, ...remote, outcome, data };
    case 'listen':
      return { kind: 'listen', name, address: ends.local, port: ends.localPort, outcome, data: who(record) };
    default: {
      const question = record.holds(1) ? questionOf(record.text(1)) : null;
      if (question !== null) return { kind: 'dns', name: question.name, reason: question.type, ...remote, outcome, data };
      return { kind: 'send', name, ...remote, size: record.c, outcome, data };
    }
  }
}

const ptraceRequests = new Map([
  [0, 'traceme'],
  [4, 'poketext'],
  [5, 'pokedata'],
  [16, 'attach'],
  [0x4206, 'seize'],
]);
const bpfCommands = new Map([
  [5, 'prog_load'],
  [8, 'prog_attach'],
  [9, 'prog_detach'],
  [17, 'raw_tracepoint_open'],
  [28, 'link_create'],
]);

function systemRow(record: KernelRecord): Row | null {
  const op = opNames.get(record.op);
  if (op === undefined) return null;
  const outcome = outcomeOf(record.result);
  const base = { kind: 'system', name: op, outcome } as const;
  const data = noted(record);
  const named = (): string => textOf(record.text(1)).text;
  switch (op) {
    case 'ptrace':
      return { ...base, reason: ptraceRequests.get(record.a) ?? String(record.a), data: { ...data, target: record.b } };
    case 'process_vm_writev':
      return { ...base, data: { ...data, target: record.a } };
    case 'mount':
      return {
        ...base,
        path: place(record, 0).text,
        reason: textOf(record.text(3)).text,
        data: { ...data, source: textOf(record.text(2)).text, flags: record.a },
      };
    case 'umount':
    case 'chroot':
      return { ...base, path: place(record, 0).text, data };
    case 'pivot_root':
      return { ...base, path: place(record, 0).text, data: { ...data, put_old: place(record, 2).text } };
    case 'move_mount':
      return { ...base, path: place(record, 2).text, data: { ...data, from: place(record, 0).text } };
    case 'setns':
    case 'finit_module':
      return { ...base, path: pathOf(record.text(0)).text, data: { ...data, flags: record.b } };
    case 'memfd_create':
    case 'delete_module':
    case 'module':
      return { ...base, reason: named(), data };
    case 'bpf':
      return { ...base, reason: bpfCommands.get(record.a) ?? String(record.a), data };
    case 'unshare':
      return { ...base, data: { ...data, flags: record.a } };
    default:
      return { ...base, data };
  }
}

function outcomeOf(result: number): string {
  if (result >= 0) return 'success';
  return errnoNames.get(-result) ?? `errno ${-result}`;
}

type Data = Record<string, unknown>;

/** Built up without copies: this is done for each event. */
function who(record: KernelRecord): Data {
  const { pid, tid, uid, euid } = record;
  const data: Data = { pid };
  if (tid !== pid) data['tid'] = tid;
  data['uid'] = uid;
  if (euid !== uid) data['euid'] = euid;
  return data;
}

/** `who` with what is to be said of the record itself. */
function noted(record: KernelRecord): Data {
  const data = who(record);
  const { flags: set } = record;
  if ((set & flags.cut) !== 0) data['cut'] = true;
  if ((set & flags.uring) !== 0) data['io_uring'] = true;
  if ((set & flags.unreadable) !== 0) data['unreadable'] = true;
  if ((set & flags.compat) !== 0) data['bits'] = 32;
  return data;
}

/** Bytes that were no UTF-8, exactly. */
function rawOf(what: string, raw: Buffer | undefined): Record<string, unknown> {
  return raw === undefined ? {} : { [`${what}_base64`]: raw.toString('base64') };
}

function doorOf(row: Row): string | null {
  if (row.kind === 'connect' && row.path !== undefined) return doorOfSocket(row.path);
  if (row.kind !== 'file' || row.path === undefined) return null;
  const writes = row.name !== 'open' || /write|create/.test(row.reason ?? '');
  return writes ? doorOfFile(row.path) : null;
}
