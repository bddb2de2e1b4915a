/**
 * The log of kernel events on disk, between the ring and the uplink: `FOLDER/<number>.log`, records as the ring has them.
 *
 *   1. Records are appended with write(2): they survive this process. Power cut: those not written back are missing.
 *   2. A file that reaches `FILE_BYTES` is followed by the next; numbers are never reused (`FOLDER/sequence`).
 *   3. When ingest has stored all rows of a completed file, the file is removed. Crash before that: its rows are made again,
 *      with the same numbers, which is harmless.
 *
 * A file of which ingest refused rows for good is kept as `<number>.refused`, the newest `KEPT_REFUSED` of them.
 *
 * Nothing is written beyond the budget; the caller counts the records dropped. Tested in log.test.ts.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

const FILE_BYTES = 8 << 20;
export const DEFAULT_BUDGET = 1 << 30;
/** Upper limit of `block` in rows. */
const LAST_FILE = 0x7fff_fffe;
const KEPT_REFUSED = 8;

export class EventLog {
  readonly #folder: string;
  readonly #budget: number;
  /** File sizes by number, oldest first; the last one is being written. */
  readonly #files = new Map<number, number>();
  #fd: number | null = null;
  #current = 0;
  #bytes = 0;
  /** Called for each new file, to write its head; false if that failed, in which case the file is not used. */
  onFile: (() => boolean) | null = null;

  constructor(folder: string, budget = DEFAULT_BUDGET) {
    this.#folder = folder;
    this.#budget = budget;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const numbers = readdirSync(folder)
      .flatMap((name) => /^(\d{1,10})\.log$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    for (const number of numbers) {
      const size = sizeOf(this.#path(number));
      this.#files.set(number, size);
      this.#bytes += size;
    }
    this.#current = Math.max(numbers.at(-1) ?? 0, readSequence(join(folder, 'sequence')));
  }

  /** File numbers, oldest first. */
  get files(): readonly number[] {
    return [...this.#files.keys()];
  }

  get current(): number | null {
    return this.#fd === null ? null : this.#current;
  }

  get bytes(): number {
    return this.#bytes;
  }

  size(file: number): number {
    return this.#files.get(file) ?? 0;
  }

  /** False: there is no room, or the disk refused, and nothing was written. */
  append(records: Uint8Array): boolean {
    if (this.#bytes + records.length > this.#budget || !this.ready()) return false;
    try {
      let written = 0;
      while (written < records.length) written += writeSync(this.#fd!, records, written);
    } catch {
      // A torn record ends the file: further records start another.
      this.#close();
      return false;
    }
    this.#files.set(this.#current, this.size(this.#current) + records.length);
    this.#bytes += records.length;
    return true;
  }

  /** Starts a file if the next records need one; false if the disk refuses. */
  ready(): boolean {
    try {
      if (this.#fd === null || this.size(this.#current) >= FILE_BYTES) this.#next();
      return true;
    } catch {
      this.#close();
      return false;
    }
  }

  /** Reads at most `into.length` bytes from `offset`; returns the number read. */
  read(file: number, offset: number, into: Buffer): number {
    const fd = openSync(this.#path(file), 'r');
    try {
      return readSync(fd, into, 0, into.length, offset);
    } finally {
      closeSync(fd);
    }
  }

  /** Completes the current file, so that it can be removed. */
  cut(): void {
    this.#close();
  }

  /** `aside`: ingest refused some of it for good; the file is kept under another name. */
  remove(file: number, aside: boolean): void {
    this.#bytes -= this.size(file);
    this.#files.delete(file);
    if (!aside) return unlinkSync(this.#path(file));
    const kept = readdirSync(this.#folder)
      .flatMap((name) => /^(\d{1,10})\.refused$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    for (const old of kept.slice(0, Math.max(0, kept.length - KEPT_REFUSED + 1))) unlinkSync(join(this.#folder, `${old}.refused`));
    renameSync(this.#path(file), join(this.#folder, `${file}.refused`));
  }

  close(): void {
    this.#close();
  }

  #next(): void {
    this.#close();
    const number = this.#current + 1;
    if (number > LAST_FILE) throw new Error('the log has used up its file numbers');
    writeFileSync(join(this.#folder, 'sequence.new'), String(number), { mode: 0o600 });
    renameSync(join(this.#folder, 'sequence.new'), join(this.#folder, 'sequence'));
    this.#fd = openSync(this.#path(number), 'ax', 0o600);
    this.#current = number;
    this.#files.set(number, 0);
    if (this.onFile?.() !== false) return;
    if (this.size(number) === 0) {
      this.#files.delete(number);
      unlinkSync(this.#path(number));
    }
    throw new Error('the head of the file is missing');
  }

  #close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #path(file: number): string {
    return join(this.#folder, `${file}.log`);
  }
}

function sizeOf(path: string): number {
  const fd = openSync(path, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

function readSequence(path: string): number {
  try {
    const number = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(number) && number >= 0 ? number : 0;
  } catch {
    return 0;
  }
}
