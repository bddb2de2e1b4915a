/**
 * Follows a live session: blocks that ingest has not stored yet, relayed as text, one message per block or draft.
 *
 *     looking ──the ingest that has it──► relaying ──`over`──► closed
 *        ▲                                   │
 *        └──────── cut off ◄─────────────────┤
 *                                            └── ingest no longer has it `behind`, too slow `slow`, signed out `signedOut` ──► closed
 *     looking, at every ingest in vain, for AWAY_MS after it was cut off ──► `unavailable`
 *
 * The authority says which ingest has the session (decision 0076); that ingest is tried first and the others after it, so the answer
 * may be late, wrong or missing. The contract with ingest and with browsers is schemas/feed.ts.
 *
 * A viewer that reads slowly holds back its own feed: while more than `MAX_BACKLOG` bytes wait for it, nothing is read from ingest,
 * which serves later blocks from memory or from the store (ingest/feed/follower.ts). A viewer that reads nothing for `STALLED_MS` is
 * closed with `slow`. At most `MAX_VIEWERS` follow at a time. Tested in relay.test.ts.
 */
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import { FeedCursor, feedCloses, formatFeedRequest, liveCloses } from '#schemas/feed.js';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL, decodeUplink } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';
import { peerService } from '#runtime/service/identity.js';

export interface LiveSource {
  /** `wss://host:port` of the ingests, at least one. */
  readonly urls: readonly string[];
  /** Client certificate of kind viewer, and the CA of the ingests' certificates. */
  readonly tls: ConnectionOptions;
  /** Name of the ingest that has a session; null if unknown. */
  readonly find: (session: string) => Promise<string | null>;
  /** Called back when an ingest was removed; returns a function that unsubscribes. */
  readonly onRemoved?: (callback: () => void) => () => void;
}

const MAX_BACKLOG = 16 * 1024;
const STALLED_MS = 60_000;
const MAX_VIEWERS = 256;
const RECHECK_MS = 5_000;
const CONNECT_MS = 10_000;
/** If an ingest restarts, its gateways move to another one within a second. */
const AWAY_MS = 5_000;
const AGAIN_MS = 250;
/**
 * An ingest that does not have the session closes at once; a connection open for longer than this had the session, which printed
 * nothing.
 */
const SILENT_MS = 1_000;

/** Prefix of a draft's bytes (schemas/feed.ts). */
const BEGINS = Buffer.from('=');
const GOES_ON = Buffer.from('+');

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
  readonly #source: LiveSource;
  readonly #log: Log;
  readonly #open = new Set<() => void>();
  readonly #rechecks = new Set<() => void>();
  readonly #feeds = new Set<WebSocket>();
  /** Names of ingests by address, from their most recent certificates. */
  readonly #names = new Map<string, string>();

  constructor(source: LiveSource, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  follow(viewer: WebSocket, { session, after, drafts, recheck }: Follow): void {
    if (this.#open.size >= MAX_VIEWERS) {
      viewer.close(liveCloses.full, 'too many viewers follow live sessions');
      return;
    }
    const cursor = new FeedCursor({ session, after });
    let done = false;
    let feed: WebSocket | undefined;
    const end = (code: number, reason: string): void => {
      if (done) return;
      done = true;
      clearInterval(timer);
      this.#open.delete(stop);
      this.#rechecks.delete(ask);
      viewer.close(code, reason);
      feed?.terminate();
    };
    const stop = (): void => end(liveCloses.unavailable, 'this server is shutting down');
    this.#open.add(stop);
    const ask = (): void => {
      recheck().catch(() => end(liveCloses.signedOut, 'you are no longer signed in'));
    };
    this.#rechecks.add(ask);
    /** When reading for this viewer was paused, monotonic ms; null: it is not paused. */
    let heldSince: number | null = null;
    const timer = setInterval(() => {
      ask();
      if (heldSince !== null && performance.now() - heldSince > STALLED_MS)
        end(liveCloses.slow, 'this viewer is too slow for the session; read the replay instead');
    }, RECHECK_MS);
    const sent = (): void => {
      if (heldSince === null) return;
      if (viewer.bufferedAmount > MAX_BACKLOG) {
        // The viewer took some of the backlog.
        heldSince = performance.now();
        return;
      }
      heldSince = null;
      feed?.resume();
    };

    const take = (data: RawData, binary: boolean): void => {
      if (done) return;
      try {
        const step = cursor.take(decodeUplink(binary ? asBytes(data) : new Uint8Array(0)));
        if (step.kind === 'hole') end(liveCloses.behind, 'earlier blocks are stored now');
        if (step.kind === 'draft') viewer.send(Buffer.concat([step.begins ? BEGINS : GOES_ON, step.bytes]), { binary: false }, sent);
        if (step.kind === 'block') viewer.send(step.lines, { binary: false }, sent);
      } catch (error) {
        this.#log.warn({ err: error, session }, 'ingest sent what is no block');
        end(liveCloses.unavailable, 'the live stream is damaged');
        return;
      }
      if (viewer.bufferedAmount <= MAX_BACKLOG) return;
      heldSince ??= performance.now();
      // After a reconnect, the new feed is not paused yet.
      feed?.pause();
    };
    /** Resolves when the ingest has closed: `over`, whether it reported the end of the session; `had`, whether it had the session. */
    const read = (url: string): Promise<{ readonly over: boolean; readonly had: boolean }> =>
      new Promise((resolve) => {
        const socket = new WebSocket(new URL(formatFeedRequest({ session, after: cursor.last, drafts }), url), UPLINK_PROTOCOL, {
          ...this.#source.tls,
          maxPayload: MAX_UPLINK_FRAME,
          handshakeTimeout: CONNECT_MS,
          perMessageDeflate: false,
        });
        feed = socket;
        this.#feeds.add(socket);
        socket.on('close', () => this.#feeds.delete(socket));
        let had = false;
        let openedAt = Infinity;
        socket.on('upgrade', ({ socket: below }) => {
          openedAt = performance.now();
          const peer = peerService(below as TLSSocket);
          if (peer !== null) this.#names.set(url, peer.name);
        });
        socket.on('message', (data, binary) => {
          had = true;
          take(data, binary);
        });
        socket.on('error', (error) => this.#log.debug({ err: error, session }, 'live stream failed'));
        socket.on('close', (code) => resolve({ over: code === feedCloses.over, had: had || performance.now() - openedAt > SILENT_MS }));
      });
    const run = async (): Promise<void> => {
      let until = -Infinity;
      while (!done) {
        for (const url of await this.#ordered(session)) {
          if (done) return;
          const { over, had } = await read(url);
          if (over) return end(liveCloses.over, 'the session is over');
          if (had) until = performance.now() + AWAY_MS;
        }
        if (performance.now() > until) return end(liveCloses.unavailable, 'the live stream was cut off');
        await sleep(AGAIN_MS);
      }
    };
    run().catch((error: unknown) => {
      this.#log.error({ err: error, session }, 'following a live session failed');
      end(liveCloses.unavailable, 'the live stream was cut off');
    });
    // A viewer must not send anything.
    viewer.on('message', () => end(liveCloses.misuse, 'this socket only sends'));
    viewer.on('close', () => end(liveCloses.over, ''));
    viewer.on('error', () => end(liveCloses.over, ''));
  }

  /** The ingest known to have the session first, then the ingests with unknown names. */
  async #ordered(session: string): Promise<readonly string[]> {
    const { urls, find } = this.#source;
    if (urls.length === 1) return urls;
    const name = await find(session).catch((error: unknown) => {
      this.#log.debug({ err: error, session }, 'failed to ask the authority which ingest has a session');
      return null;
    });
    const rank = (url: string): number => (this.#names.has(url) ? (this.#names.get(url) === name ? 0 : 2) : 1);
    return [...urls].sort((a, b) => rank(a) - rank(b));
  }

  /** Checks again whether each viewer may still follow, because the facts for that decision changed. */
  recheck(): void {
    for (const ask of this.#rechecks) ask();
  }

  /** Locates every session's ingest again, because the current one may have been removed. */
  reconnect(): void {
    for (const feed of this.#feeds) feed.terminate();
  }

  close(): void {
    for (const stop of this.#open) stop();
  }
}

function asBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
