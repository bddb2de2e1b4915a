/**
 * Outgoing bytes, gathered in slabs that all connections share and reuse: a packet is built and encrypted in the memory it
 * is sent from. Allocating memory for each packet would make V8 run a full collection every 30 MB.
 *
 * An empty outbox holds no slab. One that is full because its peer does not read holds whole slabs, however few bytes are in them, so
 * connections that may be many and idle use small ones. Limits: up to `KEPT_SLABS` free slabs of each size are kept; further ones go back
 * to the system. Tested in outbox.test.ts.
 */

/** Larger than a data packet, so that each fits in one slab; anything larger is split over several. */
export const SLAB_BYTES = 128 * 1024;
/** Holds a packet of 16 KiB of data. */
export const SMALL_SLAB_BYTES = 20 * 1024;
const KEPT_SLABS = 16;

interface SlabSize {
  readonly bytes: number;
  readonly free: Buffer[];
}

const large: SlabSize = { bytes: SLAB_BYTES, free: [] };
const small: SlabSize = { bytes: SMALL_SLAB_BYTES, free: [] };

class Slab {
  readonly #size: SlabSize;
  readonly #memory: Buffer;
  #from = 0;
  #to = 0;

  constructor(size: SlabSize) {
    this.#size = size;
    this.#memory = size.free.pop() ?? Buffer.allocUnsafeSlow(size.bytes);
  }

  /** Bytes put and not yet taken; valid until `giveBack`. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  get length(): number {
    return this.#to - this.#from;
  }

  get room(): number {
    return this.#memory.length - this.#to;
  }

  reserve(length: number): Buffer {
    return this.#memory.subarray(this.#to, this.#to + length);
  }

  put(bytes: Uint8Array): void {
    // Bytes reserved here are already in place.
    if (bytes.buffer !== this.#memory.buffer || bytes.byteOffset !== this.#memory.byteOffset + this.#to) this.#memory.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  take(into: Buffer, at: number, length: number): void {
    this.#memory.copy(into, at, this.#from, this.#from + length);
    this.#from += length;
  }

  /** The slab must not be used afterwards. */
  giveBack(): void {
    if (this.#size.free.length < KEPT_SLABS) this.#size.free.push(this.#memory);
  }
}

export class Outbox {
  #length = 0;
  #size = large;
  /** Bytes are taken from the first slab and put into the last. */
  #slabs: Slab[] = [];

  get length(): number {
    return this.#length;
  }

  /** Uses small slabs from now on. */
  shrink(): void {
    this.#size = small;
  }

  /** Room for `length` bytes, at most `SLAB_BYTES`. They count once they are `put`, which must be the next call. */
  reserve(length: number): Buffer {
    return this.#withRoom(length).reserve(length);
  }

  put(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + this.#size.bytes);
      this.#withRoom(piece.length).put(piece);
      at += piece.length;
    }
    this.#length += bytes.length;
  }

  /** Takes the oldest slab; the caller gives it back. */
  takeSlab(): Slab | undefined {
    const slab = this.#slabs.shift();
    this.#length -= slab?.length ?? 0;
    return slab;
  }

  /** Moves the oldest `length` bytes, which must be present, into `into`. */
  take(into: Buffer, at: number, length: number): void {
    for (let moved = 0; moved < length;) {
      const slab = this.#slabs[0]!;
      const piece = Math.min(slab.length, length - moved);
      slab.take(into, at + moved, piece);
      moved += piece;
      if (slab.length === 0) this.#slabs.shift()!.giveBack();
    }
    this.#length -= length;
  }

  clear(): void {
    for (const slab of this.#slabs) slab.giveBack();
    this.#slabs = [];
    this.#length = 0;
  }

  #withRoom(length: number): Slab {
    const last = this.#slabs.at(-1);
    if (last !== undefined && last.room >= length) return last;
    const slab = new Slab(length > this.#size.bytes ? large : this.#size);
    this.#slabs.push(slab);
    return slab;
  }
}
