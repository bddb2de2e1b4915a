/**
 * One viewer that follows a live session: sends it what the session's shared feed has, in order and without holes.
 *
 *     sharing ──what it lacks was dropped from the tail──► waiting for a turn ──► catching up ──the tail has the rest──► sharing
 *        └─────────────────────────────┴──over, slow, signed out, gone──► ended ◄──────┘ (yields its turn to others that wait)
 *
 * A viewer that reads slowly delays itself alone: while more than `MAX_BACKLOG` bytes wait for it, nothing is sent to it, and nothing is
 * kept for it either. Once it reads again, it gets the rest from the tail, or from ingest by a feed of its own. A viewer that reads
 * nothing for `STALLED_MS` is closed with `slow`. Tested in relay.test.ts.
 */
import type { WebSocket } from 'ws';
import { liveCloses } from '#schemas/feed.js';
import type { CatchUpTurns } from './catch-up-turns.js';
import type { FeedEvents, IngestFeed } from './ingest-feed.js';
import type { FeedReader, SharedFeed } from './shared-feed.js';
import type { Position } from './tail.js';

export const MAX_BACKLOG = 16 * 1024;
const STALLED_MS = 60_000;
const RECHECK_MS = 5_000;

export interface FollowerDeps {
  readonly shared: SharedFeed;
  /** Opens a feed for this viewer alone. */
  readonly open: (after: number, events: FeedEvents) => IngestFeed;
  readonly turns: CatchUpTurns;
  /** Throws if the viewer may not follow any more. */
  readonly recheck: () => Promise<void>;
  readonly gone: () => void;
}

export class Follower implements FeedReader {
  readonly #viewer: WebSocket;
  readonly #deps: FollowerDeps;
  readonly #position: Position;
  readonly #timer: NodeJS.Timeout;
  /** When sending was paused, monotonic ms; null: it is not paused. */
  #heldSince: number | null = null;
  #waiting = false;
  /** While catching up. */
  #own: IngestFeed | null = null;
  /** Blocks sent in this turn of catching up. */
  #caught = 0;
  #done = false;

  /** `after`: the last block the viewer has. */
  constructor(viewer: WebSocket, after: number, deps: FollowerDeps) {
    this.#viewer = viewer;
    this.#deps = deps;
    this.#position = { last: after, draft: null, drafted: 0 };
    this.#timer = setInterval(() => this.#tick(), RECHECK_MS);
    // A viewer must not send anything.
    viewer.on('message', () => this.end(liveCloses.misuse, 'this socket only sends'));
    viewer.on('close', () => this.end(liveCloses.over, ''));
    viewer.on('error', () => this.end(liveCloses.over, ''));
  }

  start(): void {
    this.#deps.shared.join(this);
    this.serve();
  }

  end(code: number, reason: string): void {
    if (this.#done) return;
    this.#done = true;
    clearInterval(this.#timer);
    this.#stopCatchingUp();
    this.#deps.shared.leave(this);
    this.#viewer.close(code, reason);
    this.#deps.gone();
  }

  /** Checks again whether the viewer may still follow. */
  recheck(): void {
    this.#deps.recheck().catch(() => this.end(liveCloses.signedOut, 'you are no longer signed in'));
  }

  reconnect(): void {
    this.#own?.reconnect();
  }

  serve(): void {
    const { shared } = this.#deps;
    while (!this.#done && this.#heldSince === null && this.#own === null && !this.#waiting) {
      const message = shared.tail.next(this.#position);
      if (message === 'behind') return this.#catchUp();
      if (message !== null) this.#send(message);
      else if (shared.ended === null) return;
      else return this.end(shared.ended.code, shared.ended.reason);
    }
  }

  #send(message: Uint8Array): void {
    this.#viewer.send(message, { binary: false }, this.#sent);
    if (this.#viewer.bufferedAmount > MAX_BACKLOG) this.#heldSince ??= performance.now();
  }

  readonly #sent = (): void => {
    if (this.#heldSince === null || this.#done) return;
    if (this.#viewer.bufferedAmount > MAX_BACKLOG) {
      // The viewer took some of the backlog.
      this.#heldSince = performance.now();
      return;
    }
    this.#heldSince = null;
    if (this.#own === null) this.serve();
    else this.#own.resume();
  };

  #catchUp(): void {
    this.#waiting = true;
    this.#deps.turns.ask(this.#start);
  }

  readonly #start = (): void => {
    this.#waiting = false;
    this.#caught = 0;
    this.#own = this.#deps.open(this.#position.last, {
      block: (lines) => {
        this.#position.last++;
        this.#caught++;
        this.#send(lines);
        if (this.#position.last >= this.#deps.shared.tail.base) this.#share();
        else if (this.#heldSince !== null) this.#own!.pause();
      },
      // The tail has the draft.
      draft: () => undefined,
      ended: ({ code, reason }) => this.end(code, reason),
    });
  };

  #stopCatchingUp(): void {
    if (this.#waiting) this.#deps.turns.withdraw(this.#start);
    this.#waiting = false;
    if (this.#own === null) return;
    this.#own.close();
    this.#own = null;
    this.#deps.turns.finish();
  }

  #tick(): void {
    this.recheck();
    if (this.#heldSince !== null && performance.now() - this.#heldSince > STALLED_MS)
      return this.end(liveCloses.slow, 'this viewer is too slow for the session; read the replay instead');
    if (this.#own === null) return;
    this.#deps.shared.rebase(this.#position.last);
    if (this.#position.last >= this.#deps.shared.tail.base) return this.#share();
    // A slow viewer must not keep others from catching up.
    if (this.#deps.turns.wanted && (this.#caught > 0 || this.#heldSince !== null)) this.#share();
  }

  /** Goes on with the shared feed, or waits for another turn. */
  #share(): void {
    this.#stopCatchingUp();
    this.serve();
  }
}
