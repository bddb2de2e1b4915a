/**
 * The hash chain of one stream, a recording or an event log, as its blocks arrive.
 *
 * A block seen before is ignored if it is identical and refused if it is not; the bytes of blocks in parts stored long ago
 * are no longer compared, since nothing is written from a resend. Tested in ingest/uplink/connection.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import type { SignedCheckpoint, StoredCheckpoint } from '#schemas/recording/checkpoint.js';
import type { Stream } from '#schemas/recording/line.js';
import { sha256 } from '#runtime/sha256.js';

/** Limit in memory for blocks that no checkpoint covers yet; gateways sign every 256 KiB. */
const MAX_UNSIGNED_BYTES = 4 << 20;

export class BlockChain {
  n = 0;
  bytes = 0;
  head: Uint8Array;
  readonly #heads = new Map<number, Uint8Array>();

  /** `last`: the last stored checkpoint, if the chain continues after it. */
  constructor(session: string, stream: Stream, last: StoredCheckpoint | null) {
    this.head = last === null ? chainStart(sha256, session, stream) : Buffer.from(last.head, 'hex');
    if (last === null) return;
    this.n = last.block;
    this.bytes = last.bytes;
    this.#heads.set(last.block, this.head);
  }

  /**
   * The head after this block; null if the block was seen before. `unsigned`: bytes of blocks that no checkpoint covers.
   * Throws UPLINK_CHAIN_BROKEN or UPLINK_MALFORMED.
   */
  follow(n: number, headHex: string, content: Uint8Array, { closed, unsigned }: { closed: boolean; unsigned: number }): Uint8Array | null {
    if (n <= this.n) {
      const known = this.#heads.get(n);
      if (known !== undefined && toHex(known) !== headHex) throw broken(n, 'a different block with this number was received before');
      return null;
    }
    if (closed) throw broken(n, 'the session is closed');
    if (n !== this.n + 1) throw broken(n, `block ${this.n + 1} is missing`);
    const head = chainNext(sha256, this.head, content);
    if (toHex(head) !== headHex) throw broken(n, 'its hash does not match');
    if (unsigned + content.length > MAX_UNSIGNED_BYTES) throw new StenoError('UPLINK_MALFORMED', '4 MiB of blocks without a checkpoint');
    return head;
  }

  /** Adds the next block, whose head `follow` returned. */
  add(head: Uint8Array, content: Uint8Array): void {
    this.n += 1;
    this.head = head;
    this.bytes += content.length;
    this.#heads.set(this.n, head);
  }

  /** Blocks before this one are no longer compared. */
  forget(before: number): void {
    for (const n of this.#heads.keys()) if (n < before) this.#heads.delete(n);
  }

  /** Whether a checkpoint matches the current chain; `at`: session time of the last line. */
  fits({ block, bytes, at, head }: SignedCheckpoint, last: number): boolean {
    return block === this.n && bytes === this.bytes && at === last && head === toHex(this.head);
  }
}

export function broken(block: number, detail: string): StenoError {
  return new StenoError('UPLINK_CHAIN_BROKEN', `block ${block}: ${detail}`);
}
