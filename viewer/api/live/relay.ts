/**
 * Followers of live sessions: blocks that ingest has not stored yet, relayed as text, one message per block or draft (schemas/feed.ts).
 *
 * All followers of a session share one feed from ingest (shared-feed.ts); each is sent the session at its own pace (follower.ts). Limits:
 * `MAX_FOLLOWERS`, of `MAX_FEEDS` sessions, with `MAX_KEPT` bytes of blocks. Tested in relay.test.ts and ingests.test.ts.
 */
import type { WebSocket } from 'ws';
import { liveCloses } from '#schemas/feed.js';
import type { Log } from '#runtime/log.js';
import { CatchUpTurns } from './catch-up-turns.js';
import { Follower } from './follower.js';
import { IngestFeed, Ingests } from './ingest-feed.js';
import type { FeedEvents, LiveSource } from './ingest-feed.js';
import { SharedFeed } from './shared-feed.js';

const MAX_FOLLOWERS = 1_024;
const MAX_FEEDS = 256;
/** Bytes of blocks kept of one session, and of all. */
const MAX_KEPT_EACH = 512 * 1024;
const MAX_KEPT = 32 << 20;
const CATCH_UP_AT_ONCE = 16;

export interface Follow {
  readonly session: string;
  /** The last block the viewer has. */
  readonly after: number;
  /** Whether the viewer accepts drafts. */
  readonly drafts: boolean;
  /** Throws if the viewer is no longer signed in. */
  readonly recheck: () => Promise<void>;
}

export class LiveRelay {
  readonly #ingests: Ingests;
  readonly #followers = new Set<Follower>();
  /** By session and whether they bring drafts. */
  readonly #feeds = new Map<string, SharedFeed>();
  readonly #turns = new CatchUpTurns(CATCH_UP_AT_ONCE);

  constructor(source: LiveSource, log: Log) {
    this.#ingests = new Ingests(source, log);
  }

  follow(viewer: WebSocket, { session, after, drafts, recheck }: Follow): void {
    const open =
      (withDrafts: boolean) =>
      (from: number, events: FeedEvents): IngestFeed =>
        new IngestFeed(this.#ingests, { session, after: from, drafts: withDrafts }, events);
    const key = `${session} ${String(drafts)}`;
    let shared = this.#feeds.get(key);
    if (this.#followers.size >= MAX_FOLLOWERS || (shared === undefined && this.#feeds.size >= MAX_FEEDS))
      return viewer.close(liveCloses.full, 'too many viewers follow live sessions');
    if (shared === undefined) {
      const made = new SharedFeed(after, {
        open: open(drafts),
        kept: () => Math.min(MAX_KEPT_EACH, MAX_KEPT / Math.max(1, this.#feeds.size)),
        closed: () => {
          if (this.#feeds.get(key) === made) this.#feeds.delete(key);
        },
      });
      this.#feeds.set(key, made);
      shared = made;
    }
    const follower: Follower = new Follower(viewer, after, {
      ...{ shared, open: open(false), turns: this.#turns, recheck },
      gone: () => this.#followers.delete(follower),
    });
    this.#followers.add(follower);
    follower.start();
  }

  /** Checks again whether each viewer may still follow, because the facts for that decision changed. */
  recheck(): void {
    for (const follower of this.#followers) follower.recheck();
  }

  /** Locates every session's ingest again, because the current one may have been removed. */
  reconnect(): void {
    for (const feed of this.#feeds.values()) feed.reconnect();
    for (const follower of this.#followers) follower.reconnect();
  }

  close(): void {
    for (const follower of this.#followers) follower.end(liveCloses.unavailable, 'this server is shutting down');
  }
}
