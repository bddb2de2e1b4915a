/**
 * Where rows are made from the log: one record after the other, whether it lies there by itself or packed with others.
 *
 * A record's `ordinal` counts those before it in its file, and `place` says where it lies; both are the same whenever
 * the file is read. Tested in log-cursor.test.ts.
 */
import type { EventLog } from './log.js';
import { unpack } from '../records/packing.js';
import { KernelRecord, kinds } from '../records/record.js';
import { RING_HEADER, isDiscarded, stride } from '../probes/ring.js';

/** No record is longer than this. */
export const CHUNK = 256 << 10;
const LENGTH = 0x3fff_ffff;

export class LogCursor {
  readonly #log: EventLog;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK);
  readonly #plain = new KernelRecord(this.#chunk);
  /** What of the file is in `#chunk`. */
  #from = 0;
  #to = 0;
  /** 0: no file is being read. */
  #file = 0;
  #offset = 0;
  #ordinal = 0;
  /** Records that lay packed at `#offset`, and how far they are read. */
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

  /** How many records of the file are behind. */
  get ordinal(): number {
    return this.#ordinal;
  }

  /** Bytes of the file that are not behind. */
  get left(): number {
    return this.#file === 0 ? 0 : this.#log.size(this.#file) - this.#offset;
  }

  /** Of the record that came last. */
  get place(): string {
    return this.#place;
  }

  /** To the beginning of a file; 0: of none. */
  seek(file: number): void {
    this.#file = file;
    this.#offset = this.#ordinal = this.#from = this.#to = 0;
    this.#packed = null;
  }

  /** The next record, valid until the next call; null: the file has no more now. */
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
        // Torn by a crash, or longer than a chunk, which no record is: nothing follows in this file.
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

  /** Of the record at the offset, if all of it is in the chunk. */
  #header(): number | null {
    if (this.#offset < this.#from || this.#offset + RING_HEADER > this.#to) return null;
    const header = this.#chunk.readUInt32LE(this.#offset - this.#from);
    return this.#offset + stride(header) <= this.#to ? header : null;
  }
}

/** `inside`: among the records that are packed at `offset`. */
export function placeOf(file: number, offset: number, inside: number): string {
  return `${file} ${offset} ${inside}`;
}
