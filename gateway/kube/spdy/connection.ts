/**
 * One SPDY/3.1 connection over any duplex stream: an upgraded socket, or a WebSocket that carries one.
 *
 *     stream    open ──end──► half closed ──end of the other side──► gone
 *                  └────────────── reset, by either side ───────────────┘
 *
 * Streams share the connection's back-pressure, as in spdystream: there are no windows. Limits: MAX_STREAMS concurrent streams,
 * MAX_UNREAD_ANSWERS for unread answers, and the limits of frames.ts. A protocol violation ends the connection. Tested in spdy.test.ts,
 * and with real clients in test/kube/.
 */
import type { Duplex } from 'node:stream';
import { FrameReader, dataFrame, goAwayFrame, pingFrame, rstFrame, synReplyFrame, synStreamFrame } from './frames.js';
import type { Frame } from './frames.js';
import { HeaderWriter, SpdyError } from './header-block.js';
import type { Headers } from './header-block.js';

const MAX_STREAMS = 1_024;
/** Nothing more should be written while the peer has not read more than this many bytes. */
export const HIGH_WATER = 1 << 20;
/** The same including answers to pings and refusals; a peer that causes more without reading is cut off. */
const MAX_UNREAD_ANSWERS = HIGH_WATER * 2;
/** Status codes of RST_STREAM. */
const [REFUSED, CANCELLED] = [3, 5];

export interface SpdyEvents {
  /** The peer opened a stream. Return false to refuse it. */
  opened(stream: SpdyStream, headers: Headers): boolean;
  /** Called once, with the error if the protocol was violated; no stream gets an event afterwards. */
  closed(error: SpdyError | undefined): void;
}

export interface StreamEvents {
  data(bytes: Buffer): void;
  /** The peer sends no more. */
  ended(): void;
  reset(): void;
}

const nobody: StreamEvents = { data: () => undefined, ended: () => undefined, reset: () => undefined };

export class SpdyStream {
  readonly id: number;
  readonly #write: (frame: Buffer) => void;
  readonly #gone: () => void;
  #sent = false;
  #received = false;
  #over = false;
  events: StreamEvents = nobody;

  constructor(id: number, write: (frame: Buffer) => void, gone: () => void) {
    this.id = id;
    this.#write = write;
    this.#gone = gone;
  }

  write(bytes: Buffer): void {
    if (!this.#sent && !this.#over && bytes.length > 0) this.#write(dataFrame(this.id, bytes, false));
  }

  /** Sends no more. May be called again. */
  end(): void {
    if (this.#sent || this.#over) return;
    this.#sent = true;
    this.#write(dataFrame(this.id, Buffer.alloc(0), true));
    this.#leaveIfDone();
  }

  reset(): void {
    if (this.#over) return;
    this.#write(rstFrame(this.id, CANCELLED));
    this.#leave();
  }

  /** Handles data of the peer; false if the peer had already ended its direction. */
  receive(bytes: Buffer, fin: boolean): boolean {
    if (this.#received) return false;
    if (bytes.length > 0) this.events.data(bytes);
    if (!fin || this.#over) return true;
    this.#received = true;
    this.events.ended();
    this.#leaveIfDone();
    return true;
  }

  wasReset(): void {
    if (this.#over) return;
    this.#leave();
    this.events.reset();
  }

  #leaveIfDone(): void {
    if (this.#sent && this.#received) this.#leave();
  }

  #leave(): void {
    this.#over = true;
    this.#gone();
  }
}

export class SpdyConnection {
  readonly #duplex: Duplex;
  readonly #events: SpdyEvents;
  readonly #reader = new FrameReader();
  readonly #writer = new HeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  /** Parity of the stream ids that this side assigns. */
  readonly #parity: 0 | 1;
  #next: number;
  /** Highest id of the peer so far. */
  #last = 0;
  #over = false;
  readonly #waiting: (() => void)[] = [];

  /** `head`: bytes already read with the upgrade. Paused until `resume`. */
  constructor(duplex: Duplex, role: 'client' | 'server', head: Buffer, events: SpdyEvents) {
    this.#duplex = duplex;
    this.#events = events;
    this.#parity = role === 'client' ? 1 : 0;
    this.#next = role === 'client' ? 1 : 2;
    if (head.length > 0) duplex.unshift(head);
    duplex.on('data', (chunk: Buffer) => this.#read(chunk));
    duplex.on('error', () => this.destroy());
    duplex.on('end', () => {
      duplex.end();
      this.#finish(undefined);
    });
    duplex.on('drain', () => {
      for (const callback of this.#waiting.splice(0)) callback();
    });
    duplex.on('close', () => this.#finish(undefined));
    duplex.pause();
  }

  /** Bytes written and not yet read by the peer. */
  get unread(): number {
    return this.#duplex.writableLength;
  }

  get over(): boolean {
    return this.#over;
  }

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    this.#duplex.resume();
  }

  /** Calls back once the peer has read everything, or never if the connection ends first. */
  onDrain(callback: () => void): void {
    this.#waiting.push(callback);
  }

  open(headers: Headers): SpdyStream {
    const stream = this.#add(this.#next);
    this.#next += 2;
    this.#write(synStreamFrame(stream.id, this.#writer.write(headers)));
    return stream;
  }

  /** Announces the end, and ends the connection once everything is written. */
  close(): void {
    if (this.#over) return;
    this.#write(goAwayFrame(this.#last));
    this.#duplex.end();
    // Further input is read and dropped: otherwise the end of the other side would go unnoticed.
    this.#duplex.resume();
  }

  destroy(): void {
    this.#duplex.destroy();
    this.#finish(undefined);
  }

  #add(id: number): SpdyStream {
    const stream = new SpdyStream(
      id,
      (frame) => this.#write(frame),
      () => this.#streams.delete(id),
    );
    this.#streams.set(id, stream);
    return stream;
  }

  #write(frame: Buffer): void {
    if (!this.#over && this.#duplex.writable) this.#duplex.write(frame);
  }

  #read(chunk: Buffer): void {
    if (this.#over) return;
    try {
      for (const frame of this.#reader.push(chunk)) {
        this.#take(frame);
        // The handler of the frame may have ended the connection.
        if (this.over) return;
      }
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      this.#finish(error);
      this.#duplex.destroy();
    }
  }

  #take(frame: Frame): void {
    switch (frame.kind) {
      case 'data': {
        const stream = this.#streams.get(frame.stream);
        // Data for a stream that is gone was already in transit.
        if (stream !== undefined && !stream.receive(frame.bytes, frame.fin)) throw new SpdyError('data after the end of a stream');
        return;
      }
      case 'syn_stream':
        return this.#opened(frame.stream, frame.headers, frame.fin);
      case 'syn_reply':
      case 'headers': {
        const stream = this.#streams.get(frame.stream);
        if (frame.fin && stream !== undefined) stream.receive(Buffer.alloc(0), true);
        return;
      }
      case 'rst':
        return this.#streams.get(frame.stream)?.wasReset();
      case 'ping':
        // An answer to a ping of this side has this side's parity; none are sent.
        if (frame.id % 2 !== this.#parity) this.#answer(pingFrame(frame.id));
        return;
      case 'go_away':
        // The connection ends with this frame: streams in progress are not waited for, as in spdystream.
        return;
    }
  }

  #opened(id: number, headers: Headers, fin: boolean): void {
    if (id % 2 === this.#parity || id <= this.#last) throw new SpdyError('a stream id out of order');
    this.#last = id;
    if (this.#streams.size >= MAX_STREAMS) return this.#answer(rstFrame(id, REFUSED));
    const stream = this.#add(id);
    if (!this.#events.opened(stream, headers)) {
      this.#streams.delete(id);
      return this.#answer(rstFrame(id, REFUSED));
    }
    if (this.#over) return;
    this.#answer(synReplyFrame(id, this.#writer.write(new Map())));
    if (fin) stream.receive(Buffer.alloc(0), true);
  }

  #answer(frame: Buffer): void {
    if (this.unread > MAX_UNREAD_ANSWERS) throw new SpdyError('a peer that asks and does not read');
    this.#write(frame);
  }

  #finish(error: SpdyError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#streams.clear();
    this.#events.closed(error);
  }
}
