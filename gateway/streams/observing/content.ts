/**
 * The SHA-256 of a file's content that passes in pieces with offsets, in order or nearly so.
 *
 * Bytes at the next offset go straight into the hash. A piece that arrives early is copied and waits, within the given
 * budget; when the budget is spent the digest is given up and `broken` says why. A repeated piece is ignored when
 * reading; when writing it changes content already hashed, so it breaks the digest. Tested in content.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { Budget } from './budget.js';

interface Early {
  readonly offset: number;
  readonly bytes: Buffer;
  /** Bytes of the piece that have arrived. */
  length: number;
}
/** Cost of a waiting piece beside its bytes: the object and its own allocation. */
const PIECE_COST = 512;

export class Content {
  /** Everything before this offset is in the hash. */
  next = 0;
  /** The end of the highest piece that passed; `moved`: the bytes that passed, repeated ones included. */
  top = 0;
  moved = 0;
  /** The reason why there will be no digest. */
  broken: string | null = null;
  private readonly budget: Budget;
  private readonly repeats: 'ignored' | 'break';
  private hash: Hash | null = null;
  /** Sorted by offset. */
  private early: Early[] = [];
  private position = 0;
  private current: Early | null = null;

  constructor(budget: Budget, repeats: 'ignored' | 'break') {
    this.budget = budget;
    this.repeats = repeats;
  }

  /** A piece of `length` bytes starts at `offset`; `bytes` and `endPiece` follow. Pieces do not interleave. */
  startPiece(offset: number, length: number): void {
    this.position = offset;
    if (!Number.isSafeInteger(offset)) this.breakDigest('an offset is beyond 2^53');
    if (this.broken !== null || offset === this.next || length === 0) return;
    if (offset < this.next) {
      if (this.repeats === 'break') this.breakDigest('parts were written again');
      return;
    }
    const at = this.placeOf(offset);
    if (this.repeats === 'break' && this.early[at]?.offset === offset) {
      this.breakDigest('parts were written again');
      return;
    }
    if (this.budget.wouldExceed(PIECE_COST + length)) {
      this.breakDigest('the content came too far out of order');
      return;
    }
    if (!this.budget.take(PIECE_COST + length)) {
      this.breakDigest('the gateway had no memory left to put the content in order');
      return;
    }
    // Not from Node's pool of small buffers: a small piece would keep the whole slab of the pool in memory.
    this.current = { offset, bytes: Buffer.allocUnsafeSlow(length), length: 0 };
    this.early.splice(at, 0, this.current);
  }

  bytes(slice: Buffer): void {
    const start = this.position;
    this.position += slice.length;
    this.moved += slice.length;
    if (this.position > this.top) this.top = this.position;
    if (this.broken !== null) return;
    if (this.current !== null) {
      this.current.length += slice.copy(this.current.bytes, this.current.length);
    } else if (start === this.next) {
      this.absorb(slice);
    } else if (this.position > this.next) {
      // The tail of a piece whose start was already hashed.
      this.absorb(slice.subarray(this.next - start));
    }
  }

  endPiece(): void {
    this.current = null;
    let absorbed = 0;
    for (let first = this.early[0]; first !== undefined && first.offset <= this.next; first = this.early[absorbed]) {
      absorbed++;
      this.budget.give(PIECE_COST + first.bytes.length);
      if (first.offset < this.next && this.repeats === 'break') {
        this.early.splice(0, absorbed);
        this.breakDigest('parts were written again');
        return;
      }
      if (first.offset + first.length > this.next) this.absorb(first.bytes.subarray(this.next - first.offset, first.length));
    }
    if (absorbed > 0) this.early.splice(0, absorbed);
  }

  /** Whether pieces wait for one before them: the content has holes, or more was sent after a loss. */
  get hasEarly(): boolean {
    return this.early.length > 0;
  }

  breakDigest(reason: string): void {
    this.broken ??= reason;
    this.release();
  }

  /** The digest of everything before `next`, in hex. May be called once. */
  digest(): string | null {
    if (this.broken !== null) return null;
    const hash = this.hash ?? createHash('sha256');
    this.hash = null;
    return hash.digest('hex');
  }

  /** Gives the held memory back to the budget. */
  release(): void {
    for (const piece of this.early) this.budget.give(PIECE_COST + piece.bytes.length);
    this.early = [];
    this.current = null;
    this.hash = null;
  }

  /** Index of the first waiting piece at or after `offset`. */
  private placeOf(offset: number): number {
    let [low, high] = [0, this.early.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.early[middle]!.offset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private absorb(slice: Buffer): void {
    this.hash ??= createHash('sha256');
    this.hash.update(slice);
    this.next += slice.length;
  }
}
