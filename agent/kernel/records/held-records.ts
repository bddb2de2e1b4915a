/**
 * Records of sessions that nobody has announced yet. They wait for the announcement in memory, `HELD_BYTES` of all sessions
 * and `HELD_MS` at most; beyond, they are counted, and the count becomes a gap of the session as soon as it is known. Of
 * numbers that are never announced nothing can be said to anyone: the oldest counts beyond `COUNTED` are forgotten.
 *
 * The node service announces a session before its first process exists, so this is for the order in which a busy thread
 * hears of things, not for any in which they happen. Tested in held-records.test.ts.
 */
import { RING_HEADER } from '../probes/ring.js';

export const HELD_BYTES = 1 << 20;
export const HELD_MS = 10_000;
const COUNTED = 1_000;

export interface Lost {
  count: number;
  /** CLOCK_BOOTTIME in ns. */
  first: number;
  last: number;
}

interface Waiting {
  readonly pieces: Uint8Array[];
  bytes: number;
  /** Of the first piece, by the caller's clock in ms. */
  readonly since: number;
}

export class HeldRecords {
  readonly #waiting = new Map<number, Waiting>();
  readonly #lost = new Map<number, Lost>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy of one record, its header included. */
  add(number: number, record: Uint8Array, now: number): void {
    if (this.#bytes + record.length > HELD_BYTES) return this.#count(number, record);
    const waiting = this.#waiting.get(number) ?? { pieces: [], bytes: 0, since: now };
    waiting.pieces.push(Uint8Array.from(record));
    waiting.bytes += record.length;
    this.#bytes += record.length;
    this.#waiting.set(number, waiting);
  }

  /** What waited for this session, in its order, and what was lost of it. */
  take(number: number): { readonly records: Uint8Array | null; readonly lost: Lost | null } {
    const waiting = this.#waiting.get(number);
    const lost = this.#lost.get(number) ?? null;
    this.#waiting.delete(number);
    this.#lost.delete(number);
    if (waiting !== undefined) this.#bytes -= waiting.bytes;
    return { records: waiting === undefined ? null : Buffer.concat(waiting.pieces), lost };
  }

  /** Counts what has waited too long. */
  expire(now: number): void {
    for (const [number, { pieces, bytes, since }] of this.#waiting) {
      if (now - since < HELD_MS) continue;
      this.#waiting.delete(number);
      this.#bytes -= bytes;
      for (const piece of pieces) this.#count(number, piece);
    }
  }

  #count(number: number, record: Uint8Array): void {
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    const time = view.getUint32(RING_HEADER + 4, true) * 2 ** 32 + view.getUint32(RING_HEADER, true);
    const lost = this.#lost.get(number);
    if (lost === undefined) this.#lost.set(number, { count: 1, first: time, last: time });
    else {
      lost.count += 1;
      lost.first = Math.min(lost.first, time);
      lost.last = Math.max(lost.last, time);
    }
    if (this.#lost.size > COUNTED) this.#lost.delete(this.#lost.keys().next().value!);
  }
}
