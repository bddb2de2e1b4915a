/**
 * The feed: the blocks of a live session, as ingest sends them to followers, and as the viewer relays them to browsers.
 *
 *     ingest   wss /live?session=ID&after=BLOCK[&drafts=1]   mutual TLS, subprotocol of the uplink; for peers of kind viewer
 *              one message per block: the uplink's frame `block` (session, n, head, lines); in between, if requested, frames `draft`
 *     viewer   wss /api/sessions/ID/live?after=BLOCK[&drafts=1]
 *              one text message per block: its lines; in between, if requested, drafts of the next block: `=` and its first
 *              bytes, or `+` and the bytes after those already sent
 *
 * A draft is the part of an incomplete block that the gateway has recorded so far; its last line may lack its end (`"]` and a newline),
 * but characters and escapes are complete. The following blocks begin with the same bytes (a last line that is too long for the block
 * begins the next one), unless the gateway was killed in between.
 *
 * Order: the first block is `after` + 1, and none is left out or repeated: stored blocks first, then new ones as they arrive.
 * A slow follower delays only itself.
 * Followers only listen: a message from one closes its connection with `misuse`.
 * Resume: after `away` a follower reconnects with the last block that it has. A browser that gets `behind` or `unavailable`
 * reads the segment index first, since the missing blocks may be stored by now.
 *
 * Pure, without the uplink's decoder, so that the page need not load it. Tested in feed.test.ts.
 */
import { isSessionId } from './recording/line.js';

export const FEED_PATH = '/live';

/** Why ingest closes. `over`: the session has ended and everything was sent. `away`: its gateway is not connected to this ingest now. */
export const feedCloses = { over: 1000, misuse: 1008, away: 1012 } as const;

/** Why the viewer closes. */
export const liveCloses = { over: 1000, misuse: 1008, signedOut: 4401, behind: 4409, slow: 4413, full: 4429, unavailable: 4503 } as const;

export interface FeedRequest {
  readonly session: string;
  /** The last block that the follower has; 0: none. */
  readonly after: number;
  /** Whether the follower takes drafts. */
  readonly drafts: boolean;
}

/** Path and query of a request. */
export function formatFeedRequest({ session, after, drafts }: FeedRequest): string {
  return `${FEED_PATH}?session=${session}&after=${after}${drafts ? '&drafts=1' : ''}`;
}

/** Null if it is not a valid request. `query`: the URL's. */
export function parseFeedRequest(query: Query): FeedRequest | null {
  const session = query.get('session') ?? '';
  const after = query.get('after') ?? '0';
  return isSessionId(session) && /^\d{1,15}$/.test(after) ? { session, after: Number(after), drafts: query.get('drafts') === '1' } : null;
}

/** The required part of URLSearchParams, since this folder has the types of neither Node nor browsers. */
interface Query {
  get(name: string): string | null;
}

export type FeedStep =
  | { readonly kind: 'block'; readonly lines: Uint8Array }
  /** A draft of the next block. `begins`: it replaces earlier drafts of the block. */
  | { readonly kind: 'draft'; readonly begins: boolean; readonly bytes: Uint8Array }
  /** For another session, of another kind, or seen already: ignore it. */
  | { readonly kind: 'other' }
  /** Blocks between are missing. */
  | { readonly kind: 'hole' };

/** A follower's position in the feed. */
export class FeedCursor {
  readonly #session: string;
  #last: number;
  /** Bytes of the next block received as drafts. */
  #drafted = 0;

  constructor({ session, after }: Pick<FeedRequest, 'session' | 'after'>) {
    this.#session = session;
    this.#last = after;
  }

  /** The last block taken, for reconnecting. */
  get last(): number {
    return this.#last;
  }

  /** `frame`: as returned by `decodeUplink`. */
  take(frame: { readonly kind: string; readonly header: object; readonly payload: Uint8Array }): FeedStep {
    const { session, n, from } = frame.header as { readonly session?: unknown; readonly n?: unknown; readonly from?: unknown };
    if (frame.kind === 'draft' && session === this.#session && n === this.#last + 1 && (from === 0 || from === this.#drafted)) {
      this.#drafted = from + frame.payload.length;
      return { kind: 'draft', begins: from === 0, bytes: frame.payload };
    }
    if (frame.kind !== 'block' || session !== this.#session || typeof n !== 'number' || n <= this.#last) return { kind: 'other' };
    if (n !== this.#last + 1) return { kind: 'hole' };
    this.#last = n;
    this.#drafted = 0;
    return { kind: 'block', lines: frame.payload };
  }
}
