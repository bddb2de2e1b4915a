/**
 * The feed of one session, from whichever ingest has it.
 *
 *     looking ──the ingest that has it──► relaying ──`over`──► ended
 *        ▲                                   │
 *        └──────── cut off ◄─────────────────┤
 *                                            └── ingest no longer has a block `behind`, closed ──► ended
 *     looking, at every ingest in vain, for AWAY_MS after it was cut off ──► `unavailable`
 *
 * The authority says which ingest has the session (decision 0076); that ingest is tried first and the others after it, so the answer
 * may be late, wrong or missing. The contract with ingest is schemas/feed.ts. While paused, nothing is read from ingest, which serves
 * later blocks from memory or from the store (ingest/feed/follower.ts). Tested in ingests.test.ts.
 */
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import { FeedCursor, feedCloses, formatFeedRequest, liveCloses } from '#schemas/feed.js';
import type { FeedRequest } from '#schemas/feed.js';
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

const CONNECT_MS = 10_000;
/** If an ingest restarts, its gateways move to another one within a second. */
const AWAY_MS = 5_000;
const AGAIN_MS = 250;
/**
 * An ingest that does not have the session closes at once; a connection open for longer than this had the session, which printed
 * nothing.
 */
const SILENT_MS = 1_000;

/** The ingests, and which of them has a session. */
export class Ingests {
  readonly source: LiveSource;
  readonly log: Log;
  /** Names of ingests by address, from their most recent certificates. */
  readonly #names = new Map<string, string>();

  constructor(source: LiveSource, log: Log) {
    this.source = source;
    this.log = log;
  }

  named(url: string, name: string): void {
    this.#names.set(url, name);
  }

  /** The ingest known to have the session first, then the ingests with unknown names. */
  async ordered(session: string): Promise<readonly string[]> {
    const { urls, find } = this.source;
    if (urls.length === 1) return urls;
    const name = await find(session).catch((error: unknown) => {
      this.log.debug({ err: error, session }, 'failed to ask the authority which ingest has a session');
      return null;
    });
    const rank = (url: string): number => (this.#names.has(url) ? (this.#names.get(url) === name ? 0 : 2) : 1);
    return [...urls].sort((a, b) => rank(a) - rank(b));
  }
}

export interface FeedEnd {
  /** One of `liveCloses`. */
  readonly code: number;
  readonly reason: string;
}

export interface FeedEvents {
  /** The next block: a view of a message. */
  block(lines: Uint8Array): void;
  /** Bytes of the block after it; `begins`: they replace those before. */
  draft(begins: boolean, bytes: Uint8Array): void;
  /** Called once, except after `close`. */
  ended(end: FeedEnd): void;
}

export class IngestFeed {
  readonly #ingests: Ingests;
  readonly #request: FeedRequest;
  readonly #events: FeedEvents;
  readonly #cursor: FeedCursor;
  #socket: WebSocket | undefined;
  #paused = false;
  #done = false;

  constructor(ingests: Ingests, request: FeedRequest, events: FeedEvents) {
    this.#ingests = ingests;
    this.#request = request;
    this.#events = events;
    this.#cursor = new FeedCursor(request);
    this.#run().catch((error: unknown) => {
      ingests.log.error({ err: error, session: request.session }, 'following a live session failed');
      this.#end(liveCloses.unavailable, 'the live stream was cut off');
    });
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  /** Locates the session's ingest again, because the current one may have been removed. */
  reconnect(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#done = true;
    this.#socket?.terminate();
  }

  #end(code: number, reason: string): void {
    if (this.#done) return;
    this.close();
    this.#events.ended({ code, reason });
  }

  async #run(): Promise<void> {
    let until = -Infinity;
    while (!this.#done) {
      for (const url of await this.#ingests.ordered(this.#request.session)) {
        if (this.#done) return;
        const { over, had } = await this.#read(url);
        if (over) return this.#end(liveCloses.over, 'the session is over');
        if (had) until = performance.now() + AWAY_MS;
      }
      if (performance.now() > until) return this.#end(liveCloses.unavailable, 'the live stream was cut off');
      await sleep(AGAIN_MS);
    }
  }

  /** Resolves when the ingest has closed: `over`, whether it reported the end of the session; `had`, whether it had the session. */
  #read(url: string): Promise<{ readonly over: boolean; readonly had: boolean }> {
    const { source, log } = this.#ingests;
    const { session, drafts } = this.#request;
    return new Promise((resolve) => {
      const socket = new WebSocket(new URL(formatFeedRequest({ session, after: this.#cursor.last, drafts }), url), UPLINK_PROTOCOL, {
        ...source.tls,
        maxPayload: MAX_UPLINK_FRAME,
        handshakeTimeout: CONNECT_MS,
        perMessageDeflate: false,
      });
      this.#socket = socket;
      let had = false;
      let openedAt = Infinity;
      socket.on('upgrade', ({ socket: below }) => {
        openedAt = performance.now();
        const peer = peerService(below as TLSSocket);
        if (peer !== null) this.#ingests.named(url, peer.name);
      });
      socket.on('open', () => {
        if (this.#paused) socket.pause();
      });
      socket.on('message', (data, binary) => {
        had = true;
        this.#take(data, binary);
      });
      socket.on('error', (error) => log.debug({ err: error, session }, 'live stream failed'));
      socket.on('close', (code) => resolve({ over: code === feedCloses.over, had: had || performance.now() - openedAt > SILENT_MS }));
    });
  }

  #take(data: RawData, binary: boolean): void {
    if (this.#done) return;
    let step;
    try {
      step = this.#cursor.take(decodeUplink(binary ? asBytes(data) : new Uint8Array(0)));
    } catch (error) {
      this.#ingests.log.warn({ err: error, session: this.#request.session }, 'ingest sent what is no block');
      return this.#end(liveCloses.unavailable, 'the live stream is damaged');
    }
    if (step.kind === 'hole') this.#end(liveCloses.behind, 'earlier blocks are stored now');
    else if (step.kind === 'draft') this.#events.draft(step.begins, step.bytes);
    else if (step.kind === 'block') this.#events.block(step.lines);
  }
}

function asBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
