/**
 * Reads the kernel's ring buffer from mapped memory, without a call per event.
 *
 * The reader keeps its own position: root can move the one shared with the kernel, without moving this one. If that made the
 * kernel overwrite unread records, reading continues at the writer's position, and the hole is counted (record-count.ts).
 *
 * Layout (kernel/bpf/ringbuf.c): a page with the reader's position, a page with the writer's, then the data, mapped twice in
 * a row so that no record wraps. A record is `u32 length | BUSY | DISCARD, u32 unused, bytes`, aligned to eight bytes.
 * Tested in ring.test.ts on plain memory, and in programs.test.ts on the kernel's.
 */
import { mapMemory } from './libbpf.js';
import { PAGE } from './programs.js';
import type { RingPlace } from './programs.js';

const BUSY = 0x8000_0000;
const DISCARD = 0x4000_0000;
export const RING_HEADER = 8;

export interface RingMemory {
  /** Read by the kernel: this reader's position. */
  readonly consumer: BigInt64Array;
  readonly producer: BigInt64Array;
  /** Twice the size of the ring. */
  readonly data: Uint8Array;
}

export function mapRing({ fd, size }: RingPlace): RingMemory {
  const shared = mapMemory(fd, PAGE + 2 * size, PAGE, false);
  return {
    consumer: new BigInt64Array(mapMemory(fd, PAGE, 0, true), 0, 1),
    producer: new BigInt64Array(shared, 0, 1),
    data: new Uint8Array(shared, PAGE, 2 * size),
  };
}

export class Ring {
  readonly #memory: RingMemory;
  readonly #words: Int32Array;
  readonly #mask: number;
  #position: bigint;

  constructor(memory: RingMemory) {
    this.#memory = memory;
    this.#words = new Int32Array(memory.data.buffer, memory.data.byteOffset, memory.data.length / 4);
    this.#mask = memory.data.length / 2 - 1;
    this.#position = Atomics.load(memory.consumer, 0);
  }

  /** Unread bytes. */
  get waiting(): number {
    return Number(Atomics.load(this.#memory.producer, 0) - this.#position);
  }

  /** The writer's position now: `read(…, upTo)` reads records before it and none after. */
  mark(): bigint {
    return Atomics.load(this.#memory.producer, 0);
  }

  /**
   * Passes unread complete records, with their headers, at most about `limit` bytes, and frees their space when `take`
   * returns. `take` must not keep the bytes. Returns the number of bytes.
   */
  read(limit: number, take: (records: Uint8Array) => void, upTo = this.mark()): number {
    if (this.waiting > this.#mask + 1) {
      this.#position = Atomics.load(this.#memory.producer, 0);
      Atomics.store(this.#memory.consumer, 0, this.#position);
    }
    const consumed = this.#position;
    const available = Math.min(limit, Number(upTo - consumed));
    const start = Number(consumed & BigInt(this.#mask));
    let length = 0;
    while (length < available) {
      const header = Atomics.load(this.#words, (start + length) >>> 2) >>> 0;
      // The writer has reserved this record and not completed it.
      if ((header & BUSY) !== 0) break;
      length += stride(header);
    }
    if (length === 0) return 0;
    take(this.#memory.data.subarray(start, start + length));
    this.#position = consumed + BigInt(length);
    Atomics.store(this.#memory.consumer, 0, this.#position);
    return length;
  }
}

/** Bytes from one record's header to the next, given the header's first word. */
export function stride(header: number): number {
  return (RING_HEADER + (header & ~(BUSY | DISCARD)) + 7) & ~7;
}

/** Whether the kernel discarded the record. */
export function isDiscarded(header: number): boolean {
  return (header & DISCARD) !== 0;
}
