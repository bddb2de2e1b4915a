/**
 * Rows as the JSON array that goes to ingest, written row by row into memory that is used again: a batch leaves nothing
 * behind that a collector of garbage would have to find, and a flood takes no more memory than the batches on their way.
 *
 * Memory goes to the node service's thread with the batch and comes back with the word that it is stored. Tested in
 * batch-text.test.ts.
 */
import { MAX_UPLINK_FRAME } from '#schemas/uplink.js';

/** The largest that may be sent, with room for the frame's header. Pages that are not written take no memory. */
export const BATCH_BYTES = MAX_UPLINK_FRAME - 4096;

export class BatchText {
  readonly #spare: Buffer[] = [];
  readonly #keep: number;
  #buffer: Buffer | null = null;
  #at = 0;
  #rows = 0;

  /** `keep`: so many pieces of memory wait for their next use. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#at;
  }

  /** False: it has no room any more, and nothing was written. */
  add(row: readonly unknown[]): boolean {
    const text = JSON.stringify(row);
    const buffer = (this.#buffer ??= this.#spare.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES));
    // A character takes three bytes at most; the comma and the brackets are behind it.
    if (this.#at + 3 * text.length + 2 > BATCH_BYTES && this.#at + Buffer.byteLength(text) + 2 > BATCH_BYTES) return false;
    buffer[this.#at] = this.#rows === 0 ? 0x5b : 0x2c;
    this.#at += 1 + buffer.write(text, this.#at + 1);
    this.#rows += 1;
    return true;
  }

  /** The array, of at least one row; its memory is the taker's until `back`. */
  take(): Uint8Array {
    const buffer = this.#buffer!;
    buffer[this.#at] = 0x5d;
    const taken = buffer.subarray(0, this.#at + 1);
    this.#buffer = null;
    this.#at = this.#rows = 0;
    return taken;
  }

  back(payload: Uint8Array): void {
    if (this.#spare.length < this.#keep && payload.buffer.byteLength === BATCH_BYTES)
      this.#spare.push(Buffer.from(payload.buffer as ArrayBuffer));
  }
}
