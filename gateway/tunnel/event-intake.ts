/**
 * Receives the kernel events of a node's sessions: the server side of the uplink protocol, limited to `hello` and batches of
 * kernel rows.
 *
 *     connected ──hello──► greeted ──events──► rows checked, chained (../recorder/event-logs.ts) ──all stored──► ack
 *                                      └── a session without a log here ──► refuse SESSION_UNKNOWN
 *
 * A node may report only sessions that run on it: the log's header names the session's node. Rows are processed in order,
 * one batch after the other and a few at a time, so that keystrokes never wait behind a flood. A row without a position is
 * dropped with an audit row; other faults in a row are found where rows are derived, and become gaps there. At most
 * `MAX_WAITING` bytes are queued, and acknowledgements for `MAX_UNSTORED` batches: beyond that the socket is not read, and
 * the node keeps its rows. Tested in event-intake.test.ts.
 */
import type { WebSocket } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import { KERNEL_BLOCKS, kernelRow } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { eventPlace } from '#schemas/recording/event-places.js';
import { MAX_EVENT_LINE_BYTES } from '#schemas/recording/line.js';
import { UPLINK_VERSION, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';
import type { AuditEntry } from '../recorder/recorder.js';
import type { EventLog, EventLogs } from '../recorder/event-logs.js';

/** Rows and bytes processed per turn of the event loop. */
const TURN_ROWS = 64;
const TURN_BYTES = 64 << 10;
const MAX_WAITING = 4 << 20;
/** Nodes send fewer batches ahead than this (agent/kernel/start.ts). */
const MAX_UNSTORED = 4_096;
/** Audit rows about refusals, per connection: a node that is refused again and again must not fill a table. */
const MAX_REFUSALS = 100;
/** Leaves room for the interval and the code around a row. */
const MAX_ROW = MAX_EVENT_LINE_BYTES - 64;
const AGAIN_MS = 1_000;
const COLUMNS = kernelRow.def.items.length;

export interface EventIntakeParts {
  readonly logs: Pick<EventLogs, 'closed' | 'find' | 'room'>;
  readonly gateway: string;
  readonly audit: (entry: AuditEntry) => void;
  readonly log: Log;
}

/** A batch whose rows are in the spool, and the number of logs that have not stored theirs yet. */
interface Unstored {
  readonly id: string;
  logs: number;
}

/** The offsets that one log must have stored before batches are acknowledged, ascending. */
interface Following {
  readonly stop: () => void;
  readonly queue: { readonly offset: number; readonly batch: Unstored }[];
}

/** Serves one connection of `node` until it ends. */
export class EventIntake {
  readonly #socket: WebSocket;
  readonly #node: string;
  readonly #parts: EventIntakeParts;
  #greeted = false;
  #queue: Promise<void> = Promise.resolve();
  #waiting = 0;
  #unstored = 0;
  #gone = false;
  #refusals = 0;
  readonly #following = new Map<EventLog, Following>();

  constructor(socket: WebSocket, node: string, parts: EventIntakeParts) {
    this.#socket = socket;
    this.#node = node;
    this.#parts = parts;
    socket.on('close', () => this.#leave());
    socket.on('error', () => socket.terminate());
    socket.on('message', (data: Buffer, isBinary) => {
      try {
        if (!isBinary) throw new StenoError('UPLINK_MALFORMED', 'a text message instead of a frame');
        this.#frame(data);
      } catch (error) {
        this.#refuse(undefined, error);
        this.#leave();
        socket.close();
      }
    });
  }

  #frame(data: Buffer): void {
    const frame = decodeUplink(data);
    if (frame.kind === 'hello' && !this.#greeted) {
      const { version, name } = frame.header;
      if (version !== UPLINK_VERSION) throw new StenoError('UPLINK_VERSION', `version ${version}`);
      if (name !== this.#node) throw new StenoError('UPLINK_UNAUTHENTICATED', 'the name differs from that in the certificate');
      this.#greeted = true;
      this.#send(encodeUplink('hello', { version, name: this.#parts.gateway }));
      return;
    }
    if (frame.kind !== 'events' || frame.header.table !== 'kernel' || !this.#greeted)
      throw new StenoError('UPLINK_MALFORMED', `${frame.kind} from a node`);
    const { id } = frame.header;
    const { payload } = frame;
    this.#waiting += payload.length;
    if (this.#waiting > MAX_WAITING || this.#unstored > MAX_UNSTORED) this.#socket.pause();
    this.#queue = this.#queue
      .then(() => this.#batch(id, payload))
      .catch((error: unknown) => this.#refuse(id, error))
      .finally(() => {
        this.#waiting -= payload.length;
        this.#resume();
      });
  }

  /** Resolves when all rows are in the spool; the acknowledgement follows once they are stored. */
  async #batch(id: string, payload: Uint8Array): Promise<void> {
    const ends = new Map<EventLog, number>();
    let lost = 0;
    for (const rows of turns(payload)) {
      if (this.#gone) return;
      if (this.#parts.logs.closed) throw new StenoError('DRAINING');
      const whole = rows.filter((row) => row !== null);
      lost += rows.length - whole.length;
      for (const run of bySession(whole)) {
        const { log, offset } = await this.#take(run);
        ends.set(log, offset);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (lost > 0) {
      this.#parts.log.warn({ node: this.#node, batch: id, rows: lost }, 'skipped kernel events that are not rows');
      this.#audit('UPLINK_MALFORMED', '', lost);
    }
    if (this.#gone) return;
    const batch: Unstored = { id, logs: ends.size };
    this.#unstored += 1;
    for (const [log, offset] of ends) {
      this.#follow(log).queue.push({ offset, batch });
      this.#told(log);
    }
    if (ends.size === 0) this.#acknowledge(batch);
  }

  #follow(log: EventLog): Following {
    const known = this.#following.get(log);
    if (known !== undefined) return known;
    const following: Following = { stop: log.watch(() => this.#told(log)), queue: [] };
    this.#following.set(log, following);
    return following;
  }

  /** More of this log has been stored, perhaps everything that was waited for. */
  #told(log: EventLog): void {
    const following = this.#following.get(log);
    if (following === undefined) return;
    const { queue, stop } = following;
    while (queue.length > 0 && log.isStored(queue[0]!.offset)) {
      const { batch } = queue.shift()!;
      batch.logs -= 1;
      if (batch.logs === 0) this.#acknowledge(batch);
    }
    if (queue.length > 0) return;
    stop();
    this.#following.delete(log);
  }

  #acknowledge({ id }: Unstored): void {
    this.#unstored -= 1;
    this.#send(encodeUplink('ack', { events: id }));
    this.#resume();
  }

  #resume(): void {
    if (this.#waiting <= MAX_WAITING / 2 && this.#unstored <= MAX_UNSTORED) this.#socket.resume();
  }

  /** Appends rows of one session, which all fit into one write. */
  async #take(rows: readonly KernelRow[]): Promise<{ readonly log: EventLog; readonly offset: number }> {
    const session = rows[0]![0];
    for (;;) {
      while (!(await this.#parts.logs.room())) if (this.#gone || this.#parts.logs.closed) throw new StenoError('DRAINING');
      const log = await this.#parts.logs.find(session);
      if (log !== null && log.node !== this.#node) throw new StenoError('UPLINK_UNAUTHENTICATED', `session ${session} is on another node`);
      try {
        const offset = log?.take(rows) ?? null;
        if (log === null || offset === null) throw new StenoError('SESSION_UNKNOWN', session);
        return { log, offset };
      } catch (error) {
        if (!(error instanceof StenoError) || !isDiskFailure(error)) throw error;
        if (this.#gone || this.#parts.logs.closed) throw new StenoError('DRAINING');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  #refuse(id: string | undefined, error: unknown): void {
    if (this.#gone) return;
    const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
    this.#parts.log.warn({ node: this.#node, batch: id, code: known.code, err: error }, 'refused kernel events of a node');
    // Rows that arrive after later rows of their session would count as duplicates. Drop the connection, so that all are
    // resent in order.
    if (known.entry.retryable) {
      this.#leave();
      return this.#socket.terminate();
    }
    const detail = (known.detail ?? '').slice(0, 1024);
    this.#send(encodeUplink('refuse', { ...(id === undefined ? {} : { events: id }), code: known.code, detail }));
    this.#audit(known.code, detail, null);
  }

  /** Nothing more is accepted, including frames that have already arrived. */
  #leave(): void {
    this.#gone = true;
    for (const { stop } of this.#following.values()) stop();
    this.#following.clear();
  }

  #audit(code: string, reason: string, rows: number | null): void {
    if (this.#refusals++ >= MAX_REFUSALS) return;
    this.#parts.audit({
      event: 'event_log.refused',
      outcome: 'failure',
      code,
      reason,
      actor: `agent/${this.#node}`,
      node: this.#node,
      target: this.#parts.gateway,
      ...(rows === null ? {} : { data: JSON.stringify({ rows }) }),
    });
  }

  #send(frame: Uint8Array): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(frame);
  }
}

/** Disk failures pass: the rows wait on the node meanwhile. */
function isDiskFailure({ code }: StenoError): boolean {
  return code === 'SPOOL_FULL' || code === 'RECORDING_IMPOSSIBLE';
}

/**
 * The rows of a batch, some at a time; null in place of entries that are not rows. Nodes write one row per line
 * (agent/kernel/collecting/batch-text.ts), so rows can be parsed one by one. Throws UPLINK_MALFORMED if the batch is not
 * such a list.
 */
export function* turns(payload: Uint8Array): Generator<readonly (KernelRow | null)[]> {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  if (bytes.length < 2 || bytes[0] !== 0x5b || bytes.at(-1) !== 0x5d) throw new StenoError('UPLINK_MALFORMED', 'events are not a list');
  let rows: (KernelRow | null)[] = [];
  let from = 1;
  for (let start = 1; start < bytes.length - 1;) {
    const found = bytes.indexOf(0x0a, start);
    const last = found < 0;
    // A comma precedes the newline.
    const end = last ? bytes.length - 1 : found - 1;
    rows.push(rowOf(bytes.subarray(start, Math.max(start, end))));
    start = last ? bytes.length : found + 1;
    if (rows.length < TURN_ROWS && start - from < TURN_BYTES) continue;
    yield rows;
    rows = [];
    from = start;
  }
  if (rows.length > 0) yield rows;
}

/** Checks only what the log needs: that the row has a session and a position. */
function rowOf(bytes: Buffer): KernelRow | null {
  if (bytes.length > MAX_ROW) return null;
  let row: unknown;
  try {
    row = JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
  if (!Array.isArray(row) || row.length !== COLUMNS) return null;
  const [session, ...fields] = row as unknown[];
  const place = eventPlace(fields);
  if (typeof session !== 'string' || !sessionIdPattern.test(session) || place === null || place.block < KERNEL_BLOCKS) return null;
  return row as unknown as KernelRow;
}

function* bySession(rows: readonly KernelRow[]): Generator<readonly KernelRow[]> {
  for (let start = 0; start < rows.length;) {
    let end = start + 1;
    while (end < rows.length && rows[end]![0] === rows[start]![0]) end += 1;
    yield rows.slice(start, end);
    start = end;
  }
}
