/**
 * Under flood, exact repetitions by one thread are counted in the record of the first occurrence.
 *
 *     A  A  B  A  A  A   of one thread   ──►   A ×2  B  A ×3      in order of first occurrence
 *
 * A counted record gets 16 bytes after its texts, the time of the last occurrence and the count, and a flag. Nothing is left
 * out and no record overtakes an earlier one; only the times between first and last are lost. Records are compared by
 * everything except the time. Tested in folding.test.ts.
 */
import { COUNT_BYTES, RECORD_BYTES, flags, kinds } from './record.js';
import { RING_HEADER, isDiscarded, stride } from '../probes/ring.js';

const LENGTH = 0x3fff_ffff;

interface First {
  /** Start of its record, in words, in the input and in the output. */
  from: number;
  to: number;
  length: number;
}

export class Folding {
  #bytes = new Uint8Array(0);
  #words = new Int32Array(0);
  readonly #first = new Map<number, First>();

  /** Returns the same records, folded; valid until the next call. `records` must be aligned to eight bytes. */
  fold(records: Uint8Array): Uint8Array {
    const input = new Int32Array(records.buffer, records.byteOffset, records.length >>> 2);
    // The smallest record grows by a sixth.
    const room = (records.length * 5) >>> 2;
    if (this.#bytes.length < room) {
      this.#bytes = new Uint8Array((room + 7) & ~7);
      this.#words = new Int32Array(this.#bytes.buffer);
    }
    const output = this.#words;
    this.#first.clear();
    let to = 0;
    for (let from = 0; from < input.length;) {
      const header = input[from]! >>> 0;
      const words = stride(header) >>> 2;
      const length = header & LENGTH;
      const record = from + (RING_HEADER >>> 2);
      const kind = input[record + 3]! & 0xff;
      if (isDiscarded(header) || length < RECORD_BYTES) {
        for (let i = 0; i < words; i++) output[to + i] = input[from + i]!;
        to += words;
        from += words;
        continue;
      }
      const thread = input[record + 5]!;
      const first = this.#first.get(thread);
      if (first !== undefined && first.length === length && same(input, first.from, record, length)) {
        // The time of the last occurrence, then the count; one read never holds more than 2^32 records.
        const counted = first.to + (((length + 7) & ~7) >>> 2);
        output[counted] = input[record]!;
        output[counted + 1] = input[record + 1]!;
        output[counted + 2]! += 1;
        from += words;
        continue;
      }
      for (let i = 0; i < words; i++) output[to + i] = input[from + i]!;
      if (kind === kinds.file || kind === kinds.net) {
        output[to] = ((length + 7) & ~7) + COUNT_BYTES;
        const begin = to + (RING_HEADER >>> 2);
        output[begin + 3]! |= flags.counted << 16;
        const end = to + words;
        output[end] = input[record]!;
        output[end + 1] = input[record + 1]!;
        output[end + 2] = 1;
        output[end + 3] = 0;
        if (first === undefined) this.#first.set(thread, { from: record, to: begin, length });
        else {
          first.from = record;
          first.to = begin;
          first.length = length;
        }
        to += words + (COUNT_BYTES >>> 2);
      } else {
        this.#first.delete(thread);
        to += words;
      }
      from += words;
    }
    return this.#bytes.subarray(0, to << 2);
  }
}

/** Compares everything except the time, which is the first two words. */
function same(words: Int32Array, a: number, b: number, length: number): boolean {
  const whole = length >>> 2;
  for (let i = 2; i < whole; i++) if (words[a + i] !== words[b + i]) return false;
  const left = length & 3;
  // Little endian: the low bytes of the last word count.
  return left === 0 || ((words[a + whole]! ^ words[b + whole]!) & ((1 << (8 * left)) - 1)) === 0;
}
