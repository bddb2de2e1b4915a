/** The last bytes of a direction that went over its limit, until they are written. Tested in recorder.test.ts. */

/** Bytes of a direction kept beyond its limit each time it pauses or ends; also the memory a busy direction uses. */
export const TAIL_BYTES = 16 << 10;

export class Tail {
  /** A ring buffer once it is full. */
  readonly #bytes = Buffer.allocUnsafeSlow(TAIL_BYTES);
  #start = 0;
  #length = 0;
  /** Bytes that passed before the ones held. */
  dropped = 0;
  /** Session time of the first byte and of the last. */
  readonly since: number;
  until: number;

  constructor(now: number) {
    this.since = this.until = now;
  }

  push(bytes: Buffer, now: number): void {
    this.until = now;
    const kept = bytes.length > TAIL_BYTES ? bytes.subarray(bytes.length - TAIL_BYTES) : bytes;
    const over = Math.max(0, this.#length + bytes.length - TAIL_BYTES);
    this.dropped += over;
    const at = (this.#start + this.#length) % TAIL_BYTES;
    const first = kept.copy(this.#bytes, at, 0, TAIL_BYTES - at);
    if (first < kept.length) kept.copy(this.#bytes, 0, first);
    this.#length = Math.min(TAIL_BYTES, this.#length + bytes.length);
    // The buffer is full if bytes were dropped: it starts where the newest byte ends.
    if (over > 0) this.#start = (at + kept.length) % TAIL_BYTES;
  }

  /** The held bytes, in order. */
  bytes(): Buffer {
    const end = this.#start + this.#length;
    if (end <= TAIL_BYTES) return this.#bytes.subarray(this.#start, end);
    return Buffer.concat([this.#bytes.subarray(this.#start), this.#bytes.subarray(0, end - TAIL_BYTES)]);
  }
}
