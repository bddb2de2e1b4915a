/**
 * Follows a live session: blocks that ingest has not stored yet, relayed as text, one message a block.
 *
 *     connecting ──first block is after+1──► relaying ──`over`──► closed
 *          │                                    │
 *          └── ingest no longer has it `behind` ┴── too slow `slow`, signed out `signedOut`, ingest gone `unavailable` ──► closed
 *
 * The contract with ingest and with browsers is schemas/feed.ts. At most `MAX_BACKLOG` bytes wait for
 * one viewer, and `MAX_VIEWERS` follow at a time. Tested in relay.test.ts.
 */
import type { ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import { FeedCursor, feedCloses, formatFeedRequest, liveCloses } from '#schemas/feed.js';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL, decodeUplink } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';

export interface LiveSource {
  /** `wss://host:port` of ingest. */
  readonly url: string;
  /** Client certificate of kind viewer, and the CA of ingest's. */
  readonly tls: ConnectionOptions;
}

export const MAX_BACKLOG = 4 << 20;
export const MAX_VIEWERS = 256;
const RECHECK_MS = 5_000;
const CONNECT_MS = 10_000;

export interface Follow {
  readonly session: string;
  /** The last block the viewer has. */
  readonly after: number;
  /** Throws when the viewer is no longer signed in. */
  readonly recheck: () => Promise<void>;
}

export class LiveRelay {
  readonly #source: LiveSource;
  readonly #log: Log;
  readonly #open = new Set<() => void>();
  readonly #rechecks = new Set<() => void>();

  constructor(source: LiveSource, log: Log) {
    this.#source = source;
    this.#log = log;
  }

  follow(viewer: WebSocket, { session, after, recheck }: Follow): void {
    if (this.#open.size >= MAX_VIEWERS) {
      viewer.close(liveCloses.full, 'too many viewers follow live sessions');
      return;
    }
    const target = new URL(formatFeedRequest({ session, after }), this.#source.url);
    const ingest = new WebSocket(target, UPLINK_PROTOCOL, {
      ...this.#source.tls,
      maxPayload: MAX_UPLINK_FRAME,
      handshakeTimeout: CONNECT_MS,
      perMessageDeflate: false,
    });
    const cursor = new FeedCursor({ session, after });
    let done = false;
    const end = (code: number, reason: string): void => {
      if (done) return;
      done = true;
      clearInterval(timer);
      this.#open.delete(stop);
      this.#rechecks.delete(ask);
      viewer.close(code, reason);
      ingest.terminate();
    };
    const stop = (): void => end(liveCloses.unavailable, 'this server is shutting down');
    this.#open.add(stop);
    const ask = (): void => {
      recheck().catch(() => end(liveCloses.signedOut, 'you are no longer signed in'));
    };
    this.#rechecks.add(ask);
    const timer = setInterval(ask, RECHECK_MS);

    ingest.on('message', (data: RawData, binary) => {
      if (done) return;
      try {
        const step = cursor.take(decodeUplink(binary ? asBytes(data) : new Uint8Array(0)));
        if (step.kind === 'hole') end(liveCloses.behind, 'earlier blocks are stored now');
        if (step.kind !== 'block') return;
        viewer.send(step.lines, { binary: false });
      } catch (error) {
        this.#log.warn({ err: error, session }, 'ingest sent what is no block');
        end(liveCloses.unavailable, 'the live stream is damaged');
        return;
      }
      if (viewer.bufferedAmount > MAX_BACKLOG) end(liveCloses.slow, 'this viewer is too slow for the session; read the replay instead');
    });
    ingest.on('close', (code) => {
      if (code === feedCloses.over) end(liveCloses.over, 'the session is over');
      else end(liveCloses.unavailable, 'the live stream was cut off');
    });
    ingest.on('error', (error) => this.#log.debug({ err: error, session }, 'live stream failed'));
    // A viewer has nothing to say.
    viewer.on('message', () => end(liveCloses.misuse, 'this socket only sends'));
    viewer.on('close', () => end(liveCloses.over, ''));
    viewer.on('error', () => end(liveCloses.over, ''));
  }

  /** Asks of every viewer whether they may still follow: something that decides it has changed. */
  recheck(): void {
    for (const ask of this.#rechecks) ask();
  }

  close(): void {
    for (const stop of this.#open) stop();
  }
}

function asBytes(data: RawData): Uint8Array {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? new Uint8Array(data) : data;
}
