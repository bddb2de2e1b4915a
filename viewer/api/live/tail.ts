/**
 * The newest blocks of a live session and the draft of the next, as messages to followers: one copy of each for all of them. Tested in
 * tail.test.ts.
 */

/** Prefix of a draft's bytes (schemas/feed.ts). */
const BEGINS = Buffer.from('=');
const GOES_ON = Buffer.from('+');
/** Counted for each block beside its bytes, so that many small blocks are bounded too. */
const BLOCK_OVERHEAD = 256;

/** What a follower was sent. */
export interface Position {
  /** The last block. */
  last: number;
  /** The draft of which bytes were sent, and how many. */
  draft: object | null;
  drafted: number;
}

export class Tail {
  /** Blocks `#base` + 1 to `#last`. */
  readonly #blocks: Buffer[] = [];
  #bytes = 0;
  #base: number;
  #last: number;
  /** Of block `#last` + 1. `id` changes when the draft starts over. */
  #draft: { readonly id: object; readonly content: Buffer } | null = null;
  /** The most recent message with bytes of the draft: followers that keep up are all sent the same. */
  #made: { readonly id: object; readonly from: number; readonly message: Buffer } | null = null;

  constructor(after: number) {
    this.#base = after;
    this.#last = after;
  }

  /** Followers that have this block and later ones are served. */
  get base(): number {
    return this.#base;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the next block. At most `kept` bytes of blocks stay, and always the newest block. */
  block(lines: Uint8Array, kept: number): void {
    this.#blocks.push(ownCopy(lines));
    this.#bytes += lines.length + BLOCK_OVERHEAD;
    this.#last++;
    this.#draft = null;
    this.#made = null;
    let dropped = 0;
    while (this.#bytes > kept && dropped < this.#blocks.length - 1) this.#bytes -= this.#blocks[dropped++]!.length + BLOCK_OVERHEAD;
    this.#blocks.splice(0, dropped);
    this.#base += dropped;
  }

  /** Adds bytes of the next block. `begins`: they replace those that were drafted before. */
  drafted(begins: boolean, bytes: Uint8Array): void {
    const before = begins ? null : this.#draft;
    this.#draft = { id: before?.id ?? {}, content: Buffer.concat([before?.content ?? Buffer.alloc(0), bytes]) };
    this.#made = null;
  }

  /** The next message for a follower, who is regarded as having it from now on; null: nothing yet; `behind`: it was dropped. */
  next(position: Position): Buffer | 'behind' | null {
    if (position.last < this.#base) return 'behind';
    if (position.last < this.#last) {
      position.drafted = 0;
      position.draft = null;
      return this.#blocks[position.last++ - this.#base]!;
    }
    const draft = this.#draft;
    // A follower may say that it has blocks which were not sent here yet.
    if (draft === null || position.last > this.#last) return null;
    const from = position.draft === draft.id ? position.drafted : 0;
    if (from === draft.content.length) return null;
    if (this.#made?.id !== draft.id || this.#made.from !== from)
      this.#made = { id: draft.id, from, message: Buffer.concat([from === 0 ? BEGINS : GOES_ON, draft.content.subarray(from)]) };
    position.draft = draft.id;
    position.drafted = draft.content.length;
    return this.#made.message;
  }
}

/** Memory that nothing else shares: a slice of Node's pool, or of a larger message, would keep all of it. */
function ownCopy(bytes: Uint8Array): Buffer {
  return Buffer.from(new Uint8Array(bytes).buffer);
}
