/**
 * The hash chain of one stream as its blocks come in: of a recording, or of an event log.
 *
 * A block that was seen before is ignored when it is the same and refused when it is not; of parts stored long ago the bytes are no
 * longer compared, since nothing is written from a resend. Tested in ingest/uplink/connection.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import type { SignedCheckpoint, StoredCheckpoint } from '#schemas/recording/checkpoint.js';
import type { Stream } from '#schemas/recording/line.js';
import { sha256 } from '#runtime/sha256.js';

/** Blocks that no checkpoint covers yet may take this much memory; gateways sign every 256 KiB. */
const MAX_UNSIGNED_BYTES = 4 << 20;

export class BlockChain {
  n = 0;
  bytes = 0;
  head: Uint8Array;
  readonly #heads = new Map<number, Uint8Array>();

  /** `last`: the checkpoint that is stored, when the chain goes on behind it. */
  constructor(session: string, stream: Stream, last: StoredCheckpoint | null) {
    this.head = last === null ? chainStart(sha256, session, stream) : Buffer.from(last.head, 'hex');
    if (last === null) return;
    this.n = last.block;
    this.bytes = last.bytes;
    this.#heads.set(last.block, this.head);
  }

  /** The head after this block; null where it came before. `unsigned`: bytes of blocks that no checkpoint covers. Throws UPLINK_CHAIN_BROKEN or UPLINK_MALFORMED. */
  follow(n: number, headHex: string, content: Uint8Array, { closed, unsigned }: { closed: boolean; unsigned: number }): Uint8Array | null {
    if (n <= this.n) {
      const known = this.#heads.get(n);
      if (known !== undefined && toHex(known) !== headHex) throw broken(n, 'another block of this number came before');
      return null;
    }
    if (closed) throw broken(n, 'the session is closed');
    if (n !== this.n + 1) throw broken(n, `block ${this.n + 1} is missing`);
    const head = chainNext(sha256, this.head, content);
    if (toHex(head) !== headHex) throw broken(n, 'its hash does not follow');
    if (unsigned + content.length > MAX_UNSIGNED_BYTES) throw new StenoError('UPLINK_MALFORMED', 'no checkpoint in 4 MiB of blocks');
    return head;
  }

  /** The block after the last, whose head `follow` gave. */
  add(head: Uint8Array, content: Uint8Array): void {
    this.n += 1;
    this.head = head;
    this.bytes += content.length;
    this.#heads.set(this.n, head);
  }

  /** What came before is compared no more. */
  forget(before: number): void {
    for (const n of this.#heads.keys()) if (n < before) this.#heads.delete(n);
  }

  /** Whether a checkpoint speaks of the chain as it is; `at`: session time of the last line. */
  fits({ block, bytes, at, head }: SignedCheckpoint, last: number): boolean {
    return block === this.n && bytes === this.bytes && at === last && head === toHex(this.head);
  }
}

export function broken(block: number, detail: string): StenoError {
  return new StenoError('UPLINK_CHAIN_BROKEN', `block ${block}: ${detail}`);
}
