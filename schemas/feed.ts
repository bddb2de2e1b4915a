/**
 * The feed: the blocks of a live session, as ingest gives them to followers, and as the viewer passes them on to browsers.
 *
 *     ingest   wss /live?session=ID&after=BLOCK[&drafts=1]   mutual TLS, subprotocol of the uplink; for peers of kind viewer
 *              one message a block: the uplink's frame `block` (session, n, head, lines); between them, where asked for, frames `draft`
 *     viewer   wss /api/sessions/ID/live?after=BLOCK[&drafts=1]
 *              one text message a block: its lines; between them, where asked for, drafts of the next block: `=` and its first
 *              bytes, or `+` and those that follow what was sent of it
 *
 * A draft is what the gateway has recorded of a block that is not cut yet; its last line may lack its end (`"]` and a newline), never part of
 * a character or of an escape. The blocks that follow begin with the same bytes (a last line that is too long for the block begins the next
 * one), unless the gateway was killed in between.
 *
 * Order: the first block is `after` + 1, and none is left out or repeated: what is stored comes first, then what comes in.
 * A slow follower delays only itself.
 * Followers only listen: a message from one closes its connection with `misuse`.
 * Resume: after `away` a follower connects again with the last block that it has. A browser that is told `behind` or
 * `unavailable` reads the segment index first, since what it lacks may be stored by now.
 *
 * Pure, without the uplink's decoder, so that the page need not load it. Tested in feed.test.ts.
 */
import { isSessionId } from './recording/line.js';

export const FEED_PATH = '/live';

/** Why ingest closes. `over`: the session has ended and all of it was sent. `away`: its gateway sends nothing here now. */
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

/** Null for anything that is no request. `query`: of the URL. */
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
  /** Of the next block. `begins`: it replaces what was drafted of it. */
  | { readonly kind: 'draft'; readonly begins: boolean; readonly bytes: Uint8Array }
  /** For another session, of another kind, or seen already: ignore it. */
  | { readonly kind: 'other' }
  /** Blocks between are missing. */
  | { readonly kind: 'hole' };

/** A follower's place in the feed. */
export class FeedCursor {
  readonly #session: string;
  #last: number;
  /** Bytes drafted of the next block. */
  #drafted = 0;

  constructor({ session, after }: Pick<FeedRequest, 'session' | 'after'>) {
    this.#session = session;
    this.#last = after;
  }

  /** The last block that was taken, to come again with. */
  get last(): number {
    return this.#last;
  }

  /** `frame`: as `decodeUplink` gives it. */
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
