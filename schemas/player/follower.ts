/**
 * Keeps the replay of a live session up to date, using the live socket and the index of segments.
 *
 * Whenever the socket closes, for any reason (schemas/feed.ts), the follower reads the index again and, while the session is live,
 * opens the socket again after the last known block. It waits less if the socket closed because blocks were stored or the session
 * ended, and twice as long each time, up to `LONGEST_RETRY_MS`, while the socket closes without a message: a refusal looks like a lost
 * network to a browser, and the server audits refusals. Only `misuse` is final: the server will not serve this request. Tested in follower.test.ts, and in the page in
 * test/end-to-end/live-page.test.ts.
 */
import { liveCloses } from '../feed.js';
import type { Replay, ReplayIndex } from './replay.js';

/** A tail longer than this makes the follower check whether segments have taken over its blocks. In characters. */
const TAIL_CHARACTERS = 1 << 20;
const INDEX_AGAIN_MS = 30_000;
const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;

export interface SocketEvents {
  message(text: string): void;
  /** Called once, with a code of `liveCloses` or a WebSocket close code. */
  closed(code: number): void;
}

export interface FollowerParts<Index extends ReplayIndex> {
  readonly replay: Replay;
  /** The index that the replay has. */
  readonly index: Index;
  readonly readIndex: () => Promise<Index>;
  /** Opens the socket after block `after`, drafts included; returns a function that closes it. */
  readonly connect: (after: number, events: SocketEvents) => () => void;
  /** See `ReplayParts`. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Called when the index was read again and passed to the replay. */
  readonly indexed?: (index: Index) => void;
}

export class Follower<Index extends ReplayIndex> {
  readonly #parts: FollowerParts<Index>;
  #index: Index;
  #hangUp: (() => void) | null = null;
  #timer: () => void = () => undefined;
  #over = false;
  /** Connections since the last message that closed without one. */
  #silent = 0;

  constructor(parts: FollowerParts<Index>) {
    this.#parts = parts;
    this.#index = parts.index;
    if (parts.index.live) this.#connect();
  }

  get index(): Index {
    return this.#index;
  }

  async refresh(): Promise<void> {
    const index = await this.#parts.readIndex();
    if (this.#over) return;
    this.#index = index;
    this.#parts.replay.update(index);
    this.#parts.indexed?.(index);
  }

  close(): void {
    this.#over = true;
    this.#timer();
    this.#hangUp?.();
    this.#hangUp = null;
  }

  #again(ms: number): void {
    this.#timer();
    if (this.#over) return;
    this.#timer = this.#parts.after(ms, () => {
      this.refresh().then(
        () => {
          if (!this.#index.live) return;
          if (this.#hangUp === null) this.#connect();
          else this.#again(INDEX_AGAIN_MS);
        },
        () => this.#again(RETRY_MS * 3),
      );
    });
  }

  #connect(): void {
    if (this.#over) return;
    const { replay, connect } = this.#parts;
    this.#hangUp = connect(replay.block, {
      message: (text) => {
        if (this.#over) return;
        this.#silent = 0;
        if (text.startsWith('=') || text.startsWith('+')) replay.draft(text.slice(1), text.startsWith('='));
        else replay.live(text);
        if (replay.tailCharacters > TAIL_CHARACTERS) this.#again(0);
      },
      closed: (code) => {
        this.#hangUp = null;
        if (code === liveCloses.misuse) this.#timer();
        else if (code === liveCloses.over || code === liveCloses.behind) this.#again(RETRY_MS / 4);
        else this.#again(Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** this.#silent++));
      },
    });
    this.#again(INDEX_AGAIN_MS);
  }
}
