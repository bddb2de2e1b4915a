/**
 * A durable queue of audit rows, or of events without a session: `FOLDER/<id>.jsonl`, one file per batch, one row per line.
 *
 *   1. A row is appended to the open batch with write(2) before `push` returns. Crash: the row is in the file.
 *   2. A quarter of a second, 256 rows or 256 KiB later the batch is sealed: nothing joins it, and it may be sent. It is
 *      fsynced first. Power cut before that: rows of the last second may be missing.
 *   3. Ingest acknowledges the id, and the file is removed. Crash before that: it is sent again under the same id, harmlessly.
 *
 * A row that is not valid, as after disk damage, or that ingest refuses for good, does not block the others:
 *   4. A refused batch of several rows is split into two files. 5. The batch's file is removed. Crash between: its rows
 *      are sent twice, harmlessly, since each has an id.
 *   6. Rows that cannot be sent are written to `FOLDER/<id>.refused`, for inspection. 7. `onQuarantine` is called.
 *      8. The batch's file is rewritten without them, or removed. Crash between: 6 and 7 are repeated. The newest
 *      `KEPT_REFUSED` files of this kind are kept.
 *
 * When the disk refuses a row, it waits in memory, up to `MEMORY_ROWS`, and is sent from there; beyond that the oldest are
 * dropped and counted in a row of their own, built by `RowKind.dropped`. Tested in client.test.ts.
 */
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sessionId } from '#schemas/recording/line.js';
import { auditRow, sessionIdPattern } from '#schemas/events/rows.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { UPLINK_FREE_EVENTS_VERSION, UPLINK_VERSION } from '#schemas/uplink.js';
import type { BatchSource, EventBatch } from './source.js';

const SEAL_MS = 250;
const BATCH_ROWS = 256;
const BATCH_BYTES = 256 << 10;
const MEMORY_ROWS = 4096;
/** Files of at most `BATCH_BYTES` and one row. */
const KEPT_REFUSED = 64;
const DAMAGED = 'the data on disk is not a valid row';
/** Event of the audit row that reports quarantined rows. */
export const QUARANTINED = 'audit.quarantined';

export interface EventQueueOptions {
  readonly folder: string;
  /** Ms since 1970. */
  readonly now: () => number;
  readonly random: (bytes: number) => Uint8Array;
  /** Batches on disk above which rows wait in memory; unlimited if omitted. */
  readonly maxBatches?: number;
  /** Called when rows that cannot be sent were quarantined. */
  readonly onQuarantine?: (quarantined: Quarantined) => void;
  /** Appends one row; replaceable to test full disks. */
  readonly write?: (fd: number, bytes: Uint8Array) => void;
}

export interface Quarantined {
  /** The file that holds the rows; '' if even that could not be written. */
  readonly file: string;
  readonly rows: number;
  /** Number of rows that name each session, as far as readable. */
  readonly sessions: ReadonlyMap<string, number>;
  readonly code: string;
  readonly detail: string;
}

interface OpenBatch {
  readonly id: string;
  readonly fd: number;
  rows: number;
  bytes: number;
}

const fdatasyncAsync = promisify(fdatasync);

/** How rows of a queue are built. */
export interface RowKind<Row> {
  /** Table of the store; the audit's if omitted. */
  readonly table?: 'events';
  /** Completes a row that is being pushed. */
  readonly complete: (row: Row, now: number, random: (bytes: number) => Uint8Array) => object;
  readonly isRow: (value: unknown) => boolean;
  /** Builds the row that reports how many were dropped from memory. */
  readonly dropped: (count: number, now: number, random: (bytes: number) => Uint8Array) => object;
}

export const auditRows: RowKind<Omit<AuditRow, 'id' | 'at'>> = {
  complete: (row, now, random) => ({ id: sessionId(now, random(10)), at: now, ...row }),
  isRow: (value) => auditRow.safeParse(value).success,
  dropped: (count, now, random) => droppedRow(sessionId(now, random(10)), now, count),
};

export class EventQueue<Row extends object = Omit<AuditRow, 'id' | 'at'>> implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #options: EventQueueOptions;
  readonly #kind: RowKind<Row>;
  readonly #write: (fd: number, bytes: Uint8Array) => void;
  /** Sealed batches on disk, oldest first, and those of them handed out. */
  readonly #sealed: string[];
  #handedOut = new Set<string>();
  /** Batches whose invalid rows were quarantined, but whose file could not be rewritten. */
  readonly #repaired = new Set<string>();
  #open: OpenBatch | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Rows that the disk refused. */
  #memory: string[] = [];
  #memoryBatch: { id: string; rows: string[] } | null = null;
  #dropped = 0;
  #sealing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: EventQueueOptions, kind: RowKind<Row>) {
    this.#options = options;
    this.#kind = kind;
    this.#write = options.write ?? writeWhole;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    // A file left half-written by a killed process duplicates another.
    for (const name of readdirSync(options.folder)) if (name.endsWith('.new')) unlinkQuietly(join(options.folder, name));
    this.#sealed = readdirSync(options.folder)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => name.slice(0, -6))
      .sort();
  }

  get version(): number {
    return this.#kind.table === undefined ? UPLINK_VERSION : UPLINK_FREE_EVENTS_VERSION;
  }

  /** Whether everything pushed was acknowledged. */
  get empty(): boolean {
    return this.#open === null && this.#sealed.length === 0 && this.inMemory === 0;
  }

  /** Whether nothing more fits on disk: rows pushed now may be dropped and counted. */
  get full(): boolean {
    return this.#sealed.length >= (this.#options.maxBatches ?? Infinity);
  }

  /** Unacknowledged rows that are not on disk. */
  get inMemory(): number {
    return this.#memory.length + (this.#memoryBatch?.rows.length ?? 0);
  }

  /** Never throws. */
  push(row: Row): void {
    const line = JSON.stringify(this.#kind.complete(row, this.#options.now(), this.#options.random));
    if (!this.#append(line)) this.#remember(line);
    this.#timer ??= setTimeout(() => this.#seal(), SEAL_MS);
  }

  next(): EventBatch | null {
    if (this.#memoryBatch !== null && !this.#handedOut.has(this.#memoryBatch.id)) {
      this.#handedOut.add(this.#memoryBatch.id);
      return this.#batch(this.#memoryBatch.id, this.#memoryBatch.rows);
    }
    for (const id of [...this.#sealed]) {
      if (this.#handedOut.has(id)) continue;
      const rows = this.#sound(id);
      if (rows.length === 0) continue;
      this.#handedOut.add(id);
      return this.#batch(id, rows);
    }
    return null;
  }

  #batch(id: string, rows: readonly string[]): EventBatch {
    const { table } = this.#kind;
    return { id, ...(table === undefined ? {} : { table }), payload: batchOf(rows) };
  }

  rewind(underWay: ReadonlySet<string>): void {
    this.#handedOut = new Set(underWay);
  }

  acknowledged(id: string): void {
    if (this.#memoryBatch?.id === id) {
      this.#memoryBatch = null;
      this.#handedOut.delete(id);
      this.#fillMemoryBatch();
    } else if (this.#sealed.includes(id)) this.#forget(id);
  }

  refused(id: string, code: string, detail: string): void {
    if (this.#memoryBatch?.id === id) {
      const { rows } = this.#memoryBatch;
      if (rows.length > 1) this.#memoryBatch = { id: this.#newId(), rows: rows.slice(0, rows.length >> 1) };
      else this.#memoryBatch = null;
      if (rows.length > 1) this.#memory.unshift(...rows.slice(rows.length >> 1));
      else this.#quarantine(id, rows, code, detail);
      this.#handedOut.delete(id);
      this.#fillMemoryBatch();
      this.onWork?.();
      return;
    }
    if (!this.#sealed.includes(id)) return;
    const rows = this.#rowsOf(id) ?? [];
    if (rows.length > 1 && this.#halve(rows)) this.#forget(id);
    else this.#putAside(id, rows, code, detail);
    this.onWork?.();
  }

  /** Splits a batch into two; false if the disk refuses. */
  #halve(rows: readonly string[]): boolean {
    const half = rows.length >> 1;
    const made: string[] = [];
    try {
      for (const part of [rows.slice(0, half), rows.slice(half)]) {
        const id = this.#newId();
        this.#writeFile(this.#path(id), part);
        made.push(id);
      }
    } catch {
      for (const id of made) unlinkQuietly(this.#path(id));
      return false;
    }
    this.#sealed.push(...made);
    return true;
  }

  /** The rows of a batch that can be sent; others are quarantined first. Empty: the batch no longer exists. */
  #sound(id: string): string[] {
    const rows = this.#rowsOf(id);
    const isRow = (line: string): boolean => this.#isRow(line);
    const good = (rows ?? []).filter(isRow);
    if (rows === null || (good.length === 0 && rows.length > 0)) this.#putAside(id, rows ?? [], 'UPLINK_MALFORMED', DAMAGED);
    else if (rows.length === 0) this.#forget(id);
    else if (good.length < rows.length && !this.#repaired.has(id)) {
      this.#quarantine(
        id,
        rows.filter((row) => !isRow(row)),
        'UPLINK_MALFORMED',
        DAMAGED,
      );
      try {
        this.#writeFile(this.#path(id), good);
      } catch {
        // Do not report the same rows again at each retry, only at the next start.
        this.#repaired.add(id);
      }
    }
    return good;
  }

  #isRow(line: string): boolean {
    try {
      return this.#kind.isRow(JSON.parse(line));
    } catch {
      return false;
    }
  }

  /** The lines of a batch; null if its file cannot be read or contains no complete line. */
  #rowsOf(id: string): string[] | null {
    try {
      const rows = readRows(this.#path(id));
      return rows.length === 0 && statSync(this.#path(id)).size > 0 ? null : rows;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : null;
    }
  }

  /** Quarantines the whole file of a batch. */
  #putAside(id: string, rows: readonly string[], code: string, detail: string): void {
    let file = `${id}.refused`;
    try {
      this.#makeRoom();
      renameSync(this.#path(id), join(this.#options.folder, file));
    } catch {
      file = '';
    }
    this.#forget(id);
    this.#tell(file, rows, code, detail);
  }

  #quarantine(id: string, rows: readonly string[], code: string, detail: string): void {
    let file = `${id}.refused`;
    try {
      this.#makeRoom();
      this.#writeFile(join(this.#options.folder, file), rows);
    } catch {
      file = '';
    }
    this.#tell(file, rows, code, detail);
  }

  #makeRoom(): void {
    const kept = readdirSync(this.#options.folder)
      .filter((name) => name.endsWith('.refused'))
      .sort();
    for (const old of kept.slice(0, Math.max(0, kept.length - KEPT_REFUSED + 1))) unlinkQuietly(join(this.#options.folder, old));
  }

  #tell(file: string, rows: readonly string[], code: string, detail: string): void {
    // The report of quarantined rows is a row itself and must not cause another report if it is refused.
    if (rows.length > 0 && rows.every((row) => row.includes(`"event":"${QUARANTINED}"`))) return;
    const sessions = new Map<string, number>();
    for (const session of rows.flatMap(sessionIn)) sessions.set(session, (sessions.get(session) ?? 0) + 1);
    this.#options.onQuarantine?.({ file, rows: rows.length, sessions, code, detail });
  }

  /** Writes and syncs the whole file, or nothing. */
  #writeFile(path: string, rows: readonly string[]): void {
    const fd = openSync(`${path}.new`, 'w', 0o600);
    try {
      writeWhole(fd, Buffer.from(rows.map((row) => `${row}\n`).join('')));
      fdatasyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.new`, path);
  }

  #newId(): string {
    return sessionId(this.#options.now(), this.#options.random(10));
  }

  /** Seals the open batch and resolves when it is on disk. */
  async flush(): Promise<void> {
    this.#seal();
    await this.#sealing;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
  }

  #append(line: string): boolean {
    if (this.#closed || (this.#open === null && this.full)) return false;
    let batch = this.#open;
    const bytes = Buffer.from(`${line}\n`);
    try {
      if (batch === null) {
        const id = this.#newId();
        batch = this.#open = { id, fd: openSync(this.#path(id), 'ax', 0o600), rows: 0, bytes: 0 };
      }
      this.#write(batch.fd, bytes);
    } catch {
      try {
        if (batch !== null) ftruncateSync(batch.fd, batch.bytes);
      } catch {
        // Readers of the batch skip a torn line; the batch ends here.
        this.#seal();
      }
      return false;
    }
    batch.rows += 1;
    batch.bytes += bytes.length;
    if (batch.rows >= BATCH_ROWS || batch.bytes >= BATCH_BYTES) this.#seal();
    return true;
  }

  #remember(line: string): void {
    this.#memory.push(line);
    if (this.#memory.length <= MEMORY_ROWS) return;
    this.#memory.splice(0, this.#memory.length - MEMORY_ROWS);
    this.#dropped += 1;
  }

  #seal(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const batch = this.#open;
    this.#open = null;
    if (batch !== null) {
      this.#sealing = this.#sealing.then(async () => {
        await fdatasyncAsync(batch.fd).catch(() => undefined);
        closeSync(batch.fd);
        this.#sealed.push(batch.id);
        this.onWork?.();
      });
    }
    this.#fillMemoryBatch();
  }

  #fillMemoryBatch(): void {
    if (this.#memoryBatch !== null || this.#memory.length === 0) return;
    const rows = this.#memory.splice(0, BATCH_ROWS);
    if (this.#dropped > 0) {
      rows.push(JSON.stringify(this.#kind.dropped(this.#dropped, this.#options.now(), this.#options.random)));
      this.#dropped = 0;
    }
    this.#memoryBatch = { id: this.#newId(), rows };
    this.onWork?.();
  }

  #forget(id: string): void {
    this.#sealed.splice(this.#sealed.indexOf(id), 1);
    this.#handedOut.delete(id);
    this.#repaired.delete(id);
    unlinkQuietly(this.#path(id));
  }

  #path(id: string): string {
    return join(this.#options.folder, `${id}.jsonl`);
  }
}

/** The lines of a batch file, without a last line torn by a killed process. */
function readRows(path: string): string[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .filter((line) => line !== '');
}

/** The session named by a line, even if it is no longer a valid row. */
function sessionIn(line: string): string[] {
  const [, session = ''] = /"session":"([0-9a-z]{26})"/.exec(line) ?? [];
  return sessionIdPattern.test(session) ? [session] : [];
}

function unlinkQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Already removed, or the disk refuses: at worst it is sent again.
  }
}

function batchOf(rows: readonly string[]): Buffer {
  return Buffer.from(`[${rows.join(',')}]`);
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset);
}

function droppedRow(id: string, at: number, count: number): AuditRow {
  return {
    id,
    at,
    event: 'audit.dropped',
    actor: '',
    target: '',
    outcome: 'failure',
    code: 'SPOOL_FULL',
    reason: 'rows waited in memory and were dropped',
    source_address: '',
    session: '',
    node: '',
    login: '',
    data: JSON.stringify({ count }),
  };
}
