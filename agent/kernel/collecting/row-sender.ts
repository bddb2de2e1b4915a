/**
 * Turns the log into batches of rows for the uplink, with a few in flight at a time, and removes log files whose rows are
 * stored.
 *
 * Rows of a session that a gateway signs go to that gateway, in separate batches and in order of position, since a gateway
 * ignores rows that arrive out of order as duplicates. The last row announces that nothing follows, once no digest of the
 * session is pending.
 *
 * Between batches the thread does its other work first, since the ring must be drained. A batch is named after its file and
 * records, so that a name never refers to different rows, even after a restart.
 *
 * No row waits for the digest of an executable: a pending digest is marked late and follows in a row of its own that names
 * the execution (`LateDigest`). Tested in collector.test.ts and row-sender.test.ts.
 */
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { KERNEL_BLOCKS, MAX_KERNEL_ROWS } from '#schemas/kernel/kernel.js';
import { eventsWay } from '#schemas/kernel/orders.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import { BatchMemory, BatchText } from './batch-text.js';
import type { Digests } from './digests.js';
import { CHUNK, LogCursor } from '../log/log-cursor.js';
import type { Lost } from '../records/held-records.js';
import type { EventLog } from '../log/log.js';
import { Members } from '../records/members.js';
import type { FromCollector } from './messages.js';
import { fileStateOf, kinds, pathOf } from '../records/record.js';
import type { KernelRecord } from '../records/record.js';
import { appendGap, appendRows, isServedByProgram, jsonOf, offsetOf } from '../rows/rows.js';
import { containerPlace } from '../rows/container-place.js';
import type { Digest, NamedSession } from '../rows/rows.js';

const BATCH_ROWS = Math.min(MAX_KERNEL_ROWS, 2_000);
/** A batch ends once it exceeds this; one more row of maximum length still fits. */
export const BATCH_ENOUGH = 384 << 10;
const AHEAD = 12;
/** Rows are gathered for this long before they are sent. */
const GATHER_MS = 100;
/** Limit for session numbers in a file that are not named yet. */
const MAX_UNNAMED = 4_096;

/** The digest of an executable that became available after the row of its execution was made. */
export interface LateDigest {
  readonly session: string;
  readonly way: EventsWay | null;
  /** Time of the execution, ms of session time. */
  readonly offset: number;
  readonly pid: number;
  readonly path: string;
  readonly sha256: string;
  /** Position of the execution's row: `<block>.<index>`. */
  readonly of: string;
  /** The file system is a user-space program, which may return bytes other than those executed. */
  readonly unconfirmed: boolean;
}

/** A digest in progress, and what waits for it. */
interface Pending {
  found: Digest | null;
  late: ((digest: Digest) => void) | null;
}

export interface RowSenderParts {
  readonly log: EventLog;
  readonly digests: Digests;
  readonly post: (message: FromCollector) => void;
  /** ms since 1970. */
  readonly now: () => number;
  /** Whether any session may still write. */
  readonly writing: () => boolean;
  /** Writes the digest into the log, so that a row is made from it; false if the disk refuses. */
  readonly late: (digest: LateDigest) => boolean;
  /**
   * Likewise, ends a session: because a digest was pending when its end was read, or an earlier node service followed it.
   */
  readonly over: (session: NamedSession, offset: number) => void;
}

export class RowSender {
  readonly #parts: RowSenderParts;
  readonly #log: EventLog;
  readonly #cursor: LogCursor;
  readonly #memory = new BatchMemory(AHEAD);
  /** Rows for gateways by session; all others under ''. */
  readonly #texts = new Map<string, { readonly text: BatchText; readonly way: EventsWay | null }>();
  /** By session: number of digests that are pending, or whose record is written and not yet read; and what to do behind the last. */
  readonly #lateOf = new Map<string, { count: number; then: (() => void) | null }>();
  /** Digests in progress, by position in the log. */
  readonly #pending = new Map<string, Pending>();
  /** How many of them already have a row. */
  #late = 0;
  /** Batches in flight, with their file. */
  readonly #batches = new Map<string, number>();
  /** Those of the batches that wait for their sessions to become known; they block no others. */
  readonly #parked = new Set<string>();
  readonly #unstored = new Map<number, { batches: number; refused: boolean }>();
  /** Sessions named by the file being read, and events of sessions that arrived before they were named. */
  #named = new Map<number, NamedSession>();
  #unnamed = new Map<number, Lost>();
  /** Files up to this one were read to their end, though some of their rows may not be stored yet. */
  #readThrough = 0;
  readonly #members = new Members();
  /** Files up to this one belong to an earlier node service, whose sessions are no longer followed. */
  readonly #leftThrough: number;
  /** Sessions signed by gateways that have not ended, with the time of their last record. */
  readonly #leftOpen = new Map<string, { readonly session: NamedSession; last: number }>();
  #reading = false;
  #gatherUntil = 0;

  constructor(parts: RowSenderParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#cursor = new LogCursor(parts.log);
    this.#cursor.seek(this.#log.files[0] ?? 0);
    this.#leftThrough = this.#log.files.at(-1) ?? 0;
  }

  /** Called when something was written. */
  wrote(): void {
    if (this.#gatherUntil === 0) this.#gatherUntil = this.#parts.now() + GATHER_MS;
  }

  /** The digest of the execution at this position will arrive by itself. */
  expect(place: string, digest: Promise<Digest>): void {
    const pending: Pending = { found: null, late: null };
    this.#pending.set(place, pending);
    void digest.then((found) => {
      pending.found = found;
      pending.late?.(found);
    });
  }

  /** Bytes of the log not yet turned into rows. */
  get backlog(): number {
    const { file, left } = this.#cursor;
    const behind = Math.max(file, this.#readThrough);
    return this.#log.files.reduce((sum, number) => sum + (number > behind ? this.#log.size(number) : 0), left);
  }

  get #underWay(): number {
    return this.#batches.size - this.#parked.size;
  }

  get drained(): boolean {
    return this.#batches.size === 0 && this.backlog === 0 && this.#late === 0;
  }

  /** `now`: without gathering. Never rejects. */
  async send(now: boolean): Promise<void> {
    if (this.#reading || this.#underWay >= AHEAD) return;
    if (this.#cursor.file === 0) this.#cursor.seek(this.#unread());
    const { file, left } = this.#cursor;
    if (file === 0) return;
    const last = file === this.#log.current;
    if (last && left <= 0) return;
    if (last && left < CHUNK && this.#parts.now() < this.#gatherUntil && !now) return;
    this.#gatherUntil = 0;
    this.#reading = true;
    try {
      while (this.#underWay < AHEAD && this.#batch()) await new Promise((resolve) => setImmediate(resolve));
      this.#endLeft();
    } catch (error) {
      this.#parts.post({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#reading = false;
    }
  }

  /** Makes one batch, starting where the last one ended; false if nothing is left. */
  #batch(): boolean {
    const cursor = this.#cursor;
    const { file, ordinal: first } = cursor;
    const rows: KernelRow[] = [];
    /** What waited for digests that were read. */
    const behind: (() => void)[] = [];
    let digest: Digest = { missing: 'gone' };
    const context = {
      session: (number: number) => this.#named.get(number) ?? null,
      digest: () => digest,
      inSession: (number: number, pid: number) => this.#members.has(number, pid),
    };
    let count = 0;
    let bytes = 0;
    const add = (session: number): void => {
      count += rows.length;
      bytes += this.#add(rows, this.#named.get(session) ?? null);
    };
    while (count < BATCH_ROWS - 1 && bytes < BATCH_ENOUGH) {
      const record = cursor.next();
      if (record === null) break;
      if (record.kind === kinds.session) {
        if (!this.#names(record)) {
          if (file <= this.#leftThrough) this.#leaves(record);
          appendRows(rows, record, file, cursor.ordinal - 1, context);
        }
        this.#gapBefore(rows, record.session, file, cursor.ordinal - 1);
        add(record.session);
        continue;
      }
      if (!this.#named.has(record.session)) this.#missed(record);
      if (file <= this.#leftThrough) this.#leaves(record);
      if (record.kind === kinds.end && this.#awaits(record)) continue;
      if (record.kind === kinds.digest) behind.push(...this.#toldLate(this.#named.get(record.session)?.session ?? ''));
      if (record.kind === kinds.exec) digest = this.#digestOf(record, cursor.place, `${KERNEL_BLOCKS + file}.${2 * (cursor.ordinal - 1)}`);
      this.#members.take(record);
      appendRows(rows, record, file, cursor.ordinal - 1, context);
      add(record.session);
    }
    if (cursor.ordinal === first) return this.#nextFile();
    if (count === 0) this.#sweep(file);
    // The same records always belong to the same sessions, in the same order.
    [...this.#texts.values()].forEach(({ text, way }, i) =>
      this.#post(file, `${file}.${first}-${cursor.ordinal}${way === null ? '' : `@${i}`}`, text.take(), way),
    );
    this.#texts.clear();
    for (const act of behind) act();
    return true;
  }

  /** Returns the bytes of the rows. */
  #add(rows: KernelRow[], named: NamedSession | null): number {
    if (rows.length === 0) return 0;
    const way = named?.way ?? null;
    const key = way === null ? '' : named!.session;
    const entry = this.#texts.get(key) ?? { text: new BatchText(this.#memory), way };
    this.#texts.set(key, entry);
    const before = entry.text.bytes;
    for (const row of rows.splice(0)) {
      // rows.ts limits each row so that it fits: if there is no room for one now, no other batch has more.
      if (!entry.text.add(row)) throw new Error('a row is longer than can be sent');
    }
    return entry.text.bytes - before;
  }

  #leaves({ session: number, kind, time }: KernelRecord): void {
    const session = this.#named.get(number);
    if (session === undefined || session.way === null) return;
    if (kind === kinds.end) this.#leftOpen.delete(session.session);
    else this.#leftOpen.set(session.session, { session, last: Math.max(time, this.#leftOpen.get(session.session)?.last ?? 0) });
  }

  /** Everything left by an earlier node service was read: end its sessions. */
  #endLeft(): void {
    if (this.#leftOpen.size === 0 || (this.#cursor.file !== 0 && this.#cursor.file <= this.#leftThrough)) return;
    const left = [...this.#leftOpen.values()];
    this.#leftOpen.clear();
    for (const { session, last } of left) this.#parts.over(session, offsetOf(session, last));
  }

  /**
   * Whether the end of a session must wait for a digest; it is written again behind that. A digest that became available after the end
   * was written, and before it is read here, is behind it in the log.
   */
  #awaits({ session, time }: KernelRecord): boolean {
    const named = this.#named.get(session);
    const late = named === undefined ? undefined : this.#lateOf.get(named.session);
    if (named === undefined || late === undefined) return false;
    const offset = offsetOf(named, time);
    late.then = () => this.#parts.over(named, offset);
    return true;
  }

  /** Records an event of a session that the file has not named: the file is damaged, or an older version read too far. */
  #missed(record: KernelRecord): void {
    const { session, time } = record;
    const lost = this.#unnamed.get(session);
    if (lost !== undefined) {
      lost.count += 1;
      lost.last = time;
    } else if (this.#unnamed.size < MAX_UNNAMED) this.#unnamed.set(session, { count: 1, first: time, last: time });
  }

  #gapBefore(rows: KernelRow[], number: number, file: number, ordinal: number): void {
    const lost = this.#unnamed.get(number);
    const clock = this.#named.get(number);
    if (lost === undefined || clock === undefined) return;
    this.#unnamed.delete(number);
    appendGap(rows, clock, file, 2 * ordinal + 1, { why: 'unknown_session', ...lost });
  }

  #forgetNames(): void {
    this.#named = new Map();
    this.#unnamed = new Map();
  }

  #nextFile(): boolean {
    const { file } = this.#cursor;
    if (file === this.#log.current) return false;
    this.#readThrough = file;
    const next = this.#unread();
    this.#sweep(file);
    this.#forgetNames();
    this.#cursor.seek(next);
    return next !== 0;
  }

  /** The first file not read to its end; 0 if there is none. */
  #unread(): number {
    return this.#log.files.find((number) => number > this.#readThrough) ?? 0;
  }

  #post(file: number, id: string, payload: Uint8Array, way: EventsWay | null): void {
    this.#batches.set(id, file);
    const entry = this.#unstored.get(file) ?? { batches: 0, refused: false };
    entry.batches += 1;
    this.#unstored.set(file, entry);
    this.#parts.post({ kind: 'batch', id, payload, way });
  }

  parked(id: string, payload: Uint8Array): void {
    this.#memory.back(payload);
    if (!this.#batches.has(id)) return;
    this.#parked.add(id);
    void this.send(false);
  }

  stored(id: string, refused: boolean, payload: Uint8Array | undefined): void {
    const file = this.#batches.get(id);
    if (payload !== undefined) this.#memory.back(payload);
    if (file === undefined) return;
    this.#batches.delete(id);
    this.#parked.delete(id);
    const entry = this.#unstored.get(file)!;
    entry.batches -= 1;
    entry.refused ||= refused;
    this.#sweep(file);
    void this.send(false);
  }

  /** Removes a file whose rows are all stored. The current file is closed once nothing was written for a while. */
  #sweep(file: number): void {
    const entry = this.#unstored.get(file);
    if ((entry?.batches ?? 0) > 0) return;
    const read = this.#cursor.file !== file || this.#cursor.left <= 0;
    if (!read || this.#log.size(file) === 0) return;
    if (file === this.#log.current) {
      if (this.#parts.writing()) return;
      this.#log.cut();
    }
    this.#unstored.delete(file);
    for (const [place, { late }] of this.#pending) if (late === null && place.startsWith(`${file} `)) this.#pending.delete(place);
    if (this.#cursor.file === file) {
      this.#readThrough = file;
      this.#forgetNames();
      this.#cursor.seek(this.#unread());
    }
    this.#log.remove(file, entry?.refused ?? false);
  }

  /** Registers a session number; true if it was already named in another file. */
  #names(record: KernelRecord): boolean {
    const { session, clock, again, way, container } = jsonOf(record.text(0));
    const parsed = eventsWay.safeParse(way);
    const place = containerPlace.safeParse(container);
    if (typeof session === 'string' && sessionIdPattern.test(session) && isClock(clock)) {
      const { boot_ns, offset_ms, error_ms } = clock;
      this.#named.set(record.session, {
        ...{ session, boot_ns, offset_ms, error_ms, way: parsed.success ? parsed.data : null },
        ...(place.success ? { container: place.data } : {}),
      });
    }
    return again === true;
  }

  /** `of`: position of this execution's row. */
  #digestOf(record: KernelRecord, place: string, of: string): Digest {
    const pending = this.#pending.get(place);
    if (pending === undefined) {
      const key = fileStateOf(record.text(3));
      return (key === null ? null : this.#parts.digests.known(key)) ?? { missing: 'gone' };
    }
    if (pending.found !== null) {
      this.#pending.delete(place);
      return pending.found;
    }
    const clock = this.#named.get(record.session);
    const about =
      clock === undefined
        ? null
        : {
            session: clock.session,
            way: clock.way,
            offset: offsetOf(clock, record.time),
            pid: record.pid,
            path: pathOf(record.text(0)).text,
            of,
            unconfirmed: isServedByProgram(record),
          };
    this.#late += 1;
    if (clock !== undefined) {
      const late = this.#lateOf.get(clock.session) ?? { count: 0, then: null };
      late.count += 1;
      this.#lateOf.set(clock.session, late);
    }
    pending.late = (found) => {
      this.#late -= 1;
      this.#pending.delete(place);
      if (about === null) return;
      const isWritten = 'sha256' in found && this.#parts.late({ ...about, sha256: found.sha256 });
      if (!isWritten) for (const act of this.#toldLate(about.session)) act();
    };
    return { missing: 'late' };
  }

  /** A digest of the session has its row, or will have none. Returns what waited for that. */
  #toldLate(session: string): readonly (() => void)[] {
    const late = this.#lateOf.get(session);
    if (late === undefined || --late.count > 0) return [];
    this.#lateOf.delete(session);
    return late.then === null ? [] : [late.then];
  }
}

/** A log damaged by a power cut may contain anything. */
function isClock(value: unknown): value is Omit<NamedSession, 'session' | 'way'> {
  if (typeof value !== 'object' || value === null) return false;
  const { boot_ns, offset_ms, error_ms } = value as Record<string, unknown>;
  return Number.isFinite(boot_ns) && Number.isFinite(offset_ms) && Number.isFinite(error_ms);
}
