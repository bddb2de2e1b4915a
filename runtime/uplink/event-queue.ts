/**
 * A durable queue of audit rows: `FOLDER/<id>.jsonl`, one file per batch, one row a line.
 *
 *   1. A row is appended to the open batch with write(2) before `push` returns. Crash: the row is in the file.
 *   2. A quarter of a second, 256 rows or 256 KiB later the batch is sealed: nothing joins it, and it may be sent. It is
 *      fsynced first. Power cut before that: rows of the last second may be missing.
 *   3. Ingest acknowledges the id; the file goes. Crash before: it is sent again under the same id, which is free.
 *
 * When the disk refuses a row, it waits in memory, `MEMORY_ROWS` at most, and leaves from there; beyond that the oldest
 * are dropped and counted in a row of their own. Tested in client.test.ts.
 */
import {
  closeSync,
  fdatasync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sessionId } from '#schemas/recording/line.js';
import type { AuditRow } from '#schemas/rows.js';
import type { BatchSource, EventBatch } from './source.js';

const SEAL_MS = 250;
const BATCH_ROWS = 256;
const BATCH_BYTES = 256 << 10;
const MEMORY_ROWS = 4096;

export interface EventQueueOptions {
  readonly folder: string;
  /** Ms since 1970. */
  readonly now: () => number;
  readonly random: (bytes: number) => Uint8Array;
  /** One append of one row; for tests of full disks. */
  readonly write?: (fd: number, bytes: Uint8Array) => void;
}

interface OpenBatch {
  readonly id: string;
  readonly fd: number;
  rows: number;
  bytes: number;
}

const fdatasyncAsync = promisify(fdatasync);

export class EventQueue implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #options: EventQueueOptions;
  readonly #write: (fd: number, bytes: Uint8Array) => void;
  /** Sealed batches on disk, oldest first, and those of them that were handed out. */
  readonly #sealed: string[];
  #handedOut = new Set<string>();
  #open: OpenBatch | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Rows the disk did not take. */
  #memory: string[] = [];
  #memoryBatch: { id: string; rows: string[] } | null = null;
  #dropped = 0;
  #sealing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: EventQueueOptions) {
    this.#options = options;
    this.#write = options.write ?? writeWhole;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    this.#sealed = readdirSync(options.folder)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => name.slice(0, -6))
      .sort();
  }

  /** Whether everything pushed was acknowledged. */
  get empty(): boolean {
    return this.#open === null && this.#sealed.length === 0 && this.inMemory === 0;
  }

  /** Rows not acknowledged, as far as they are not on disk. */
  get inMemory(): number {
    return this.#memory.length + (this.#memoryBatch?.rows.length ?? 0);
  }

  /** Adds `id` and `at`. Never throws. */
  push(row: Omit<AuditRow, 'id' | 'at'>): void {
    const now = this.#options.now();
    const line = JSON.stringify({ id: sessionId(now, this.#options.random(10)), at: now, ...row });
    if (!this.#append(line)) this.#remember(line);
    this.#timer ??= setTimeout(() => this.#seal(), SEAL_MS);
  }

  next(): EventBatch | null {
    if (this.#memoryBatch !== null && !this.#handedOut.has(this.#memoryBatch.id)) {
      this.#handedOut.add(this.#memoryBatch.id);
      return { id: this.#memoryBatch.id, payload: batchOf(this.#memoryBatch.rows) };
    }
    for (const id of [...this.#sealed]) {
      if (this.#handedOut.has(id)) continue;
      const rows = readRows(this.#path(id));
      if (rows.length > 0) {
        this.#handedOut.add(id);
        return { id, payload: batchOf(rows) };
      }
      this.#forget(id);
    }
    return null;
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

  /** The batch is kept as `<id>.refused`, out of the way of the others. */
  refused(id: string): void {
    const place = this.#sealed.indexOf(id);
    if (place < 0) {
      this.acknowledged(id);
      return;
    }
    renameSync(this.#path(id), join(this.#options.folder, `${id}.refused`));
    this.#sealed.splice(place, 1);
    this.#handedOut.delete(id);
  }

  /** Seals what is open and resolves when it is on disk. */
  async flush(): Promise<void> {
    this.#seal();
    await this.#sealing;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
  }

  #append(line: string): boolean {
    if (this.#closed) return false;
    let batch = this.#open;
    const bytes = Buffer.from(`${line}\n`);
    try {
      if (batch === null) {
        const id = sessionId(this.#options.now(), this.#options.random(10));
        batch = this.#open = { id, fd: openSync(this.#path(id), 'ax', 0o600), rows: 0, bytes: 0 };
      }
      this.#write(batch.fd, bytes);
    } catch {
      try {
        if (batch !== null) ftruncateSync(batch.fd, batch.bytes);
      } catch {
        // A torn line is skipped by whoever reads the batch, and the batch ends here.
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
      rows.push(JSON.stringify(droppedRow(sessionId(this.#options.now(), this.#options.random(10)), this.#options.now(), this.#dropped)));
      this.#dropped = 0;
    }
    this.#memoryBatch = { id: sessionId(this.#options.now(), this.#options.random(10)), rows };
    this.onWork?.();
  }

  #forget(id: string): void {
    this.#sealed.splice(this.#sealed.indexOf(id), 1);
    this.#handedOut.delete(id);
    unlinkSync(this.#path(id));
  }

  #path(id: string): string {
    return join(this.#options.folder, `${id}.jsonl`);
  }
}

/** Whole rows of a batch file; a torn line of a killed process is not one. */
function readRows(path: string): string[] {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{') && line.endsWith('}'));
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
