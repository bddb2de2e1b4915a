/**
 * Reads the log record by record, whether records are stored singly or packed together.
 *
 * A record's `ordinal` is the number of records before it in its file, and `place` is its position; both are the same
 * whenever the file is read. Tested in log-cursor.test.ts.
 */
import type { EventLog } from './log.js';
import { unpack } from '../records/packing.js';
import { KernelRecord, kinds } from '../records/record.js';
import { RING_HEADER, isDiscarded, stride } from '../probes/ring.js';

/** Maximum length of a record. */
export const CHUNK = 256 << 10;
const LENGTH = 0x3fff_ffff;

export class LogCursor {
  readonly #log: EventLog;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK);
  readonly #plain = new KernelRecord(this.#chunk);
  /** File offset of the data in `#chunk`. */
  #from = 0;
  #to = 0;
  /** 0 if no file is being read. */
  #file = 0;
  #offset = 0;
  #ordinal = 0;
  /** The packed records at `#offset`, and how far they have been read. */
  #packed: KernelRecord | null = null;
  #inside = 0;
  #behind = 0;
  #place = '';

  constructor(log: EventLog) {
    this.#log = log;
  }

  get file(): number {
    return this.#file;
  }

  /** Number of records of the file already read. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** Bytes of the file not yet read. */
  get left(): number {
    return this.#file === 0 ? 0 : this.#log.size(this.#file) - this.#offset;
  }

  /** Position of the last record returned. */
  get place(): string {
    return this.#place;
  }

  /** Moves to the start of a file; 0 for none. */
  seek(file: number): void {
    this.#file = file;
    this.#offset = this.#ordinal = this.#from = this.#to = 0;
    this.#packed = null;
  }

  /** The next record, valid until the next call; null if the file has no more at the moment. */
  next(): KernelRecord | null {
    for (;;) {
      const record = this.#packed === null ? this.#nextPlain() : this.#nextPacked(this.#packed);
      if (record === 'none') return null;
      if (record !== 'again') return record;
    }
  }

  #nextPacked(record: KernelRecord): KernelRecord | 'again' {
    const at = this.#inside;
    const { bytes } = record;
    if (at + RING_HEADER > bytes.length) {
      this.#packed = null;
      this.#offset = this.#behind;
      return 'again';
    }
    const header = bytes.readUInt32LE(at);
    this.#inside = at + stride(header);
    this.#place = placeOf(this.#file, this.#offset, at);
    this.#ordinal += 1;
    return !isDiscarded(header) && record.point(at + RING_HEADER, header & LENGTH) ? record : 'again';
  }

  #nextPlain(): KernelRecord | 'again' | 'none' {
    if (this.left <= 0) return 'none';
    let header = this.#header();
    if (header === null) {
      this.#from = this.#offset;
      this.#to = this.#from + this.#log.read(this.#file, this.#offset, this.#chunk.subarray(0, Math.min(CHUNK, this.left)));
      header = this.#header();
      if (header === null) {
        // Torn by a crash, or longer than any record: nothing valid follows in this file.
        if (this.#file !== this.#log.current) this.#offset = this.#log.size(this.#file);
        return 'none';
      }
    }
    const at = this.#offset - this.#from;
    const behind = this.#offset + stride(header);
    if (isDiscarded(header) || !this.#plain.point(at + RING_HEADER, header & LENGTH)) {
      this.#offset = behind;
      this.#ordinal += 1;
      return 'again';
    }
    if (this.#plain.kind === kinds.packed) {
      const bytes = unpack(this.#plain);
      if (bytes === null) {
        this.#offset = behind;
        return 'again';
      }
      this.#packed = new KernelRecord(bytes);
      this.#inside = 0;
      this.#behind = behind;
      return 'again';
    }
    this.#place = placeOf(this.#file, this.#offset, 0);
    this.#offset = behind;
    this.#ordinal += 1;
    return this.#plain;
  }

  /** Header of the record at the offset, if the whole record is in the chunk. */
  #header(): number | null {
    if (this.#offset < this.#from || this.#offset + RING_HEADER > this.#to) return null;
    const header = this.#chunk.readUInt32LE(this.#offset - this.#from);
    return this.#offset + stride(header) <= this.#to ? header : null;
  }
}

/** `inside`: index among the records packed at `offset`. */
export function placeOf(file: number, offset: number, inside: number): string {
  return `${file} ${offset} ${inside}`;
}
