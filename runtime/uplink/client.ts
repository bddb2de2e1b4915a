/**
 * The uplink's client (schemas/uplink.ts): sends recordings and audit rows to ingest over one WebSocket.
 *
 *     down ──dial──► dialing ──opened──► greeting ──hello──► up
 *       ▲               │ error             │ close            │ close, error, silence
 *       └──── backoff: 0.1 s doubling to 15 s, with jitter ────┘
 *
 * An ingest on this machine that accepts no connection is dialled at least every second: `steno up` restarts it within seconds,
 * and no fleet of gateways dials it. Refused dials are forgotten once one is accepted. Otherwise the backoff restarts once a
 * connection has made something durable or has lasted for `PROVEN_MS`: a peer that greets and hangs up is no success. If a peer
 * hangs up because of its input without naming the batch, batches are sent one at a time, and a batch on which `STRIKES`
 * connections ended counts as refused.
 *
 * A sender of recordings offers version 5, which carries drafts of event logs; with an ingest that does not support it, version 4,
 * with drafts of recordings, and then version 3, with event logs. A sender of events without a session offers version 2. With an
 * ingest that supports none of these, the client falls back to version 1, and data that needs a later version waits in the spool;
 * each new connection makes the offer again.
 *
 * While ingest reports that a session is followed, the lines recorded for its next block are sent as drafts every `DRAFT_MS`. Drafts
 * are skipped while the socket is behind, since the block will carry the same bytes.
 *
 * Per session and stream, on each connection:
 *
 *     idle ──work──► opening ──resume──► sending ──close sent──► waiting ──ack closed──► gone
 *                       │ refuse, or nothing at `stored`──► refused (quarantined by its source)
 *
 * Only data sent but not yet acknowledged as received is held here: at most 1 MiB per recording, 4 MiB per event log, 12 MiB of event
 * logs and 16 MiB in all. Everything else stays on disk with its source. Tested in client.test.ts.
 */
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import WebSocket from 'ws';
import type { ClientOptions } from 'ws';
import { StenoError, errorCatalogue, isErrorCode } from '#schemas/base/errors.js';
import { isSurelyLoopback } from '#schemas/base/host-name.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import type { Stream } from '#schemas/recording/line.js';
import {
  MAX_UPLINK_FRAME,
  UPLINK_DRAFTS_VERSION,
  UPLINK_EVENT_DRAFTS_VERSION,
  UPLINK_PROTOCOL,
  UPLINK_STREAMS_VERSION,
  UPLINK_VERSION,
  decodeUplink,
  encodeUplink,
  encodeUplinkHead,
} from '#schemas/uplink.js';
import type { UplinkHeader } from '#schemas/uplink.js';
import { peerService } from '../service/identity.js';
import type { BatchSource, Draft, OutgoingFrame, RecordingSource, SessionSource } from './source.js';

const SESSION_WINDOW = 1 << 20;
/** A busy node makes 4 MiB of events a second, and ingest confirms them once they are inserted. */
const EVENT_LOG_WINDOW = 4 << 20;
/** Window of all event logs together. The rest of TOTAL_WINDOW is for recordings, which somebody may be watching. */
const EVENT_LOGS_WINDOW = 12 << 20;
const TOTAL_WINDOW = 16 << 20;
const EVENT_WINDOW = 12;
/** Bytes sent per turn of the event loop: a keystroke must not wait behind a backlog. */
const TURN_BYTES = 256 << 10;
const BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 15_000;
const MAX_LOCAL_BACKOFF_MS = 1_000;
/** Ping interval when idle, in ms; a connection without an answer for twice as long is closed. */
const PING_MS = 15_000;
/** Delay in ms after a temporary refusal. */
const AGAIN_MS = 2_000;
const HANDSHAKE_MS = 10_000;
const PROVEN_MS = 10_000;
const CLOSE_MS = 1_000;
const STRIKES = 3;
const DRAFT_MS = 20;
const DRAFT_BUFFERED = 1 << 18;

export interface UplinkOptions {
  /** `wss://host:port/…`; `ws://` only if `tls` is null. */
  readonly url: () => string;
  /** Called at each connect, so that renewed certificates are used. */
  readonly tls: (() => ConnectionOptions) | null;
  /** Own name, as in the service certificate. */
  readonly name: string;
  /** base64 of the recording certificate, for senders that record; called at each connect. */
  readonly certificate?: () => string;
  readonly recordings?: RecordingSource;
  readonly batches?: readonly BatchSource[];
  /** Concurrent unacknowledged batches; for a receiver that acknowledges late. */
  readonly batchWindow?: number;
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  readonly onState?: (state: UplinkState) => void;
  readonly log: UplinkLog;
}

export interface UplinkLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export type UplinkState =
  /** `peer`: from its certificate, `ingest/name`; without TLS, the name it claims. */
  { readonly kind: 'up'; readonly peer: string } | { readonly kind: 'down'; readonly reason: string; readonly retryInMs: number };

interface Flow {
  readonly source: SessionSource;
  state: 'opening' | 'sending' | 'waiting';
  /** Blocks sent and not yet acknowledged as received: number and bytes. */
  readonly inFlight: { readonly n: number; readonly bytes: number }[];
  bytes: number;
  /** The last block that ingest has made durable. */
  stored: number;
  queued: boolean;
  /** The end of the last draft of a followed session: byte `to` of block `n`. Null: nobody follows the session. */
  drafted: { readonly n: number; readonly to: number } | null;
}

export class UplinkClient {
  readonly #options: UplinkOptions;
  #socket: WebSocket | null = null;
  #up = false;
  /** The version offered, later the version agreed. */
  #version: number;
  #wasUp = false;
  #closed = false;
  /** Accepted connections that failed since the last one that was proven. */
  #attempts = 0;
  /** Failed dials since the last connection. */
  #refusals = 0;
  #retry: NodeJS.Timeout | null = null;
  #ping: NodeJS.Timeout | null = null;
  #alive = true;
  #flows = new Map<string, Flow>();
  #ready: Flow[] = [];
  #bytes = 0;
  /** The part of `#bytes` that belongs to event logs. */
  #logBytes = 0;
  #eventsInFlight = new Map<string, BatchSource>();
  #proven: NodeJS.Timeout | null = null;
  /** Batches in flight when a peer refused the connection, with a count. */
  readonly #strikes = new Map<string, number>();
  #turn: NodeJS.Immediate | null = null;
  #again: NodeJS.Timeout | null = null;
  #drafts: NodeJS.Timeout | null = null;

  constructor(options: UplinkOptions) {
    this.#options = options;
    this.#version = this.#wanted;
    if (options.recordings !== undefined) options.recordings.onWork = (source) => this.#work(source);
    for (const batches of options.batches ?? []) batches.onWork = () => this.#schedule();
    this.#dial();
  }

  /** `dialing` only until the first connection succeeds or fails. */
  get state(): 'dialing' | 'up' | 'down' {
    return this.#up ? 'up' : this.#attempts + this.#refusals === 0 && !this.#wasUp ? 'dialing' : 'down';
  }

  /** Bytes sent that ingest has not acknowledged as received. */
  get inFlight(): number {
    return this.#bytes;
  }

  /** Reconnects, so that the current certificates are presented and checked; unacknowledged data is sent again. */
  reconnect(): void {
    const socket = this.#socket;
    if (socket === null) return;
    socket.close();
    // Cut off a peer that does not answer the close.
    setTimeout(() => socket.terminate(), CLOSE_MS).unref();
  }

  /** Closes the connection; nothing more is sent. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#drop();
    if (socket === null || socket.readyState === WebSocket.CLOSED) return;
    await new Promise<void>((resolve) => {
      const force = setTimeout(() => socket.terminate(), CLOSE_MS);
      socket.once('close', () => {
        clearTimeout(force);
        resolve();
      });
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
      else socket.close();
    });
  }

  get #wanted(): number {
    const { recordings, batches = [] } = this.#options;
    return recordings === undefined
      ? Math.max(UPLINK_VERSION, ...batches.map(({ version = UPLINK_VERSION }) => version))
      : UPLINK_EVENT_DRAFTS_VERSION;
  }

  #dial(): void {
    const { tls } = this.#options;
    let socket: WebSocket;
    let refusal = MAX_BACKOFF_MS;
    let accepted = false;
    try {
      const url = this.#options.url();
      if (isSurelyLoopback(new URL(url).hostname)) refusal = MAX_LOCAL_BACKOFF_MS;
      const options: ClientOptions = { perMessageDeflate: false, maxPayload: MAX_UPLINK_FRAME, handshakeTimeout: HANDSHAKE_MS };
      // Masks protect proxies from requests forged by scripts in browsers. Inside TLS there is neither script nor proxy, and
      // ws need not apply a mask of zeros byte by byte.
      if (tls !== null) options.generateMask = (mask) => void mask.fill(0);
      if (tls !== null) Object.assign(options, tls(), { minVersion: 'TLSv1.3' });
      socket = new WebSocket(url, UPLINK_PROTOCOL, options);
    } catch (error) {
      this.#failed(`cannot dial: ${(error as Error).message}`, this.#attempts + this.#refusals++, MAX_BACKOFF_MS);
      return;
    }
    this.#socket = socket;
    let reason = 'closed by the other side';
    let peer: ServiceName | null = null;
    socket.on('upgrade', ({ socket: below }) => {
      if (tls !== null) peer = peerService(below as TLSSocket);
    });
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('open', () => {
      accepted = true;
      this.#refusals = 0;
      const certificate = this.#options.certificate?.();
      socket.send(
        encodeUplink('hello', { version: this.#version, name: this.#options.name, ...(certificate === undefined ? {} : { certificate }) }),
      );
    });
    socket.on('message', (data, isBinary) => {
      if (this.#socket !== socket) return;
      this.#alive = true;
      try {
        if (!isBinary) throw new StenoError('UPLINK_MALFORMED', 'text message');
        this.#receive(data as Buffer, peer);
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
        socket.terminate();
      }
    });
    socket.on('pong', () => {
      this.#alive = true;
    });
    socket.on('close', (code, text) => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (this.#closed) return;
      const why = code === 1006 || text.length === 0 ? reason : text.toString();
      if (accepted) this.#failed(why, this.#attempts++, MAX_BACKOFF_MS);
      else this.#failed(why, this.#attempts + this.#refusals++, refusal);
    });
    this.#alive = true;
    this.#ping = setInterval(() => {
      if (!this.#alive) {
        reason = 'the peer did not answer';
        socket.terminate();
        return;
      }
      this.#alive = false;
      if (socket.readyState === WebSocket.OPEN) socket.ping();
    }, PING_MS);
  }

  #drop(): void {
    if (this.#ping !== null) clearInterval(this.#ping);
    if (this.#turn !== null) clearImmediate(this.#turn);
    if (this.#again !== null) clearTimeout(this.#again);
    if (this.#proven !== null) clearTimeout(this.#proven);
    if (this.#drafts !== null) clearInterval(this.#drafts);
    this.#drafts = null;
    this.#ping = this.#turn = this.#again = this.#proven = null;
    this.#socket = null;
    // A less capable ingest may have been replaced in the meantime.
    if (this.#up) this.#version = this.#wanted;
    this.#up = false;
    this.#flows.clear();
    this.#ready = [];
    this.#bytes = this.#logBytes = 0;
    this.#eventsInFlight.clear();
  }

  #failed(reason: string, before: number, longestMs: number): void {
    const base = Math.min(longestMs, BACKOFF_MS * 2 ** before);
    const retryInMs = Math.round(base * (0.5 + this.#options.random() / 2));
    this.#options.log.warn({ reason, retryInMs }, 'uplink is down');
    this.#options.onState?.({ kind: 'down', reason, retryInMs });
    this.#retry = setTimeout(() => this.#dial(), retryInMs);
  }

  #receive(data: Buffer, peer: ServiceName | null): void {
    const frame = decodeUplink(data);
    switch (frame.kind) {
      case 'hello':
        this.#greeted(frame.header, peer === null ? frame.header.name : formatServiceName(peer));
        return;
      case 'resume':
        this.#resume(frame.header);
        return;
      case 'ack':
        if ('events' in frame.header) this.#ackEvents(frame.header.events);
        else this.#ackSession(frame.header);
        return;
      case 'refuse':
        this.#refuse(frame.header);
        return;
      case 'follow':
        this.#follow(frame.header);
        return;
      case 'open':
      case 'block':
      case 'draft':
      case 'events':
      case 'checkpoint':
      case 'close':
        throw new StenoError('UPLINK_MALFORMED', `unexpected ${frame.kind}`);
    }
  }

  #greeted(hello: UplinkHeader<'hello'>, peer: string): void {
    if (hello.version !== this.#version) throw new StenoError('UPLINK_VERSION', `${hello.name} speaks ${hello.version}`);
    if (this.#up) throw new StenoError('UPLINK_MALFORMED', 'second hello');
    this.#up = this.#wasUp = true;
    this.#proven = setTimeout(() => this.#prove(), PROVEN_MS);
    this.#proven.unref();
    this.#options.log.info({ peer }, 'uplink is up');
    this.#options.onState?.({ kind: 'up', peer });
    for (const batches of this.#options.batches ?? []) batches.rewind(new Set());
    for (const source of this.#options.recordings?.sessions() ?? []) this.#work(source);
    this.#schedule();
  }

  #prove(): void {
    this.#attempts = 0;
  }

  #work(source: SessionSource): void {
    if (!this.#up || (source.stream !== 'recording' && this.#version < UPLINK_STREAMS_VERSION)) return;
    const key = keyOf(source);
    const flow = this.#flows.get(key);
    if (flow !== undefined) {
      this.#enqueue(flow);
      return;
    }
    this.#flows.set(key, { source, state: 'opening', inFlight: [], bytes: 0, stored: 0, queued: false, drafted: null });
    this.#send(encodeUplink('open', named(source)));
  }

  #resume({ session, stream, stored, closed }: UplinkHeader<'resume'>): void {
    const key = keyOf({ session, stream });
    const flow = this.#flows.get(key);
    if (flow === undefined || flow.state !== 'opening') throw new StenoError('UPLINK_MALFORMED', 'resume without open');
    if (closed) {
      this.#flows.delete(key);
      flow.source.acknowledged(stored, true);
      return;
    }
    if (!flow.source.seek(stored)) {
      this.#flows.delete(key);
      flow.source.refused('UPLINK_CHAIN_BROKEN', `ingest stored block ${stored}, and the spool cannot continue after it`);
      return;
    }
    flow.state = 'sending';
    flow.stored = stored;
    this.#enqueue(flow);
  }

  #ackSession({ session, stream, received, stored, closed }: Extract<UplinkHeader<'ack'>, { session: string }>): void {
    const flow = this.#flows.get(keyOf({ session, stream }));
    // Acknowledgements of a refused or finished session may still arrive.
    if (flow === undefined || flow.state === 'opening') return;
    while (flow.inFlight.length > 0 && flow.inFlight[0]!.n <= received) {
      const { bytes } = flow.inFlight.shift()!;
      this.#count(flow, -bytes);
    }
    if (closed) this.#end(flow);
    if (stored > flow.stored || closed) this.#prove();
    flow.stored = Math.max(flow.stored, stored);
    if (stored > 0 || closed) flow.source.acknowledged(stored, closed);
    if (!closed) this.#enqueue(flow);
    this.#schedule();
  }

  #ackEvents(id: string): void {
    const batches = this.#eventsInFlight.get(id);
    this.#eventsInFlight.delete(id);
    this.#strikes.delete(id);
    if (batches !== undefined) this.#prove();
    batches?.acknowledged(id);
    this.#schedule();
  }

  #refuse({ session, stream, events, code, detail }: UplinkHeader<'refuse'>): void {
    if (session === undefined && events === undefined) {
      if (code === 'UPLINK_VERSION') this.#version = olderThan(this.#version);
      if (code === 'UPLINK_MALFORMED') this.#strike(detail);
      throw new StenoError('UPLINK_MALFORMED', `refused: ${code} ${detail}`);
    }
    this.#options.log.warn({ session, events, code, detail }, 'uplink was refused');
    // Retry what may be accepted later, for example while a store is down.
    const later = isErrorCode(code) && errorCatalogue[code].retryable;
    if (events !== undefined) {
      const batches = this.#eventsInFlight.get(events);
      this.#eventsInFlight.delete(events);
      this.#strikes.delete(events);
      if (later) batches?.later?.(events, code, detail);
      else batches?.refused(events, code, detail);
      this.#schedule();
    }
    const flow = session === undefined ? undefined : this.#flows.get(keyOf({ session, stream }));
    if (flow !== undefined) {
      this.#end(flow);
      if (!later) flow.source.refused(code, detail);
    }
    if (later) this.#again ??= setTimeout(() => this.#offerAgain(), AGAIN_MS);
  }

  /** The peer closed the connection because of something sent: any batch in flight may be the cause. */
  #strike(detail: string): void {
    const suspects = [...this.#eventsInFlight];
    for (const [id, batches] of suspects) {
      const strikes = (this.#strikes.get(id) ?? 0) + 1;
      this.#strikes.set(id, strikes);
      if (strikes < STRIKES || suspects.length > 1) continue;
      this.#strikes.delete(id);
      this.#eventsInFlight.delete(id);
      batches.refused(id, 'UPLINK_MALFORMED', detail);
    }
  }

  #offerAgain(): void {
    this.#again = null;
    if (!this.#up) return;
    for (const batches of this.#options.batches ?? []) batches.rewind(new Set(this.#eventsInFlight.keys()));
    for (const source of this.#options.recordings?.sessions() ?? []) this.#work(source);
    this.#schedule();
  }

  #end(flow: Flow): void {
    this.#flows.delete(keyOf(flow.source));
    this.#count(flow, -flow.bytes);
  }

  #enqueue(flow: Flow): void {
    if (flow.state !== 'sending' || flow.queued) return;
    flow.queued = true;
    this.#ready.push(flow);
    this.#schedule();
  }

  #schedule(): void {
    if (!this.#up) return;
    this.#turn ??= setImmediate(() => {
      this.#turn = null;
      this.#sendTurn();
    });
  }

  /** One turn: events first, since they are few; then one frame per session, round-robin. */
  #sendTurn(): void {
    this.#sendEvents();
    let sent = 0;
    while (this.#up && this.#ready.length > 0 && sent < TURN_BYTES && this.#bytes < TOTAL_WINDOW) {
      const flow = this.#ready.shift()!;
      if (!this.#flows.has(keyOf(flow.source))) continue;
      if (this.#isFull(flow)) {
        // Its next acknowledgement queues it again.
        flow.queued = false;
        continue;
      }
      let frame: OutgoingFrame | null;
      try {
        frame = flow.source.next();
      } catch (error) {
        this.#options.log.warn({ session: flow.source.session, error: (error as Error).message }, 'a spooled recording cannot be read');
        this.#end(flow);
        flow.source.refused(error instanceof StenoError ? error.code : 'INTERNAL', (error as Error).message);
        continue;
      }
      if (frame === null) {
        flow.queued = false;
        continue;
      }
      sent += this.#sendFrame(flow, frame);
      if (flow.state === 'sending') this.#ready.push(flow);
      else flow.queued = false;
    }
    // If the window is full, the next acknowledgement continues.
    if (this.#ready.length > 0 && this.#bytes < TOTAL_WINDOW) this.#schedule();
  }

  #sendFrame(flow: Flow, frame: OutgoingFrame): number {
    const of = named(flow.source);
    if (frame.kind === 'checkpoint') {
      const { part, checkpoint } = frame;
      const last = checkpoint.end !== 'open';
      this.#send(encodeUplink(last ? 'close' : 'checkpoint', { ...of, part, checkpoint }));
      if (last) flow.state = 'waiting';
      return 1024;
    }
    const { n, head, content } = frame;
    this.#send(encodeUplink('block', { ...of, n, head }, content));
    flow.inFlight.push({ n, bytes: content.length });
    this.#count(flow, content.length);
    return content.length;
  }

  /** Adjusts the count of bytes sent and not yet acknowledged as received. */
  #count(flow: Flow, bytes: number): void {
    flow.bytes += bytes;
    this.#bytes += bytes;
    if (flow.source.stream === 'events') this.#logBytes += bytes;
  }

  /** Whether the session must wait for an acknowledgement of its own data. An event log with nothing in flight may always send. */
  #isFull({ source, bytes }: Flow): boolean {
    if (source.stream !== 'events') return bytes >= SESSION_WINDOW;
    return bytes >= EVENT_LOG_WINDOW || (bytes > 0 && this.#logBytes >= EVENT_LOGS_WINDOW);
  }

  #follow({ session, stream, on }: UplinkHeader<'follow'>): void {
    const flow = this.#flows.get(keyOf({ session, stream }));
    if (flow === undefined) return;
    flow.drafted = on ? { n: 0, to: 0 } : null;
    if (on) this.#drafts ??= setInterval(() => this.#sendDrafts(), DRAFT_MS);
  }

  #sendDrafts(): void {
    let followed = false;
    for (const flow of this.#flows.values()) {
      const { drafted, source } = flow;
      if (drafted === null) continue;
      followed = true;
      if (flow.state !== 'sending' || flow.queued || (this.#socket?.bufferedAmount ?? 0) > DRAFT_BUFFERED) continue;
      let draft: Draft | null;
      try {
        draft = source.draft?.(drafted.n, drafted.to) ?? null;
      } catch {
        // Sending the block will hit the same fault and report it.
        continue;
      }
      if (draft === null) continue;
      const { n, from, bytes } = draft;
      this.#send(encodeUplink('draft', { ...named(source), n, from }, bytes));
      flow.drafted = { n, to: from + bytes.length };
    }
    if (followed || this.#drafts === null) return;
    clearInterval(this.#drafts);
    this.#drafts = null;
  }

  #sendEvents(): void {
    const most = this.#strikes.size > 0 ? 1 : (this.#options.batchWindow ?? EVENT_WINDOW);
    for (const batches of this.#options.batches ?? []) {
      if (this.#version < (batches.version ?? UPLINK_VERSION)) continue;
      while (this.#up && this.#eventsInFlight.size < most) {
        const batch = batches.next();
        if (batch === null) break;
        const head = encodeUplinkHead('events', { id: batch.id, ...(batch.table === undefined ? {} : { table: batch.table }) });
        if (head.length + batch.payload.length > MAX_UPLINK_FRAME) {
          // Sending it would end the connection.
          batches.refused(batch.id, 'UPLINK_MALFORMED', 'it exceeds the maximum frame size');
          continue;
        }
        this.#eventsInFlight.set(batch.id, batches);
        // Send one message in two fragments: a batch of kernel rows is large, and its memory is reused.
        this.#socket?.send(head, { fin: false });
        this.#socket?.send(batch.payload, { fin: true });
      }
    }
  }

  #send(frame: Uint8Array): void {
    this.#socket?.send(frame);
  }
}

/** The version that is offered next to an ingest that does not support this one. */
function olderThan(version: number): number {
  return [UPLINK_DRAFTS_VERSION, UPLINK_STREAMS_VERSION].find((older) => older < version) ?? UPLINK_VERSION;
}

function keyOf({ session, stream }: { readonly session: string; readonly stream?: Stream | undefined }): string {
  return stream === 'events' ? `${session}/events` : session;
}

/** The fields by which a frame names its stream. */
function named({ session, stream }: SessionSource): { readonly session: string; readonly stream?: 'events' } {
  return stream === 'events' ? { session, stream } : { session };
}
