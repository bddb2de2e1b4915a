/**
 * The log of kernel events on disk, between the ring and the uplink: `FOLDER/<number>.log`, records as the ring has them.
 *
 *   1. Records are appended with write(2): they survive this process. Power cut: those not written back are missing.
 *   2. A file of `FILE_BYTES` is followed by the next; its number is never used again (`FOLDER/sequence`).
 *   3. When ingest has stored all rows of a file that is followed, the file goes. Crash before: its rows are made again,
 *      with the same numbers, which is free.
 *
 * A file of which ingest refused rows for good is kept as `<number>.refused`, the newest `KEPT_REFUSED` of them.
 *
 * Nothing beyond the budget is written; the caller counts what it could not keep. Tested in log.test.ts.
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
/** `block` of rows has room for so many. */
const LAST_FILE = 0x7fff_fffe;
const KEPT_REFUSED = 8;

export class EventLog {
  readonly #folder: string;
  readonly #budget: number;
  /** Bytes by number, oldest first; the last is being written. */
  readonly #files = new Map<number, number>();
  #fd: number | null = null;
  #current = 0;
  #bytes = 0;
  /** Told of each new file, to write what it needs at its head; false where that was refused, and then the file is not used. */
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

  /** Numbers, oldest first. */
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
      // What was torn is the file's end: the next records begin another.
      this.#close();
      return false;
    }
    this.#files.set(this.#current, this.size(this.#current) + records.length);
    this.#bytes += records.length;
    return true;
  }

  /** Begins a file if the next records need one; false: the disk refused. */
  ready(): boolean {
    try {
      if (this.#fd === null || this.size(this.#current) >= FILE_BYTES) this.#next();
      return true;
    } catch {
      this.#close();
      return false;
    }
  }

  /** At most `into.length` bytes from `offset`; answers how many. */
  read(file: number, offset: number, into: Buffer): number {
    const fd = openSync(this.#path(file), 'r');
    try {
      return readSync(fd, into, 0, into.length, offset);
    } finally {
      closeSync(fd);
    }
  }

  /** Ends the file that is being written, so that it may go. */
  cut(): void {
    this.#close();
  }

  /** `aside`: ingest refused some of it for good; it is kept, out of the way. */
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
    if (number > LAST_FILE) throw new Error('the log has used its numbers');
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
