/**
 * One feed of a live session for all who follow it: one connection to ingest, and one copy of its newest blocks (tail.ts).
 *
 * Nobody slows the feed: a reader takes from the tail at its own pace, and one that falls behind the tail catches up apart (follower.ts).
 * `AT_A_TIME` readers are served in each turn of the event loop, so that other requests do not wait for all of them. Tested in
 * relay.test.ts.
 */
import type { FeedEnd, FeedEvents, IngestFeed } from './ingest-feed.js';
import { Tail } from './tail.js';

const AT_A_TIME = 32;

export interface FeedReader {
  /** The tail has more, or the feed has ended. */
  serve(): void;
}

export interface SharedFeedDeps {
  /** Opens a feed of the session from this block on. */
  readonly open: (after: number, events: FeedEvents) => IngestFeed;
  /** How many bytes of blocks may be kept. */
  readonly kept: () => number;
  /** The feed has ended, or nobody reads it any more. */
  readonly closed: () => void;
}

export class SharedFeed {
  readonly #deps: SharedFeedDeps;
  readonly #readers = new Set<FeedReader>();
  #tail: Tail;
  #feed: IngestFeed;
  /** A block has arrived: the tail stands where the session does. */
  #started = false;
  #ended: FeedEnd | null = null;
  /** Readers that were not served in this round. */
  #unserved: FeedReader[] = [];
  /** Something arrived during this round. */
  #more = false;

  constructor(after: number, deps: SharedFeedDeps) {
    this.#deps = deps;
    this.#tail = new Tail(after);
    this.#feed = this.#open(after);
  }

  get tail(): Tail {
    return this.#tail;
  }

  /** Why nothing follows what the tail has; null: the feed goes on. */
  get ended(): FeedEnd | null {
    return this.#ended;
  }

  join(reader: FeedReader): void {
    this.#readers.add(reader);
  }

  /**
   * Begins again after this block, unless a block has arrived: the first reader may have named a block that does not exist yet, and others
   * must not wait for it.
   */
  rebase(after: number): void {
    if (this.#started || this.#ended !== null || after >= this.#tail.base) return;
    this.#feed.close();
    this.#tail = new Tail(after);
    this.#feed = this.#open(after);
  }

  leave(reader: FeedReader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0) return;
    this.#feed.close();
    this.#deps.closed();
  }

  reconnect(): void {
    this.#feed.reconnect();
  }

  #open(after: number): IngestFeed {
    return this.#deps.open(after, {
      block: (lines) => {
        this.#started = true;
        this.#tail.block(lines, this.#deps.kept());
        this.#changed();
      },
      draft: (begins, bytes) => {
        this.#tail.drafted(begins, bytes);
        this.#changed();
      },
      ended: (end) => {
        this.#ended = end;
        this.#deps.closed();
        this.#changed();
      },
    });
  }

  #changed(): void {
    if (this.#unserved.length > 0) {
      this.#more = true;
      return;
    }
    this.#unserved = [...this.#readers].reverse();
    this.#serveSome();
  }

  #serveSome(): void {
    for (let i = 0; i < AT_A_TIME; i++) this.#unserved.pop()?.serve();
    if (this.#unserved.length > 0) return void setImmediate(() => this.#serveSome());
    if (!this.#more) return;
    this.#more = false;
    setImmediate(() => this.#changed());
  }
}
