/**
 * Derives rows of the event store from a recording's lines: events, and the row of the session.
 *
 * Pure functions of the lines, so rows can be recomputed. The recorder is authenticated but not trusted with the store:
 * every text is made well-formed and cut to the limit of its column, and every number is checked. Tested in
 * event-rows.test.ts.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow, SessionRow } from '#schemas/events/rows.js';
import { CUT_MARK, joinCommand } from '#schemas/recording/line.js';
import type { FileFact, PodFacts, RecordingHeader, StreamFact } from '#schemas/recording/line.js';
import type { ReadBlock, TimedLine } from '../read/block-reader.js';

/** 2200-01-01: the upper limit of the store's dates. */
const LAST_MOMENT = 7_258_118_400_000;
const MAX_DATA = 65_536;
/** UTF-16 units of a command that its session's row keeps and search finds; a longer command is cut and ends in CUT_MARK. */
const MAX_COMMAND = 65_536;

/** Well-formed, at most `max` UTF-16 units; anything but a string is ''. */
export function bounded(value: unknown, max: number): string {
  if (typeof value !== 'string') return '';
  const cut = value.length > max ? value.slice(0, max) : value;
  // Available in Node 20, but not in the types of ES2023; far faster than the regular expression.
  if ((cut as unknown as { isWellFormed(): boolean }).isWellFormed()) return cut;
  return cut.replace(/\p{Cs}/gu, '\ufffd');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** A count, or null. */
function countOf(value: unknown, max = Number.MAX_SAFE_INTEGER): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max ? value : null;
}

export function momentOf(header: RecordingHeader, offset: number): number {
  return Math.min(LAST_MOMENT, Math.max(0, Math.trunc(header.steno.started_at)) + offset);
}

export interface Place {
  readonly session: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
}

export function placeOf({ steno }: RecordingHeader): Place {
  return { session: steno.session, user: bounded(steno.user, 255), node: bounded(steno.node, 255), login: bounded(steno.login, 255) };
}

/** The container that the session runs in; empty for a session on a node. */
export function podOf({ steno }: RecordingHeader): Pick<EventRow, 'cluster' | 'namespace' | 'pod' | 'container'> {
  const { cluster, namespace, pod, container }: Partial<PodFacts> = steno.pod ?? {};
  return { cluster: bounded(cluster, 255), namespace: bounded(namespace, 255), pod: bounded(pod, 255), container: bounded(container, 255) };
}

type Details = { readonly kind: EventKind } & Partial<
  Pick<EventRow, 'path' | 'size' | 'sha256' | 'address' | 'port' | 'name' | 'reason' | 'outcome' | 'count' | 'data'>
>;

export function eventRow(header: RecordingHeader, block: number, index: number, at: number, details: Details): EventRow {
  return {
    ...placeOf(header),
    source: 'recording',
    emitter: '',
    block,
    index,
    at: momentOf(header, at),
    offset_ms: at,
    ...noFacts,
    ...podOf(header),
    ...details,
  };
}

/** Events of one block, in the order of its lines. */
export function eventRows(header: RecordingHeader, block: ReadBlock): EventRow[] {
  const rows: EventRow[] = [];
  const add = (at: number, details: Details | null): void => {
    if (details !== null) rows.push(eventRow(header, block.n, rows.length, at, details));
  };
  // Commands and subsystems have a fact of their own; a shell has only the header.
  if (block.header !== null && header.steno.kind === 'shell') add(0, { kind: 'exec', name: 'shell' });
  for (const timed of block.lines) add(timed.at, detailsOf(timed));
  return rows;
}

function detailsOf({ line }: TimedLine): Details | null {
  switch (line.code) {
    case 'x':
      return { kind: 'exit', name: bounded(line.data, 255), outcome: line.data === '0' ? 'success' : 'failure' };
    case 'm':
      return { kind: 'marker', name: bounded(line.data, 4096) };
    case 'g':
      return {
        kind: 'gap',
        reason: bounded(line.data.reason, 4096),
        count: countOf(line.data.count),
        size: countOf(line.data.bytes),
        name: bounded(line.data.stream, 4096),
        data: json(line.data),
      };
    case 'j':
      return {
        kind: 'participant',
        name: bounded(line.data.user, 4096),
        reason: bounded(line.data.action, 4096),
        address: bounded(line.data.source_address, 255),
        port: countOf(line.data.connection?.source_port, 65_535),
        data: json(line.data),
      };
    case 's':
      return factDetails(line.data);
    default:
      return null;
  }
}

function factDetails(fact: StreamFact): Details | null {
  const data = json(fact);
  switch (fact.fact) {
    case 'exec':
      // A command is one row, however many lines it takes; use the first.
      if (typeof fact.part === 'number' && fact.part > 1) return null;
      return {
        kind: 'exec',
        name: bounded(
          joinCommand('', { ...fact, command: (fact.parts ?? 1) > 1 ? `${textOf(fact.command)}${CUT_MARK}` : textOf(fact.command) }, 4096),
          4096,
        ),
        data,
      };
    case 'subsystem':
      return { kind: 'exec', name: bounded(fact.name, 4096), data };
    case 'signal':
      return { kind: 'signal', name: bounded(fact.name, 4096), reason: bounded(fact.from, 4096), data };
    case 'agent_forwarding':
      return { kind: 'forward', name: 'agent', data };
    case 'input_gate':
      return { kind: 'signal', name: 'input_gate', outcome: bounded(fact.state, 4096), reason: bounded(fact.reason, 4096), data };
    case 'forward_listen':
      return { kind: 'listen', address: bounded(fact.address, 255), port: countOf(fact.port, 65_535), data };
    case 'forward_open':
      return {
        kind: 'forward',
        name: bounded(fact.direction, 4096),
        address: bounded(fact.address, 255),
        port: countOf(fact.port, 65_535),
        outcome: 'opened',
        data,
      };
    case 'forward_close':
      return { kind: 'forward', outcome: 'closed', data };
    case 'file':
      return fileDetails(fact, data);
    case 'unechoed':
      return { kind: 'stream', name: 'in', reason: 'unechoed', size: countOf(fact.bytes), sha256: digest(fact.sha256), data };
    case 'clipboard':
      return {
        ...{ kind: 'stream', name: 'out', reason: 'clipboard', outcome: bounded(fact.action, 255) },
        ...{ size: countOf(fact.bytes), count: countOf(fact.count), data },
      };
    case 'paste':
      return { kind: 'stream', name: 'in', reason: 'paste', size: countOf(fact.bytes), count: countOf(fact.lines), data };
    case 'total':
      return { kind: 'stream', name: bounded(fact.stream, 4096), size: countOf(fact.bytes), sha256: digest(fact.sha256), data };
    default:
      // Environment and switches between stdout and stderr are in the recording; facts of later versions are skipped.
      return null;
  }
}

function fileDetails(fact: FileFact, data: string): Details {
  return {
    kind: fact.protocol === 'sftp' ? 'sftp' : 'file',
    path: bounded(fact.path, 4096),
    size: countOf(fact.size),
    sha256: digest(fact.sha256),
    name: bounded(fact.operation, 4096),
    outcome: bounded(fact.outcome, 255),
    reason: bounded(fact.note, 4096),
    data,
  };
}

function digest(value: unknown): string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : '';
}

function json(value: object): string {
  const text = JSON.stringify(value);
  return text.length <= MAX_DATA ? text : '{"truncated":true}';
}

/** Totals over a session's lines. */
export class SessionSummary {
  readonly header: RecordingHeader;
  readonly #kept = { in: 0, out: 0, err: 0 };
  readonly #totals = { in: 0, out: 0, err: 0 };
  #stream: 'out' | 'err' = 'out';
  #command = '';
  #exit: string | null = null;
  blocks = 0;
  bytes = 0;
  until = 0;

  constructor(header: RecordingHeader) {
    this.header = header;
    this.#command = bounded(header.command, MAX_COMMAND);
  }

  /** Restores the totals from the row stored after some part of a session with a terminal. */
  static resume(header: RecordingHeader, row: SessionRow, until: number): SessionSummary {
    const summary = new SessionSummary(header);
    summary.#command = row.command;
    summary.#kept.in = row.bytes_in;
    summary.#kept.out = row.bytes_out;
    summary.#exit = row.exit_signal ?? (row.exit_code === null ? null : String(row.exit_code));
    summary.blocks = row.blocks;
    summary.bytes = row.recording_bytes;
    summary.until = until;
    return summary;
  }

  add(block: ReadBlock): void {
    this.blocks = block.n;
    this.bytes += block.content.length;
    this.until = block.until;
    for (const { line } of block.lines) {
      if (line.code === 'o') this.#kept[this.#stream] += Buffer.byteLength(line.data);
      else if (line.code === 'i') this.#kept.in += Buffer.byteLength(line.data);
      else if (line.code === 'x') this.#exit = bounded(line.data, 255);
      else if (line.code === 's' && line.data.fact === 'stream') this.#stream = line.data.name === 'stderr' ? 'err' : 'out';
      else if (line.code === 's' && line.data.fact === 'unechoed') this.#kept.in += countOf(line.data.bytes) ?? 0;
      else if (line.code === 's' && line.data.fact === 'exec')
        this.#command = bounded(joinCommand(this.#command, { ...line.data, command: textOf(line.data.command) }, MAX_COMMAND), MAX_COMMAND);
      else if (line.code === 's' && line.data.fact === 'total' && Object.hasOwn(this.#totals, line.data.stream))
        this.#totals[line.data.stream] += countOf(line.data.bytes) ?? 0;
    }
  }

  /** `version` grows with the parts; `stored`: size of the objects in bytes. */
  row(version: number, state: SessionRow['state'], head: string, stored: number): SessionRow {
    const { header } = this;
    const { steno } = header;
    const over = state !== 'live';
    const sum = (a: number): number => Math.min(a, Number.MAX_SAFE_INTEGER);
    const into = steno.tty ? this.#kept.in : Math.max(this.#kept.in, this.#totals.in);
    const out = steno.tty ? this.#kept.out : Math.max(this.#kept.out, this.#totals.out) + Math.max(this.#kept.err, this.#totals.err);
    const code = this.#exit !== null && /^\d{1,9}$/.test(this.#exit) ? Number(this.#exit) : null;
    const kinds = ['shell', 'exec', 'sftp', 'subsystem', 'forward'] as const;
    return {
      ...placeOf(header),
      version,
      kind: kinds.find((kind) => kind === steno.kind) ?? 'subsystem',
      roles: Array.isArray(steno.roles) ? steno.roles.slice(0, 256).map((role) => bounded(role, 255)) : [],
      gateway: bounded(steno.gateway, 255),
      counter: countOf(steno.counter) ?? 0,
      source_address: bounded(steno.source_address, 255),
      client_version: bounded(steno.client_version, 255),
      certificate_serial: /^\d{1,19}$/.test(steno.certificate_serial) ? steno.certificate_serial : serialOf(steno.certificate_serial),
      certificate_key_id: bounded(steno.certificate_key_id, 1024),
      command: this.#command,
      tty: steno.tty === true,
      cols: header.term.cols,
      rows: header.term.rows,
      started_at: momentOf(header, 0),
      ended_at: over ? momentOf(header, this.until) : null,
      state,
      exit_code: code,
      exit_signal: this.#exit !== null && code === null ? this.#exit : null,
      bytes_in: sum(into),
      bytes_out: sum(out),
      blocks: this.blocks,
      recording_bytes: this.bytes,
      stored_bytes: stored,
      chain_head: head,
      request_id: bounded(steno.requests.join(','), 255),
      ...podOf(header),
      image: bounded(steno.pod?.image, 1024),
      ...labelsOf(steno.labels),
    };
  }
}

/** Labels that are not all valid count as unknown. */
function labelsOf(value: unknown): Pick<SessionRow, 'labels' | 'labels_known'> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { labels: {}, labels_known: false };
  const entries = Object.entries(value as Record<string, unknown>);
  const sound = entries.length <= 256 && entries.every(([key, label]) => bounded(key, 255) === key && bounded(label, 1024) === label);
  return sound
    ? { labels: Object.fromEntries(entries) as Record<string, string>, labels_known: true }
    : { labels: {}, labels_known: false };
}

/** A u64 in decimal, or 0. */
function serialOf(value: unknown): string {
  if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) return '0';
  return BigInt(value) < 1n << 64n ? value : '0';
}
