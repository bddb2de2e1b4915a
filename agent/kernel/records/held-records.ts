/**
 * Holds records of sessions not announced yet, in memory, up to `HELD_BYTES` over all sessions and for at most `HELD_MS`.
 * Further records are only counted, and the count becomes a gap of the session as soon as it is known. Counts of numbers
 * that are never announced cannot be reported to anyone: beyond `COUNTED` the oldest are forgotten.
 *
 * The node service announces a session before its first process exists, so records are early only because a busy thread may
 * see them before the announcement. Tested in held-records.test.ts.
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
  /** When the first record was held, by the caller's clock in ms. */
  readonly since: number;
}

export class HeldRecords {
  readonly #waiting = new Map<number, Waiting>();
  readonly #lost = new Map<number, Lost>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Copies one record, including its header. */
  add(number: number, record: Uint8Array, now: number): void {
    if (this.#bytes + record.length > HELD_BYTES) return this.#count(number, record);
    const waiting = this.#waiting.get(number) ?? { pieces: [], bytes: 0, since: now };
    waiting.pieces.push(Uint8Array.from(record));
    waiting.bytes += record.length;
    this.#bytes += record.length;
    this.#waiting.set(number, waiting);
  }

  /** The records held for this session, in order, and the count of those lost. */
  take(number: number): { readonly records: Uint8Array | null; readonly lost: Lost | null } {
    const waiting = this.#waiting.get(number);
    const lost = this.#lost.get(number) ?? null;
    this.#waiting.delete(number);
    this.#lost.delete(number);
    if (waiting !== undefined) this.#bytes -= waiting.bytes;
    return { records: waiting === undefined ? null : Buffer.concat(waiting.pieces), lost };
  }

  /** Counts records that have waited too long, and drops them. */
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
