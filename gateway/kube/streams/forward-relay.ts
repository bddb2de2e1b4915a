/**
 * Relays and records connections to ports of a pod between a client and an API server. Each connection has two streams, distinguished
 * by their headers: `streamType` error or data, `port`, and `requestID`, which both share.
 *
 *     client opens error, then data ──allowed──► the same opened upstream ──► bytes both ways ──► ended or reset by either side
 *                                       └──refused: the reason on the error stream, nothing upstream
 *
 * Tested in ../port-forward.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRecorder } from '../../recorder/recorder.js';
import type { Access } from '../../sessions/access.js';
import type { LiveSession } from '../../sessions/live-session.js';
import { explainError, printable } from '../../sessions/refusal.js';
import type { Counts } from '../requests/request-event.js';
import { HIGH_WATER, SpdyConnection } from '../spdy/connection.js';
import type { SpdyStream } from '../spdy/connection.js';
import type { Headers } from '../spdy/header-block.js';
import type { ForwardClient, ForwardStream, OpenClient, SpdySide } from './forward-client.js';
import { Holds } from './holds.js';
import type { Pausable } from './holds.js';
import { LAST_MESSAGES_MS } from './peer.js';

type StreamType = 'error' | 'data';

/** One forwarded connection. */
interface Forwarded {
  readonly port: number;
  /** Channel number in the recording; 0 until the data stream has been opened. */
  channel: number;
  /** The client's streams, while they are open. */
  readonly streams: Map<StreamType, ForwardStream>;
  readonly upstream: SpdyStream[];
}

export class ForwardRelay {
  readonly #counts: Counts;
  readonly #access: Access;
  readonly #recorder: SessionRecorder;
  readonly #origin: { readonly address: string };
  readonly #refuses: (port: number) => string | null;
  readonly #holds = new Holds();
  readonly #connections = new Map<string, Forwarded>();
  #numbers = 0;
  #client: ForwardClient | undefined;
  #server: SpdyConnection | undefined;
  #live: LiveSession | undefined;
  #finish: (() => void) | undefined;
  /** Deliveries of client input that arrived while the session was frozen, and the callback that resumes reading. */
  #held: (() => void)[] = [];
  #thaw: (() => void) | undefined;

  constructor(
    counts: Counts,
    access: Access,
    recorder: SessionRecorder,
    origin: { readonly address: string },
    refuses: (port: number) => string | null,
  ) {
    this.#counts = counts;
    this.#access = access;
    this.#recorder = recorder;
    this.#origin = origin;
    this.#refuses = refuses;
  }

  /** Resolves when the session is over. */
  run(openClient: OpenClient, server: SpdySide): Promise<void> {
    return new Promise((resolve) => {
      this.#finish = resolve;
      const closed = (): void => this.#close();
      this.#server = new SpdyConnection(server.duplex, 'client', server.head, { opened: () => false, closed });
      this.#client = openClient({ opened: (stream, headers) => this.#opened(stream, headers), closed });
      this.#live = this.#access.begin(this.#recorder, {
        end: (error) => this.end(error),
        notice: () => undefined,
        reopened: () => this.#deliverHeld(),
      });
      this.#server.resume();
      this.#client.resume();
    });
  }

  /** Reports the reason on every connection, and ends all of them. */
  end(error: StenoError): void {
    for (const forwarded of this.#connections.values()) this.#tell(forwarded, explainError(error).join(' '));
    this.#close();
  }

  /** Applies changed roles: ends connections to ports that they no longer allow. */
  recheck(): void {
    for (const [id, forwarded] of this.#connections) {
      const why = this.#refuses(forwarded.port);
      if (why !== null) this.#refuse(id, forwarded, why);
    }
  }

  #opened(stream: ForwardStream, headers: Headers): boolean {
    const [type, port, id] = [headers.get('streamtype'), portOf(headers.get('port')), headers.get('requestid') ?? ''];
    if ((type !== 'error' && type !== 'data') || port === null || !/^\d{1,10}$/.test(id)) return false;
    // A connection affects the pod, so none is opened while the session is frozen.
    if (this.#finish === undefined || this.#live?.gate.open === false) return false;
    const forwarded: Forwarded = this.#connections.get(id) ?? { port, channel: 0, streams: new Map(), upstream: [] };
    if (forwarded.port !== port || forwarded.streams.has(type)) return false;
    this.#connections.set(id, forwarded);
    forwarded.streams.set(type, stream);
    const why = this.#access.expired ? explainError(new StenoError('CERT_EXPIRED')).join(' ') : this.#refuses(port);
    if (why !== null) {
      // Refuse once both streams are open: a client that waits for the second stream would not read the first.
      if (forwarded.streams.size === 2) process.nextTick(() => this.#refuse(id, forwarded, why));
      return true;
    }
    if (type === 'data') this.#record(forwarded);
    const upstream = this.#server!.open(
      new Map([
        ['streamtype', type],
        ['port', String(port)],
        ['requestid', id],
      ]),
    );
    forwarded.upstream.push(upstream);
    this.#join(id, forwarded, type, stream, upstream);
    return true;
  }

  #record(forwarded: Forwarded): void {
    forwarded.channel = ++this.#numbers;
    this.#recorder.fact({
      fact: 'forward_open',
      channel: forwarded.channel,
      direction: 'local',
      address: '127.0.0.1',
      port: forwarded.port,
      origin_address: this.#origin.address,
      origin_port: 0,
    });
  }

  #join(id: string, forwarded: Forwarded, type: StreamType, near: ForwardStream, far: SpdyStream): void {
    const ends = { near: false, far: false };
    const gone = (side: keyof typeof ends): void => {
      ends[side] = true;
      if (ends.near && ends.far) this.#leave(id, forwarded, type);
    };
    const input = (deliver: () => void): void => {
      if (this.#live?.gate.open !== false) return deliver();
      this.#held.push(deliver);
      if (this.#thaw === undefined) this.#holds.add(this.#client!, (resume) => (this.#thaw = resume));
    };
    near.events = {
      data: (bytes) => input(() => this.#toPod(forwarded, far, bytes)),
      ended: () =>
        input(() => {
          far.end();
          gone('near');
        }),
      reset: () => {
        far.reset();
        this.#leave(id, forwarded, type);
      },
    };
    far.events = {
      data: (bytes) => this.#toClient(forwarded, type, near, bytes),
      ended: () => {
        near.end();
        gone('far');
      },
      reset: () => {
        near.reset();
        this.#leave(id, forwarded, type);
      },
    };
  }

  #toPod({ channel }: Forwarded, far: SpdyStream, bytes: Buffer): void {
    this.#counts.bytesIn += bytes.length;
    this.#access.active();
    if (channel > 0 && !this.#recorder.input(bytes, channel)) this.#awaitSpool(this.#client!);
    // If a strict recording has just failed, the session is over.
    if (this.#finish === undefined) return;
    far.write(bytes);
    this.#awaitReader(this.#server!, this.#client!);
  }

  #toClient({ channel }: Forwarded, type: StreamType, near: ForwardStream, bytes: Buffer): void {
    this.#counts.bytesOut += bytes.length;
    this.#access.active();
    if (type === 'data' && !this.#recorder.output('out', bytes, channel)) this.#awaitSpool(this.#server!);
    if (this.#finish === undefined) return;
    near.write(bytes);
    this.#awaitReader(this.#client!, this.#server!);
  }

  /** Stops reading this side until the spool has room. */
  #awaitSpool(side: Pausable): void {
    this.#holds.add(side, (resume) => this.#recorder.onReady(resume));
  }

  /** Stops reading `from` while too many bytes wait for `to`. */
  #awaitReader(to: ForwardClient, from: Pausable): void {
    if (to.unread > HIGH_WATER) this.#holds.add(from, (resume) => to.onDrain(resume));
  }

  #deliverHeld(): void {
    for (const deliver of this.#held.splice(0)) deliver();
    this.#thaw?.();
    this.#thaw = undefined;
  }

  #refuse(id: string, forwarded: Forwarded, why: string): void {
    this.#tell(forwarded, `${printable(why, 400)} [ACCESS_DENIED]`);
    for (const upstream of forwarded.upstream) upstream.reset();
    for (const type of ['error', 'data'] as const) this.#leave(id, forwarded, type);
  }

  /** kubectl prints the content of the error stream. */
  #tell({ streams }: Forwarded, words: string): void {
    streams.get('error')?.write(Buffer.from(`steno: ${words.replace(/^steno: /, '')}`));
    for (const stream of streams.values()) stream.end();
  }

  #leave(id: string, forwarded: Forwarded, type: StreamType): void {
    if (!forwarded.streams.delete(type)) return;
    if (type === 'data' && forwarded.channel > 0) this.#recorder.fact({ fact: 'forward_close', channel: forwarded.channel });
    if (forwarded.streams.size === 0 && this.#connections.get(id) === forwarded) this.#connections.delete(id);
  }

  #close(): void {
    const finish = this.#finish;
    if (finish === undefined) return;
    this.#finish = undefined;
    for (const [id, forwarded] of this.#connections) this.#leave(id, forwarded, 'data');
    this.#live?.leave();
    for (const side of [this.#server!, this.#client!]) {
      side.close();
      setTimeout(() => side.destroy(), LAST_MESSAGES_MS).unref();
    }
    finish();
  }
}

function portOf(text: string | undefined): number | null {
  const port = text !== undefined && /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
}
