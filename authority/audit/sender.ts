/**
 * Sends the audit outbox to ingest over the uplink, oldest first, one batch at a time.
 *
 *     idle ──address known──► connecting ──hello both ways──► sending ──ack──► sending … ──nothing left──► waiting
 *       ▲                          │                            │                                            │
 *       └────────── backoff ◄──────┴──── closed, refused ◄──────┴────────────────────────────────────────────┘
 *
 * Rows leave the outbox only when ingest acknowledges them as stored. A stored batch whose acknowledgement was lost is sent
 * again; rows have ids, so it is stored once. A refused batch stays in the outbox and is logged: audit rows are never
 * dropped to make progress. Tested in sender.test.ts.
 */
import { createHash } from 'node:crypto';
import { WebSocket } from 'ws';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL, UPLINK_VERSION, decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { UplinkFrame } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import type { Records } from '../records/records.js';

const BATCH_ROWS = 500;
/** Below the uplink's frame, with room for the header. */
const BATCH_BYTES = 512 * 1024;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;
/** Ingest inserts before it answers; a connection silent for longer is dead. */
const SILENCE_MS = 60_000;

export class AuditSender {
  readonly #records: Records;
  readonly #identity: ServiceIdentity;
  readonly #log: Log;
  #urls: readonly string[] = [];
  /** The next ingest to dial; one that is unreachable or was lost is skipped. */
  #turn = 0;
  #socket: WebSocket | undefined;
  #greeted = false;
  #inFlight: { readonly id: string; readonly rows: readonly string[] } | undefined;
  #reading = false;
  /** Rows may have been added since the outbox began to be read. */
  #again = false;
  #backoff = FIRST_BACKOFF_MS;
  #retry: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #closed = false;

  readonly #leads: () => boolean;

  /** Rows are sent only while `leads()`: of several authorities on one store, one empties the common outbox. */
  constructor(records: Records, identity: ServiceIdentity, { log, leads }: { readonly log: Log; readonly leads: () => boolean }) {
    this.#leads = leads;
    this.#records = records;
    this.#identity = identity;
    this.#log = log;
    records.onAudit = () => void this.#send();
  }

  /** `wss://host:port/path` of ingests, at least one. Changed addresses end a connection to an old one. */
  setIngest(urls: readonly string[]): void {
    if (urls.join() === this.#urls.join()) return;
    this.#urls = urls;
    this.#turn = 0;
    this.#backoff = FIRST_BACKOFF_MS;
    if (this.#socket === undefined) this.#connect();
    else this.#socket.terminate();
  }

  /** Looks for another ingest, since the current one may have been removed. */
  reconnect(): void {
    this.#socket?.terminate();
  }

  /** Another authority may have added rows. */
  poke(): void {
    void this.#send();
  }

  /** Unacknowledged rows stay in the outbox and are sent after the next start. */
  close(): void {
    this.#closed = true;
    this.#records.onAudit = undefined;
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#socket?.terminate();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (this.#closed || this.#urls.length === 0 || this.#socket !== undefined) return;
    const socket = new WebSocket(this.#urls[this.#turn++ % this.#urls.length]!, UPLINK_PROTOCOL, {
      ...this.#identity.tlsClientOptions(['ingest']),
      maxPayload: MAX_UPLINK_FRAME,
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
    });
    this.#socket = socket;
    socket.on('open', () => socket.send(encodeUplink('hello', { version: UPLINK_VERSION, name: this.#identity.name })));
    socket.on('message', (data: Buffer, isBinary) => {
      try {
        if (!isBinary) throw new Error('a text message instead of a frame');
        this.#receive(decodeUplink(data));
      } catch (error) {
        this.#log.warn({ err: error }, 'ingest sent an unreadable message');
        socket.terminate();
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.#lost());
  }

  #lost(): void {
    this.#socket = undefined;
    this.#greeted = false;
    this.#inFlight = undefined;
    clearTimeout(this.#silence);
    if (this.#closed) return;
    this.#retry = setTimeout(() => this.#connect(), this.#backoff);
    this.#retry.unref();
    this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF_MS);
  }

  #receive(frame: UplinkFrame): void {
    switch (frame.kind) {
      case 'hello':
        if (frame.header.version !== UPLINK_VERSION) throw new Error(`uplink version ${frame.header.version}`);
        this.#greeted = true;
        void this.#send();
        return;
      case 'ack':
        if ('events' in frame.header && frame.header.events === this.#inFlight?.id) void this.#acknowledged(this.#inFlight.rows);
        return;
      case 'refuse':
        this.#log.error({ code: frame.header.code, detail: frame.header.detail }, 'ingest refused audit rows; they are kept');
        this.#backoff = LONGEST_BACKOFF_MS;
        this.#socket?.terminate();
        return;
      default:
        throw new Error(`a ${frame.kind} frame`);
    }
  }

  async #acknowledged(rows: readonly string[]): Promise<void> {
    clearTimeout(this.#silence);
    this.#backoff = FIRST_BACKOFF_MS;
    try {
      await this.#records.forget(rows);
    } catch (error) {
      this.#log.warn({ err: error }, 'failed to delete sent audit rows; they will be sent again');
      this.#socket?.terminate();
      return;
    }
    this.#inFlight = undefined;
    await this.#send();
  }

  async #send(): Promise<void> {
    this.#again ||= this.#reading;
    if (this.#closed || !this.#leads() || !this.#greeted || this.#inFlight !== undefined || this.#reading) return;
    const socket = this.#socket;
    this.#reading = true;
    try {
      const rows = fitting(await this.#records.outbox(BATCH_ROWS));
      if (rows.length === 0 || socket === undefined || socket !== this.#socket) return;
      const ids = rows.map(({ id }) => id);
      const id = createHash('sha256').update(ids.join(' ')).digest('hex').slice(0, 32);
      this.#inFlight = { id, rows: ids };
      socket.send(encodeUplink('events', { id }, Buffer.from(`[${rows.map(({ text }) => text).join(',')}]`)));
      this.#silence = setTimeout(() => socket.terminate(), SILENCE_MS);
      this.#silence.unref();
    } catch (error) {
      this.#log.warn({ err: error }, 'failed to read the audit outbox');
      socket?.terminate();
    } finally {
      this.#reading = false;
    }
    const again = this.#again;
    this.#again = false;
    if (again) await this.#send();
  }
}

function fitting<T extends { readonly text: string }>(rows: readonly T[]): readonly T[] {
  let bytes = 0;
  const end = rows.findIndex(({ text }, i) => (bytes += Buffer.byteLength(text)) > BATCH_BYTES && i > 0);
  return end < 0 ? rows : rows.slice(0, end);
}
