/**
 * Follows a live session: blocks that ingest has not stored yet, relayed as text, one message a block.
 *
 *     connecting ──first block is after+1──► relaying ──session over (1000)──► closed
 *          │                                    │
 *          └── ingest no longer has it (4409) ──┴── viewer too slow (4413), signed out (4401), ingest gone (4503) ──► closed
 *
 * A viewer that is told 4409 or 4503 reads the segment index again and comes back. At most `MAX_BACKLOG` bytes wait for
 * one viewer, and `MAX_VIEWERS` follow at a time. Tested in live.test.ts.
 */
import type { ConnectionOptions } from 'node:tls';
import { WebSocket } from 'ws';
import type { RawData } from 'ws';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL, decodeUplink } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';

export interface LiveSource {
  /** `wss://host:port` of ingest. */
  readonly url: string;
  /** Client certificate of kind viewer, and the CA of ingest's. */
  readonly tls: ConnectionOptions;
}

export const closeCodes = { over: 1000, signedOut: 4401, behind: 4409, slow: 4413, full: 4429, unavailable: 4503 } as const;

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
      viewer.close(closeCodes.full, 'too many viewers follow live sessions');
      return;
    }
    const target = new URL(`/live?session=${session}&after=${after}`, this.#source.url);
    const ingest = new WebSocket(target, UPLINK_PROTOCOL, {
      ...this.#source.tls,
      maxPayload: MAX_UPLINK_FRAME,
      handshakeTimeout: CONNECT_MS,
      perMessageDeflate: false,
    });
    let next = after + 1;
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
    const stop = (): void => end(closeCodes.unavailable, 'this server is shutting down');
    this.#open.add(stop);
    const ask = (): void => {
      recheck().catch(() => end(closeCodes.signedOut, 'you are no longer signed in'));
    };
    this.#rechecks.add(ask);
    const timer = setInterval(ask, RECHECK_MS);

    ingest.on('message', (data: RawData, binary) => {
      if (done) return;
      try {
        const frame = decodeUplink(binary ? asBytes(data) : new Uint8Array(0));
        if (frame.kind !== 'block' || frame.header.session !== session || frame.header.n < next) return;
        if (frame.header.n > next) {
          end(closeCodes.behind, 'earlier blocks are stored now');
          return;
        }
        next += 1;
        viewer.send(frame.payload, { binary: false });
      } catch (error) {
        this.#log.warn({ err: error, session }, 'ingest sent what is no block');
        end(closeCodes.unavailable, 'the live stream is damaged');
        return;
      }
      if (viewer.bufferedAmount > MAX_BACKLOG) end(closeCodes.slow, 'this viewer is too slow for the session; read the replay instead');
    });
    ingest.on('close', (code) => {
      if (code === 1000) end(closeCodes.over, 'the session is over');
      else if (code === closeCodes.behind) end(closeCodes.behind, 'earlier blocks are stored now');
      else end(closeCodes.unavailable, 'the live stream was cut off');
    });
    ingest.on('error', (error) => this.#log.debug({ err: error, session }, 'live stream failed'));
    // A viewer has nothing to say.
    viewer.on('message', () => end(1008, 'this socket only speaks'));
    viewer.on('close', () => end(closeCodes.over, ''));
    viewer.on('error', () => end(closeCodes.over, ''));
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
