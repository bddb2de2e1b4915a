/**
 * Writes rows, one by one, as the JSON array sent to ingest or a gateway, into reused memory: a batch leaves no garbage to
 * collect, and a flood needs no more memory than the batches in flight.
 *
 * Each row is on a line of its own, so that a gateway can split the array without parsing it all at once
 * (gateway/tunnel/event-intake.ts). The memory passes to the node service's thread with the batch and returns when the batch
 * is stored. Tested in batch-text.test.ts.
 */
import { MAX_UPLINK_FRAME } from '#schemas/uplink.js';

/** The maximum size to send, leaving room for the frame's header. Pages never written take no memory. */
export const BATCH_BYTES = MAX_UPLINK_FRAME - 4096;

/** Buffers waiting for reuse, at most `keep` of them. */
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

  /** False: there is no room left, and nothing was written. */
  add(row: readonly unknown[]): boolean {
    const text = JSON.stringify(row);
    const buffer = (this.#buffer ??= this.#memory.take());
    // A character takes at most three bytes; a comma, a newline and a bracket may follow.
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

  /** Returns the array, which must have at least one row; its memory belongs to the caller until it is given back. */
  take(): Uint8Array {
    const buffer = this.#buffer!;
    buffer[this.#at] = 0x5d;
    const taken = buffer.subarray(0, this.#at + 1);
    this.#buffer = null;
    this.#at = this.#rows = 0;
    return taken;
  }
}
