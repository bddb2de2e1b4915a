/**
 * Makes rows of the log, in batches for the uplink, a few at a time on their way; and removes what is stored.
 *
 * Rows of a session that a gateway signs go to that gateway, in batches of their own and in the order of their places: what comes later
 * counts as taken before. The last of them says that nothing more comes, once no digest of the session is awaited any more.
 *
 * Between batches the thread does other things first: the ring must be looked at. A batch is named by its file and the
 * records it is of, so that a name never stands for other rows, also not after a restart.
 *
 * No row waits for the digest of an executable: one that is not there yet is said to be late, and comes in a row of its own
 * that names the execution (`LateDigest`). Tested in collector.test.ts and row-sender.test.ts.
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
import type { Digest, NamedSession } from '../rows/rows.js';

const BATCH_ROWS = Math.min(MAX_KERNEL_ROWS, 2_000);
/** A batch ends behind this; one row more, the longest there is, is within its bound. */
export const BATCH_ENOUGH = 384 << 10;
const AHEAD = 12;
/** What came is gathered for so long before it is sent. */
const GATHER_MS = 100;
/** Numbers of a file that nothing has named yet. */
const MAX_UNNAMED = 4_096;

/** The digest of an executable that came after the row of its execution had been made. */
export interface LateDigest {
  readonly session: string;
  readonly way: EventsWay | null;
  /** Of the execution, ms of session time. */
  readonly offset: number;
  readonly pid: number;
  readonly path: string;
  readonly sha256: string;
  /** Where the row of the execution stands: `<block>.<index>`. */
  readonly of: string;
  /** The file system is a program, which can give other bytes than were executed. */
  readonly unconfirmed: boolean;
}

/** A digest under way, and who is waiting for it. */
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
  /** To be written into the log, so that a row is made of it. */
  readonly late: (digest: LateDigest) => void;
  /** Likewise: nothing more comes of this session: a digest was awaited when its end was read, or an earlier node service followed it. */
  readonly over: (session: NamedSession, offset: number) => void;
}

export class RowSender {
  readonly #parts: RowSenderParts;
  readonly #log: EventLog;
  readonly #cursor: LogCursor;
  readonly #memory = new BatchMemory(AHEAD);
  /** By session those that gateways sign; by '' the others. */
  readonly #texts = new Map<string, { readonly text: BatchText; readonly way: EventsWay | null }>();
  /** By session: digests that are late, and what is to be said once they are there. */
  readonly #lateOf = new Map<string, { count: number; then: (() => void) | null }>();
  /** By place in the log: digests under way. */
  readonly #pending = new Map<string, Pending>();
  /** Of those, how many have a row already. */
  #late = 0;
  /** Batches under way, and of which file they are. */
  readonly #batches = new Map<string, number>();
  /** Those of them that wait for their sessions to be known, and hold up nothing. */
  readonly #parked = new Set<string>();
  readonly #unstored = new Map<number, { batches: number; refused: boolean }>();
  /** Sessions that the file being read has named, and events of others that came before they were. */
  #named = new Map<number, NamedSession>();
  #unnamed = new Map<number, Lost>();
  /** Files up to this one were read to their end, though some of their rows may not be stored yet. */
  #readThrough = 0;
  readonly #members = new Members();
  /** Files up to this one are of an earlier node service, whose sessions nobody follows any more. */
  readonly #leftThrough: number;
  /** Of those that gateways sign: sessions whose end was not read, and the time of their last record. */
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

  /** Something was written. */
  wrote(): void {
    if (this.#gatherUntil === 0) this.#gatherUntil = this.#parts.now() + GATHER_MS;
  }

  /** The digest of the execution that lies there comes by itself. */
  expect(place: string, digest: Promise<Digest>): void {
    const pending: Pending = { found: null, late: null };
    this.#pending.set(place, pending);
    void digest.then((found) => {
      pending.found = found;
      pending.late?.(found);
    });
  }

  /** Bytes of the log that no rows were made of yet. */
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

  /** One batch from where the last ended; false when there is nothing more. */
  #batch(): boolean {
    const cursor = this.#cursor;
    const { file, ordinal: first } = cursor;
    const rows: KernelRow[] = [];
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
      if (record.kind === kinds.exec) digest = this.#digestOf(record, cursor.place, `${KERNEL_BLOCKS + file}.${2 * (cursor.ordinal - 1)}`);
      this.#members.take(record);
      appendRows(rows, record, file, cursor.ordinal - 1, context);
      add(record.session);
    }
    if (cursor.ordinal === first) return this.#nextFile();
    if (count === 0) this.#sweep(file);
    // The same records are of the same sessions, in the same order.
    [...this.#texts.values()].forEach(({ text, way }, i) =>
      this.#post(file, `${file}.${first}-${cursor.ordinal}${way === null ? '' : `@${i}`}`, text.take(), way),
    );
    this.#texts.clear();
    return true;
  }

  /** Bytes of the rows. */
  #add(rows: KernelRow[], named: NamedSession | null): number {
    if (rows.length === 0) return 0;
    const way = named?.way ?? null;
    const key = way === null ? '' : named!.session;
    const entry = this.#texts.get(key) ?? { text: new BatchText(this.#memory), way };
    this.#texts.set(key, entry);
    const before = entry.text.bytes;
    for (const row of rows.splice(0)) {
      // rows.ts bounds each so that it fits: without room for one, the next is no better.
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

  /** What an earlier node service has left is read: nothing more comes of its sessions. */
  #endLeft(): void {
    if (this.#leftOpen.size === 0 || (this.#cursor.file !== 0 && this.#cursor.file <= this.#leftThrough)) return;
    const left = [...this.#leftOpen.values()];
    this.#leftOpen.clear();
    for (const { session, last } of left) this.#parts.over(session, offsetOf(session, last));
  }

  /** Whether the end of a session has to wait for a digest; it is written again when that is there. */
  #awaits({ session, time }: KernelRecord): boolean {
    const named = this.#named.get(session);
    const late = named === undefined ? undefined : this.#lateOf.get(named.session);
    if (named === undefined || late === undefined) return false;
    const offset = offsetOf(named, time);
    late.then = () => this.#parts.over(named, offset);
    return true;
  }

  /** An event of a session that the file has not named: its file was damaged, or written by a version that read too far. */
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

  /** The first file that was not read to its end; 0: there is none. */
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

  /** Removes a file whose rows are all stored. The one being written ends when nothing was written for a while. */
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

  /** Takes down who a number is; true: said before, in another file. */
  #names(record: KernelRecord): boolean {
    const { session, clock, again, way } = jsonOf(record.text(0));
    const parsed = eventsWay.safeParse(way);
    if (typeof session === 'string' && sessionIdPattern.test(session) && isClock(clock)) {
      const { boot_ns, offset_ms, error_ms } = clock;
      this.#named.set(record.session, { session, boot_ns, offset_ms, error_ms, way: parsed.success ? parsed.data : null });
    }
    return again === true;
  }

  /** `of`: where the row of this execution will stand. */
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
    const late = clock === undefined ? null : (this.#lateOf.get(clock.session) ?? { count: 0, then: null });
    if (late !== null) {
      late.count += 1;
      this.#lateOf.set(clock!.session, late);
    }
    pending.late = (found) => {
      this.#late -= 1;
      this.#pending.delete(place);
      if (about !== null && 'sha256' in found) this.#parts.late({ ...about, sha256: found.sha256 });
      if (late === null || --late.count > 0) return;
      this.#lateOf.delete(clock!.session);
      late.then?.();
    };
    return { missing: 'late' };
  }
}

/** A log that a power cut has spoiled may hold anything. */
function isClock(value: unknown): value is Omit<NamedSession, 'session' | 'way'> {
  if (typeof value !== 'object' || value === null) return false;
  const { boot_ns, offset_ms, error_ms } = value as Record<string, unknown>;
  return Number.isFinite(boot_ns) && Number.isFinite(offset_ms) && Number.isFinite(error_ms);
}
