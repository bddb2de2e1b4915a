/**
 * The row feed of one ingest (schemas/row-feed.ts), connected again whenever it is lost.
 *
 *     connecting ──open──► following ──closed──► waiting, 250 ms doubling to 5 s ──► connecting
 *
 * `onOpen` reports a new connection: earlier rows must be read from the store. A message that is not a valid row message ends the
 * connection and is counted. Tested in test/survival/analyzer-feed.test.ts.
 */
import type { ConnectionOptions } from 'node:tls';
import type { RawData } from 'ws';
import { WebSocket } from 'ws';
import { MAX_ROW_MESSAGE, formatRowsWanted, parseRowMessage } from '#schemas/row-feed.js';
import type { RowMessage } from '#schemas/row-feed.js';
import { UPLINK_PROTOCOL } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';

const CONNECT_MS = 5_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
/** Ingest pings every 20 s; a connection silent for longer is lost. */
const SILENT_MS = 60_000;

export interface FeedClientParts {
  /** Read for each connection: certificates are renewed meanwhile. */
  readonly tls: () => ConnectionOptions;
  /** Shares of the sessions whose rows are wanted; null: all rows, those that belong to no session included. */
  readonly shares: ReadonlySet<number> | null;
  readonly onOpen: () => void;
  readonly onRows: (rows: RowMessage) => void;
  readonly log: Log;
}

export class FeedClient {
  readonly #url: URL;
  readonly #parts: FeedClientParts;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #wait = FIRST_WAIT_MS;
  #closed = false;
  #malformed = 0;

  /** `url`: `wss://HOST:PORT` of an ingest. */
  constructor(url: string, parts: FeedClientParts) {
    this.#url = new URL(formatRowsWanted({ grouped: true, shares: parts.shares }), url);
    this.#parts = parts;
    this.#connect();
  }

  get open(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get malformed(): number {
    return this.#malformed;
  }

  /** Closes the connection and opens another: the service at its other end may have been removed. */
  reconnect(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#socket?.terminate();
  }

  #connect(): void {
    const { log } = this.#parts;
    const socket = new WebSocket(this.#url, UPLINK_PROTOCOL, {
      ...this.#parts.tls(),
      maxPayload: MAX_ROW_MESSAGE,
      handshakeTimeout: CONNECT_MS,
      perMessageDeflate: false,
    });
    this.#socket = socket;
    const alive = (): void => {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => socket.terminate(), SILENT_MS);
      this.#silence.unref();
    };
    socket.on('open', () => {
      this.#wait = FIRST_WAIT_MS;
      alive();
      log.info({ ingest: this.#url.host }, 'following the rows of an ingest');
      this.#parts.onOpen();
    });
    socket.on('ping', alive);
    socket.on('message', (data, binary) => {
      alive();
      const rows = binary ? null : parseRowMessage(textOf(data));
      if (rows === null) {
        this.#malformed += 1;
        log.warn({ ingest: this.#url.host }, 'ingest sent what is no message of rows; connecting again');
        socket.terminate();
        return;
      }
      if (!this.#closed) this.#parts.onRows(rows);
    });
    socket.on('error', (error) => log.debug({ err: error, ingest: this.#url.host }, 'row feed failed'));
    socket.on('close', (code) => {
      clearTimeout(this.#silence);
      if (this.#closed) return;
      log.info({ ingest: this.#url.host, code }, 'row feed closed; connecting again');
      this.#timer = setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(LONGEST_WAIT_MS, this.#wait * 2);
    });
  }
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8');
  return (data instanceof ArrayBuffer ? Buffer.from(data) : data).toString('utf8');
}
