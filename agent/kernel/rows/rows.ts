/**
 * Converts kernel records to rows of the event store. Pure, so a log file read again gives the same rows.
 *
 * A record becomes one row, plus a second (`escape`) if something outside the session's process tree was asked to run
 * something. `index` is twice the record's number in its file, and one more for the second.
 *
 * Whatever a record contains, its rows are acceptable to ingest: values that do not fit a column are cut, or moved into
 * `data`; this happens only here. Tested in rows.test.ts, ../probes/programs.test.ts and ../probes/evasion.test.ts.
 */
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { KERNEL_BLOCKS, LAST_ROW } from '#schemas/kernel/kernel.js';
import type { EventsWay, KernelGapReason } from '#schemas/kernel/orders.js';
import { CONTENT_ROW, configurationOf } from '#schemas/kernel/configuration.js';
import { matterOf } from '#schemas/kernel/matters.js';
import { containerOf } from './container.js';
import { containerPlace, inContainer, wayOut } from './container-place.js';
import type { ContainerPlace } from './container-place.js';
import { routeOf } from './escapes.js';
import { fileRow } from './file-row.js';
import { netRow } from './net-row.js';
import { execFactsOf, flags, kinds, pathOf } from '../records/record.js';
import type { KernelRecord } from '../records/record.js';
import { aboveOf, rawOf, reasonOf, signalNames, splitArguments, unknownRow, who } from './row-facts.js';
import type { Row } from './row-facts.js';
import { privilegeRow, systemRow } from './system-row.js';

/** An executable's digest, or why there is none. */
export type Digest = { readonly sha256: string } | { readonly missing: string };

export interface RowContext {
  /** The session; null if the log does not name it (it began in a file that has been removed). */
  readonly session: (number: number) => SessionClock | null;
  readonly digest: (record: KernelRecord) => Digest;
  /** Whether a process belongs to the session with this number, as far as the log tells. */
  readonly inSession: (number: number, pid: number) => boolean;
}

/** A session's identity as recorded in the log. */
export interface NamedSession extends SessionClock {
  /** To the gateway that signs its rows; null: they go to ingest. */
  readonly way: EventsWay | null;
}

/**
 * Session time: `offset_ms` corresponds to `boot_ns` of CLOCK_BOOTTIME; events happened at most `error_ms` later than
 * stated.
 */
export interface SessionClock {
  readonly session: string;
  readonly boot_ns: number;
  readonly offset_ms: number;
  readonly error_ms: number;
  /** For a command in a container. */
  readonly container?: ContainerPlace;
}

const LINE = 4096;
const NAME = 255;
/**
 * Bytes of `data`: even escaped once more, and with the other columns, the longest row leaves room for others in a batch.
 */
export const MAX_DATA = 240_000;

/** Appends the rows of one record; none if its session is unknown. */
export function appendRows(rows: KernelRow[], record: KernelRecord, file: number, ordinal: number, context: RowContext): void {
  const clock = context.session(record.session);
  if (clock === null) return;
  const plain = rowOf(record, clock, context);
  if (plain === null) return;
  const { container } = clock;
  const made = marked(container === undefined ? plain : inContainer(plain, container));
  const { repeats } = record;
  const row = repeats === null ? made : { ...made, count: repeats.count, data: { ...made.data, last_ms: offsetOf(clock, repeats.last) } };
  const offset = offsetOf(clock, record.time);
  push(rows, clock.session, file, 2 * ordinal, offset, row);
  const isOwn = (pid: number): boolean => context.inSession(record.session, pid);
  const route = (container === undefined ? null : wayOut(row, container, isOwn)) ?? routeOf(row, isOwn);
  if (route !== null) {
    push(rows, clock.session, file, 2 * ordinal + 1, offset, {
      kind: 'escape',
      reason: route,
      outcome: row.outcome ?? '',
      ...(row.path === undefined ? {} : { path: row.path }),
      name: row.name ?? '',
      data: { pid: record.pid },
      ...(repeats === null ? {} : { count: repeats.count }),
    });
  }
}

/** Marks the opening of a file that matters to investigators, so that the event store shows it by default. */
function marked(row: Row): Row {
  const matter =
    row.kind === 'file' && row.path !== undefined && (row.name === 'open' || row.name === 'create') ? matterOf(row.path) : null;
  return matter === null ? row : { ...row, data: { ...row.data, matters: matter } };
}

/** A gap in place of missing events of `clock`'s session, between `first` and `last` of CLOCK_BOOTTIME. */
export function appendGap(
  rows: KernelRow[],
  clock: SessionClock,
  file: number,
  index: number,
  gap: { readonly why: KernelGapReason; readonly count: number; readonly first: number; readonly last: number },
): void {
  const data = { state: 'gap', why: gap.why, count: gap.count, first_ms: offsetOf(clock, gap.first), last_ms: offsetOf(clock, gap.last) };
  push(rows, clock.session, file, index, data.last_ms, { kind: 'gap', reason: 'kernel_events', name: gap.why, count: gap.count, data });
}

/** ms of session time, within the column's range. */
export function offsetOf(clock: SessionClock, time: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.floor(clock.offset_ms + (time - clock.boot_ns) / 1e6)));
}

function push(rows: KernelRow[], session: string, file: number, index: number, offset: number, row: Row): void {
  rows.push([
    session,
    KERNEL_BLOCKS + file,
    index,
    offset,
    row.kind,
    bound(row.path),
    countOf(row.size),
    row.sha256 ?? '',
    bound(row.address, NAME),
    row.port ?? null,
    bound(row.name),
    bound(row.reason),
    bound(row.outcome, NAME),
    countOf(row.count),
    dataOf(row.data),
  ]);
}

/** Cuts to the column's limit, without half a character at the end. */
function bound(text: string | undefined, most = LINE): string {
  if (text === undefined) return '';
  return text.length <= most ? text : text.slice(0, most).replace(/[\ud800-\udbff]$/, '');
}

/** A value for a count column; null for anything else. */
function countOf(value: number | undefined): number | null {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

const fits = (text: string): boolean => 3 * text.length <= MAX_DATA || Buffer.byteLength(text) <= MAX_DATA;

/**
 * The JSON of `data`. Control characters take six times their size: if the JSON is too long, lists of texts are cut first,
 * since their exact bytes may be recorded too, then every text, and `truncated` says so.
 */
function dataOf(data: Readonly<Record<string, unknown>>): string {
  const whole = JSON.stringify(data);
  if (fits(whole)) return whole;
  for (let most = 16_384, texts = false; ; texts = true) {
    const cut = JSON.stringify({
      ...Object.fromEntries(Object.entries(data).map(([key, value]) => [key, shortened(value, most, texts)])),
      truncated: true,
    });
    if (fits(cut)) return cut;
    if (texts) most >>= 1;
  }
}

function shortened(value: unknown, most: number, texts: boolean): unknown {
  if (typeof value === 'string') return texts ? bound(value, most) : value;
  if (!Array.isArray(value)) return value;
  const kept: unknown[] = [];
  let left = most;
  for (const part of value) {
    const { length } = String(part);
    if (length > left) {
      kept.push(bound(String(part), left));
      break;
    }
    kept.push(part);
    // Two quotes and a comma.
    left -= length + 3;
    if (left <= 0) break;
  }
  return kept;
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
      return privilegeRow(record);
    case kinds.system:
      return systemRow(record);
    case kinds.session: {
      const { session: _, way: _way, container, ...data } = jsonOf(record.text(0));
      const place = containerPlace.safeParse(container);
      const { id, namespace, pod } = place.data ?? {};
      return { kind: 'kernel', name: 'recording', data: place.success ? { ...data, container: id, namespace, pod_name: pod } : data };
    }
    case kinds.gap: {
      const data = jsonOf(record.text(0));
      return { kind: 'gap', reason: 'kernel_events', name: String(data['why'] ?? ''), count: record.a, data };
    }
    case kinds.end:
      return { kind: 'kernel', name: LAST_ROW, data: {} };
    case kinds.digest: {
      const { pid, path, sha256, of, unconfirmed: doubtful } = jsonOf(record.text(0));
      if (typeof path !== 'string' || typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return null;
      return {
        kind: 'file',
        name: 'digest',
        path,
        sha256,
        outcome: 'success',
        data: { pid, of, ...(doubtful === true ? { sha256_unconfirmed: true } : {}) },
      };
    }
    case kinds.content:
      return contentRow(jsonOf(record.text(0)));
    default:
      return unknownRow(record);
  }
}

/** Configuration after a change (../collecting/contents.ts). */
function contentRow({ pid, path, sha256, size, missing, before, before_ms: at }: Readonly<Record<string, unknown>>): Row | null {
  if (typeof path !== 'string') return null;
  const isHash = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
  const data = {
    pid,
    configuration: configurationOf(path),
    ...(isHash(before) ? { before, before_ms: at } : {}),
    ...(isHash(sha256) ? {} : { sha256_missing: missing }),
  };
  return {
    ...{ kind: 'file', name: CONTENT_ROW, path, outcome: 'success', data },
    ...(isHash(sha256) ? { sha256 } : {}),
    ...(typeof size === 'number' ? { size } : {}),
  };
}

/** Records of the agent itself contain JSON that it wrote. */
export function jsonOf(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** FUSE_SUPER_MAGIC */
const FUSE_MAGIC = 0x65735546;

/** Whether an executable is on a FUSE file system. */
export function isServedByProgram(record: KernelRecord): boolean {
  return execFactsOf(record.text(3))?.magic === FUSE_MAGIC;
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
    ...reasonOf(...aboveOf(exe), ...(facts.magic === FUSE_MAGIC ? ['served by a program'] : [])),
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
      // A FUSE file system is a program, which may give the digest bytes other than those executed.
      ...(facts.magic === FUSE_MAGIC ? { filesystem: 'fuse', ...('sha256' in digest ? { sha256_unconfirmed: true } : {}) } : {}),
      ...(memory ? { memory: true } : unlinked ? { deleted: true } : {}),
      ...(record.has(flags.compat) ? { bits: 32 } : {}),
      ...containerOf(facts.cgroup),
    },
  };
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
