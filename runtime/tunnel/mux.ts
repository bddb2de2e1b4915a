/**
 * Many streams over one WebSocket (schemas/tunnel.ts), the same code at both ends.
 *
 *     stream:  open ──end sent──► half ──end received──► over
 *                └──────── reset either way, link gone ───►
 *
 * Sending: a stream keeps its bytes in a queue of its owner's kind. The streams that have both bytes and window take
 * turns of MAX_DATA, and only while less than LINK_HIGH waits in the socket: a key pressed in one is never more than that
 * behind the bulk of another. Receiving: what a paused stream gets waits here, at most its window. Windows are large
 * until LARGE_BUDGET is given out, then small: a tunnel holds at most 64 MiB and 64 KiB for each stream beyond.
 * Tested in mux.test.ts.
 */
import type { WebSocket } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import {
  FIRST_WINDOW,
  FRAME_HEADER,
  MAX_CONTROL,
  MAX_DATA,
  MAX_STREAMS,
  TUNNEL_PING_MS,
  TUNNEL_SILENCE_MS,
  decodeFrame,
  encodeFrame,
  openStream,
  parseTunnelJson,
  writeFrameHeader,
} from '#schemas/tunnel.js';
import type { OpenStream } from '#schemas/tunnel.js';

/** Bytes of the socket beyond which streams wait. */
const LINK_HIGH = 256 << 10;
const LARGE_WINDOW = 1 << 20;
const LARGE_BUDGET = 64 << 20;
/** A peer that takes none of this many bytes of control frames is given up: they must not pile up. */
const MAX_LINK_BUFFER = 8 << 20;

/** Bytes on their way out, in order. */
export interface ByteQueue {
  readonly length: number;
  /** Moves the oldest `length` bytes, which are there. */
  take(into: Buffer, at: number, length: number): void;
  clear(): void;
}

export interface StreamEvents {
  /** Good until the handler returns, or copied. */
  data(bytes: Buffer): void;
  /** Nothing more comes. */
  end(): void;
  /** Bytes have left the queue, or the end was sent. */
  sent(): void;
  /** Once, at the very end. `reason` when it was reset or the link was lost. */
  closed(reason: string | undefined): void;
}

export interface MuxOptions {
  /** Only gateways open streams. */
  readonly side: 'gateway' | 'agent';
  /** Agents: a stream that the gateway opens. `attach` must be called before this returns. */
  readonly onOpen?: (stream: MuxStream, queue: Chunks, info: OpenStream) => void;
  /** The payload of a control frame. What it throws ends the tunnel. */
  readonly onControl: (payload: Uint8Array) => void;
  /** Once. */
  readonly onClose: (reason: string) => void;
  /** ms; given in tests. */
  readonly pingMs?: number;
  readonly silenceMs?: number;
}

export class Mux {
  readonly #socket: WebSocket;
  readonly #options: MuxOptions;
  readonly #streams = new Map<number, MuxStream>();
  #lastId = 0;
  #ready: MuxStream[] = [];
  #granted = 0;
  #closed = false;
  #pumping = false;
  #heard = performance.now();
  readonly #timer: NodeJS.Timeout;

  /** Takes over an open socket. */
  constructor(socket: WebSocket, options: MuxOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary));
    socket.on('ping', () => this.#hear());
    socket.on('pong', () => this.#hear());
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('the connection was lost'));
    const silence = options.silenceMs ?? TUNNEL_SILENCE_MS;
    const ping = options.pingMs ?? TUNNEL_PING_MS;
    let looked = performance.now();
    this.#timer = setInterval(() => {
      // A process that was held up has not listened: what came meanwhile is read before silence counts.
      const late = performance.now() - looked > 2 * ping;
      looked = performance.now();
      if (!late && performance.now() - this.#heard > silence) return this.close(`nothing was heard for ${silence / 1000} s`);
      if (socket.bufferedAmount > MAX_LINK_BUFFER) return this.close('the other side takes nothing');
      socket.ping();
    }, ping);
    this.#timer.unref();
  }

  get streams(): number {
    return this.#streams.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Gateways only. Throws TOO_MANY, or NODE_UNREACHABLE when the tunnel is gone. */
  open(info: OpenStream, queue: ByteQueue): MuxStream {
    if (this.#closed) throw new StenoError('NODE_UNREACHABLE', 'its tunnel was lost');
    if (this.#streams.size >= MAX_STREAMS) throw new StenoError('TOO_MANY', 'sessions through one tunnel');
    const stream = this.#add(++this.#lastId, queue);
    this.send('open', stream.id, Buffer.from(JSON.stringify(info)));
    stream.grantFirst();
    return stream;
  }

  control(message: object): void {
    const payload = Buffer.from(JSON.stringify(message));
    if (payload.length > MAX_CONTROL) throw new StenoError('TOO_LARGE', 'a message of the tunnel');
    this.send('control', 0, payload);
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket.terminate();
    for (const stream of [...this.#streams.values()]) stream.lost(reason);
    this.#streams.clear();
    this.#ready = [];
    this.#options.onClose(reason);
  }

  /** For streams. */
  send(type: Parameters<typeof encodeFrame>[0], id: number, payload: Uint8Array): void {
    if (!this.#closed) this.#socket.send(encodeFrame(type, id, payload), { binary: true }, this.#pump);
  }

  /** For streams: there is something to send and room to send it in. */
  queueTurn(stream: MuxStream): void {
    this.#ready.push(stream);
    this.#pump();
  }

  /** For streams: how large a window may be now. */
  windowSize(current: number): number {
    return current >= LARGE_WINDOW || this.#granted + LARGE_WINDOW > LARGE_BUDGET ? current : LARGE_WINDOW;
  }

  /** For streams. */
  account(bytes: number): void {
    this.#granted += bytes;
  }

  /** For streams. */
  forget(stream: MuxStream): void {
    this.#streams.delete(stream.id);
  }

  #add(id: number, queue: ByteQueue): MuxStream {
    const stream = new MuxStream(this, id, queue);
    this.#streams.set(id, stream);
    return stream;
  }

  #hear(): void {
    this.#heard = performance.now();
  }

  readonly #pump = (): void => {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#ready.length > 0 && !this.#closed && this.#socket.bufferedAmount < LINK_HIGH) {
      const stream = this.#ready.shift()!;
      const length = Math.min(stream.sendable, MAX_DATA);
      if (length > 0) {
        const frame = Buffer.allocUnsafe(FRAME_HEADER + length);
        writeFrameHeader(frame, 'data', stream.id);
        stream.takeInto(frame, FRAME_HEADER, length);
        // Called when it has left: whoever waits for room goes on then.
        this.#socket.send(frame, { binary: true }, this.#pump);
      }
      stream.turnTaken();
    }
    this.#pumping = false;
  };

  #receive(message: Buffer, isBinary: boolean): void {
    if (this.#closed) return;
    this.#hear();
    try {
      if (!isBinary) throw new StenoError('TUNNEL_MALFORMED', 'a text message');
      const { type, stream: id, payload } = decodeFrame(message);
      if (type === 'control') return this.#options.onControl(payload);
      if (type === 'open') return this.#opened(id, payload);
      const stream = this.#streams.get(id);
      if (stream === undefined) {
        if (id > this.#lastId) throw new StenoError('TUNNEL_MALFORMED', `stream ${id} was never opened`);
        return;
      }
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
      switch (type) {
        case 'data':
          return stream.received(bytes);
        case 'window':
          return stream.granted(bytes.readUInt32BE());
        case 'end':
          return stream.ended();
        case 'reset':
          return stream.reset(bytes.toString('utf8'));
      }
    } catch (error) {
      this.close(error instanceof Error ? error.message : 'a fault');
    }
  }

  #opened(id: number, payload: Uint8Array): void {
    if (this.#options.side !== 'agent' || this.#options.onOpen === undefined)
      throw new StenoError('TUNNEL_MALFORMED', 'only gateways open streams');
    if (id !== this.#lastId + 1) throw new StenoError('TUNNEL_MALFORMED', `stream ${id} follows ${this.#lastId}`);
    const info = parseTunnelJson(openStream, payload);
    this.#lastId = id;
    if (this.#streams.size >= MAX_STREAMS) return this.send('reset', id, Buffer.from('too many streams'));
    const queue = new Chunks();
    const stream = this.#add(id, queue);
    stream.grantFirst();
    this.#options.onOpen(stream, queue, info);
  }
}

export class MuxStream {
  readonly id: number;
  readonly #mux: Mux;
  readonly #out: ByteQueue;
  #events: StreamEvents | undefined;
  #credit = FIRST_WINDOW;
  #inTurn = false;
  #endWanted = false;
  #endSent = false;
  #endReceived = false;
  #endDelivered = false;
  #over = false;
  #paused = true;
  readonly #held = new Held();
  #window = FIRST_WINDOW;
  /** What the other side may still send. */
  #open = FIRST_WINDOW;

  constructor(mux: Mux, id: number, out: ByteQueue) {
    this.#mux = mux;
    this.id = id;
    this.#out = out;
    mux.account(FIRST_WINDOW);
  }

  get over(): boolean {
    return this.#over;
  }

  /** All that was put has been sent, and that it was all. */
  get endSent(): boolean {
    return this.#endSent;
  }

  attach(events: StreamEvents): void {
    this.#events = events;
    this.resume();
  }

  /** Bytes were put into the queue. */
  poke(): void {
    const endDue = this.#endWanted && !this.#endSent && this.#out.length === 0;
    if (this.#inTurn || this.#over || (this.sendable === 0 && !endDue)) return;
    this.#inTurn = true;
    this.#mux.queueTurn(this);
  }

  /** Nothing more is put into the queue; what is there still goes. */
  end(): void {
    if (this.#endWanted || this.#over) return;
    this.#endWanted = true;
    this.poke();
  }

  /** Ends the stream now, whatever waits. */
  destroy(reason = ''): void {
    if (this.#over) return;
    this.#mux.send('reset', this.id, Buffer.from(reason).subarray(0, 1000));
    this.#finish(reason === '' ? undefined : reason);
  }

  pause(): void {
    this.#paused = true;
  }

  /** What waits is delivered in the next tick: whoever resumes may be in the middle of something. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held.length > 0 || this.#endReceived) process.nextTick(this.#deliverHeld);
  }

  readonly #deliverHeld = (): void => {
    while (!this.#paused && !this.#over && this.#held.length > 0) this.#deliver(this.#held.shift());
    this.#deliverEnd();
  };

  // What follows is called by the mux.

  get sendable(): number {
    return Math.min(this.#out.length, this.#credit);
  }

  takeInto(frame: Buffer, at: number, length: number): void {
    this.#out.take(frame, at, length);
    this.#credit -= length;
  }

  turnTaken(): void {
    this.#inTurn = false;
    if (this.#over) return;
    if (this.#endWanted && !this.#endSent && this.#out.length === 0) {
      this.#endSent = true;
      this.#mux.send('end', this.id, Buffer.alloc(0));
    }
    this.#events?.sent();
    this.#endedBoth();
    this.poke();
  }

  grantFirst(): void {
    this.#widen();
  }

  received(bytes: Buffer): void {
    if (this.#endReceived) throw new StenoError('TUNNEL_MALFORMED', 'data after the end of its stream');
    if (bytes.length > this.#open) throw new StenoError('TUNNEL_MALFORMED', 'more data than was granted');
    this.#open -= bytes.length;
    if (this.#paused || this.#held.length > 0) this.#held.put(bytes);
    else this.#deliver(bytes);
  }

  granted(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > 0xffff_ffff) throw new StenoError('TUNNEL_MALFORMED', 'a window beyond all bounds');
    this.poke();
  }

  ended(): void {
    if (this.#endReceived) throw new StenoError('TUNNEL_MALFORMED', 'a second end');
    this.#endReceived = true;
    this.#deliverEnd();
  }

  reset(reason: string): void {
    this.#finish(reason === '' ? 'the other side ended it' : reason.slice(0, 256));
  }

  lost(reason: string): void {
    this.#finish(reason);
  }

  #deliver(bytes: Buffer): void {
    this.#events?.data(bytes);
    if (this.#over || this.#endReceived) return;
    // Half a window at a time: fewer frames, and the other side never has to wait.
    const used = this.#window - this.#open - this.#held.length;
    if (used >= this.#window / 2) {
      this.#widen();
      const more = this.#window - this.#open - this.#held.length;
      if (more > 0) this.#grant(more);
    }
  }

  #widen(): void {
    const size = this.#mux.windowSize(this.#window);
    if (size === this.#window) return;
    this.#mux.account(size - this.#window);
    const more = size - this.#window;
    this.#window = size;
    this.#grant(more);
  }

  #grant(bytes: number): void {
    this.#open += bytes;
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32BE(bytes);
    this.#mux.send('window', this.id, payload);
  }

  #deliverEnd(): void {
    if (!this.#endReceived || this.#endDelivered || this.#paused || this.#held.length > 0 || this.#over) return;
    this.#endDelivered = true;
    this.#events?.end();
    this.#endedBoth();
  }

  #endedBoth(): void {
    if (this.#endSent && this.#endDelivered) this.#finish(undefined);
  }

  #finish(reason: string | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#mux.account(-this.#window);
    this.#held.clear();
    this.#out.clear();
    this.#mux.forget(this);
    this.#events?.closed(reason);
  }
}

/** A queue of chunks as they come; whoever puts one gives it away. */
export class Chunks implements ByteQueue {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes of the first chunk that are gone. */
  #taken = 0;

  get length(): number {
    return this.#length;
  }

  put(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  take(into: Buffer, at: number, length: number): void {
    for (let moved = 0; moved < length;) {
      const chunk = this.#chunks[0]!;
      const piece = Math.min(chunk.length - this.#taken, length - moved);
      chunk.copy(into, at + moved, this.#taken, this.#taken + piece);
      moved += piece;
      this.#taken += piece;
      if (this.#taken === chunk.length) {
        this.#chunks.shift();
        this.#taken = 0;
      }
    }
    this.#length -= length;
  }

  clear(): void {
    this.#chunks = [];
    this.#length = 0;
    this.#taken = 0;
  }
}

const HELD_SLAB = 32 << 10;

/** Copies of what a paused stream received, so that single bytes do not keep whole reads of the socket alive. */
class Held {
  #slabs: { readonly memory: Buffer; filled: number }[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  put(bytes: Buffer): void {
    this.#length += bytes.length;
    for (let at = 0; at < bytes.length;) {
      let last = this.#slabs.at(-1);
      if (last === undefined || last.filled === last.memory.length) {
        last = { memory: Buffer.allocUnsafeSlow(HELD_SLAB), filled: 0 };
        this.#slabs.push(last);
      }
      const copied = bytes.copy(last.memory, last.filled, at);
      last.filled += copied;
      at += copied;
    }
  }

  /** The oldest bytes, which are there. */
  shift(): Buffer {
    const { memory, filled } = this.#slabs.shift()!;
    this.#length -= filled;
    return memory.subarray(0, filled);
  }

  clear(): void {
    this.#slabs = [];
    this.#length = 0;
  }
}
