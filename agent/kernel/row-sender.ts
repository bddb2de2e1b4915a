/**
 * Makes rows of the log, in batches for the uplink, a few at a time on their way; and removes what is stored.
 *
 * Between batches the thread does other things first: the ring must be looked at. A batch is named by its file and the
 * records it is of, so that a name never stands for other rows, also not after a restart. Tested in collector.test.ts.
 */
import type { KernelRow } from '#schemas/kernel.js';
import { MAX_KERNEL_ROWS } from '#schemas/kernel.js';
import { BatchText } from './batch-text.js';
import type { Digests } from './digests.js';
import { CHUNK, LogCursor } from './log-cursor.js';
import type { EventLog } from './log.js';
import type { FromCollector } from './messages.js';
import { fileStateOf, kinds } from './record.js';
import type { KernelRecord } from './record.js';
import { appendRows, jsonOf } from './rows.js';
import type { Digest, SessionClock } from './rows.js';

const BATCH_ROWS = Math.min(MAX_KERNEL_ROWS, 2_000);
/** A batch ends behind this; one row more, the longest there is, is within its bound. */
const BATCH_ENOUGH = 384 << 10;
const AHEAD = 12;
/** What came is gathered for so long before it is sent. */
const GATHER_MS = 100;
const DIGEST_MS = 10_000;

export interface RowSenderParts {
  readonly log: EventLog;
  readonly digests: Digests;
  readonly post: (message: FromCollector) => void;
  /** ms since 1970. */
  readonly now: () => number;
  /** Whether any session may still write. */
  readonly writing: () => boolean;
}

export class RowSender {
  readonly #parts: RowSenderParts;
  readonly #log: EventLog;
  readonly #cursor: LogCursor;
  readonly #text = new BatchText(AHEAD);
  /** By place in the log: digests under way. */
  readonly #pending = new Map<string, Promise<Digest>>();
  /** Batches under way, and of which file they are. */
  readonly #batches = new Map<string, number>();
  readonly #unstored = new Map<number, { batches: number; refused: boolean }>();
  /** Sessions that the file being read has named. */
  #named = new Map<number, SessionClock>();
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
    this.#pending.set(place, digest);
  }

  /** Bytes of the log that no rows were made of yet. */
  get backlog(): number {
    const { file, left } = this.#cursor;
    return this.#log.files.reduce((sum, number) => sum + (number > file ? this.#log.size(number) : 0), left);
  }

  get drained(): boolean {
    return this.#batches.size === 0 && this.backlog === 0;
  }

  /** `now`: without gathering. Never rejects. */
  async send(now: boolean): Promise<void> {
    if (this.#reading || this.#batches.size >= AHEAD) return;
    if (this.#cursor.file === 0) this.#cursor.seek(this.#log.files[0] ?? 0);
    const { file, left } = this.#cursor;
    if (file === 0) return;
    const last = file === this.#log.current;
    if (last && left <= 0) return;
    if (last && left < CHUNK && this.#parts.now() < this.#gatherUntil && !now) return;
    this.#gatherUntil = 0;
    this.#reading = true;
    try {
      while (this.#batches.size < AHEAD && (await this.#batch())) await new Promise((resolve) => setImmediate(resolve));
    } catch (error) {
      this.#parts.post({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#reading = false;
    }
  }

  /** One batch from where the last ended; false when there is nothing more. */
  async #batch(): Promise<boolean> {
    const cursor = this.#cursor;
    const { file, ordinal: first } = cursor;
    const text = this.#text;
    const rows: KernelRow[] = [];
    let digest: Digest = { missing: 'gone' };
    const context = { session: (number: number) => this.#named.get(number) ?? null, digest: () => digest };
    while (text.rows < BATCH_ROWS - 1 && text.bytes < BATCH_ENOUGH) {
      const record = cursor.next();
      if (record === null) break;
      if (record.kind === kinds.session && this.#names(record)) continue;
      if (record.kind === kinds.exec) digest = await this.#digestOf(record, cursor.place);
      appendRows(rows, record, file, cursor.ordinal - 1, context);
      for (const row of rows.splice(0)) if (!text.add(row)) throw new Error('a row is longer than can be sent');
    }
    if (cursor.ordinal === first) return this.#nextFile();
    if (text.rows > 0) this.#post(file, `${file}.${first}-${cursor.ordinal}`, text.take());
    else this.#sweep(file);
    return true;
  }

  #nextFile(): boolean {
    const { file } = this.#cursor;
    if (file === this.#log.current) return false;
    const next = this.#log.files.find((number) => number > file);
    this.#sweep(file);
    this.#named = new Map();
    this.#cursor.seek(next ?? 0);
    return next !== undefined;
  }

  #post(file: number, id: string, payload: Uint8Array): void {
    this.#batches.set(id, file);
    const entry = this.#unstored.get(file) ?? { batches: 0, refused: false };
    entry.batches += 1;
    this.#unstored.set(file, entry);
    this.#parts.post({ kind: 'batch', id, payload });
  }

  stored(id: string, refused: boolean, payload: Uint8Array | undefined): void {
    const file = this.#batches.get(id);
    if (payload !== undefined) this.#text.back(payload);
    if (file === undefined) return;
    this.#batches.delete(id);
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
    for (const place of this.#pending.keys()) if (place.startsWith(`${file} `)) this.#pending.delete(place);
    if (this.#cursor.file === file) {
      this.#named = new Map();
      this.#cursor.seek(this.#log.files.find((number) => number > file) ?? 0);
    }
    this.#log.remove(file, entry?.refused ?? false);
  }

  /** Takes down who a number is; true: said before, in another file. */
  #names(record: KernelRecord): boolean {
    const { session, clock, again } = jsonOf(record.text(0)) as {
      session?: string;
      clock?: Omit<SessionClock, 'session'>;
      again?: boolean;
    };
    if (session !== undefined && clock !== undefined) this.#named.set(record.session, { session, ...clock });
    return again === true;
  }

  async #digestOf(record: KernelRecord, place: string): Promise<Digest> {
    const pending = this.#pending.get(place);
    if (pending === undefined) {
      const key = fileStateOf(record.text(3));
      return (key === null ? null : this.#parts.digests.known(key)) ?? { missing: 'gone' };
    }
    this.#pending.delete(place);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Digest>((resolve) => {
      timer = setTimeout(() => resolve({ missing: 'late' }), DIGEST_MS);
    });
    const found = await Promise.race([pending, late]);
    clearTimeout(timer);
    return found;
  }
}
