/**
 * Makes rows of the log, in batches for the uplink, a few at a time on their way; and removes what is stored.
 *
 * Between batches the thread does other things first: the ring must be looked at. A batch is named by its file and the
 * records it is of, so that a name never stands for other rows, also not after a restart.
 *
 * No row waits for the digest of an executable: one that is not there yet is said to be late, and comes in a row of its own
 * that names the execution (`LateDigest`). Tested in collector.test.ts and row-sender.test.ts.
 */
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { KERNEL_BLOCKS, MAX_KERNEL_ROWS } from '#schemas/kernel/kernel.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import { BatchText } from './batch-text.js';
import type { Digests } from './digests.js';
import { CHUNK, LogCursor } from '../log/log-cursor.js';
import type { Lost } from '../records/held-records.js';
import type { EventLog } from '../log/log.js';
import { Members } from '../records/members.js';
import type { FromCollector } from './messages.js';
import { fileStateOf, kinds, pathOf } from '../records/record.js';
import type { KernelRecord } from '../records/record.js';
import { appendGap, appendRows, isServedByProgram, jsonOf, offsetOf } from '../rows/rows.js';
import type { Digest, SessionClock } from '../rows/rows.js';

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
}

export class RowSender {
  readonly #parts: RowSenderParts;
  readonly #log: EventLog;
  readonly #cursor: LogCursor;
  readonly #text = new BatchText(AHEAD);
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
  #named = new Map<number, SessionClock>();
  #unnamed = new Map<number, Lost>();
  /** Files up to this one were read to their end, though some of their rows may not be stored yet. */
  #readThrough = 0;
  readonly #members = new Members();
  #reading = false;
  #gatherUntil = 0;

  constructor(parts: RowSenderParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#cursor = new LogCursor(parts.log);
    this.#cursor.seek(this.#log.files[0] ?? 0);
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
    const text = this.#text;
    const rows: KernelRow[] = [];
    let digest: Digest = { missing: 'gone' };
    const context = {
      session: (number: number) => this.#named.get(number) ?? null,
      digest: () => digest,
      inSession: (number: number, pid: number) => this.#members.has(number, pid),
    };
    while (text.rows < BATCH_ROWS - 1 && text.bytes < BATCH_ENOUGH) {
      const record = cursor.next();
      if (record === null) break;
      if (record.kind === kinds.session) {
        const again = this.#names(record);
        this.#gapBefore(rows, record.session, file, cursor.ordinal - 1);
        if (again) {
          this.#add(rows);
          continue;
        }
      } else if (!this.#named.has(record.session)) this.#missed(record);
      if (record.kind === kinds.exec) digest = this.#digestOf(record, cursor.place, `${KERNEL_BLOCKS + file}.${2 * (cursor.ordinal - 1)}`);
      this.#members.take(record);
      appendRows(rows, record, file, cursor.ordinal - 1, context);
      this.#add(rows);
    }
    if (cursor.ordinal === first) return this.#nextFile();
    if (text.rows > 0) this.#post(file, `${file}.${first}-${cursor.ordinal}`, text.take());
    else this.#sweep(file);
    return true;
  }

  #add(rows: KernelRow[]): void {
    for (const row of rows.splice(0)) {
      // rows.ts bounds each so that it fits: without room for one, the next is no better.
      if (!this.#text.add(row)) throw new Error('a row is longer than can be sent');
    }
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

  #post(file: number, id: string, payload: Uint8Array): void {
    this.#batches.set(id, file);
    const entry = this.#unstored.get(file) ?? { batches: 0, refused: false };
    entry.batches += 1;
    this.#unstored.set(file, entry);
    this.#parts.post({ kind: 'batch', id, payload });
  }

  parked(id: string, payload: Uint8Array): void {
    this.#text.back(payload);
    if (!this.#batches.has(id)) return;
    this.#parked.add(id);
    void this.send(false);
  }

  stored(id: string, refused: boolean, payload: Uint8Array | undefined): void {
    const file = this.#batches.get(id);
    if (payload !== undefined) this.#text.back(payload);
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
    const { session, clock, again } = jsonOf(record.text(0));
    if (typeof session === 'string' && sessionIdPattern.test(session) && isClock(clock)) {
      const { boot_ns, offset_ms, error_ms } = clock;
      this.#named.set(record.session, { session, boot_ns, offset_ms, error_ms });
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
            offset: offsetOf(clock, record.time),
            pid: record.pid,
            path: pathOf(record.text(0)).text,
            of,
            unconfirmed: isServedByProgram(record),
          };
    this.#late += 1;
    pending.late = (found) => {
      this.#late -= 1;
      this.#pending.delete(place);
      if (about !== null && 'sha256' in found) this.#parts.late({ ...about, sha256: found.sha256 });
    };
    return { missing: 'late' };
  }
}

/** A log that a power cut has spoiled may hold anything. */
function isClock(value: unknown): value is Omit<SessionClock, 'session'> {
  if (typeof value !== 'object' || value === null) return false;
  const { boot_ns, offset_ms, error_ms } = value as Record<string, unknown>;
  return Number.isFinite(boot_ns) && Number.isFinite(offset_ms) && Number.isFinite(error_ms);
}
