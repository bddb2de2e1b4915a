/**
 * Rows as the JSON array that goes to ingest or a gateway, written row by row into memory that is used again: a batch leaves nothing
 * behind that a collector of garbage would have to find, and a flood takes no more memory than the batches on their way.
 *
 * Each row stands on a line of its own, so that a gateway can take them apart without parsing the whole at once
 * (gateway/tunnel/event-intake.ts). Memory goes to the node service's thread with the batch and comes back with the word that it is
 * stored. Tested in batch-text.test.ts.
 */
import { MAX_UPLINK_FRAME } from '#schemas/uplink.js';

/** The largest that may be sent, with room for the frame's header. Pages that are not written take no memory. */
export const BATCH_BYTES = MAX_UPLINK_FRAME - 4096;

/** Pieces of memory that wait for their next use, `keep` of them at most. */
export class BatchMemory {
  readonly #spare: Buffer[] = [];
  readonly #keep: number;

  constructor(keep: number) {
    this.#keep = keep;
  }

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
  }

  back(payload: Uint8Array): void {
    if (this.#spare.length < this.#keep && payload.buffer.byteLength === BATCH_BYTES)
      this.#spare.push(Buffer.from(payload.buffer as ArrayBuffer));
  }
}

export class BatchText {
  readonly #memory: BatchMemory;
  #buffer: Buffer | null = null;
  #at = 0;
  #rows = 0;

  constructor(memory: BatchMemory) {
    this.#memory = memory;
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
    const buffer = (this.#buffer ??= this.#memory.take());
    // A character takes three bytes at most; the comma, the newline and the bracket are behind it.
    if (this.#at + 3 * text.length + 3 > BATCH_BYTES && this.#at + Buffer.byteLength(text) + 3 > BATCH_BYTES) return false;
    if (this.#rows === 0) buffer[this.#at++] = 0x5b;
    else {
      buffer[this.#at++] = 0x2c;
      buffer[this.#at++] = 0x0a;
    }
    this.#at += buffer.write(text, this.#at);
    this.#rows += 1;
    return true;
  }

  /** The array, of at least one row; its memory is the taker's until it goes back. */
  take(): Uint8Array {
    const buffer = this.#buffer!;
    buffer[this.#at] = 0x5d;
    const taken = buffer.subarray(0, this.#at + 1);
    this.#buffer = null;
    this.#at = this.#rows = 0;
    return taken;
  }
}
