/**
 * Multiplexes streams over one WebSocket (schemas/tunnel.ts); both ends run the same code.
 *
 *     stream:  open ──end sent──► half ──end received──► over
 *                └──────── reset either way, link gone ───►
 *
 * Sending: each stream has a queue, implemented by its owner. Streams with both bytes and window take turns of MAX_DATA, and
 * only while less than LINK_HIGH waits in the socket, so a key press in one stream is never further behind the bulk of
 * another. Receiving: data for a paused stream is held here, at most one window of it. Windows are large until LARGE_BUDGET
 * has been granted, then small: a tunnel holds at most 64 MiB, plus 64 KiB for each further stream. Tested in mux.test.ts.
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

/** Bytes in the socket above which streams wait. */
const LINK_HIGH = 256 << 10;
const LARGE_WINDOW = 1 << 20;
const LARGE_BUDGET = 64 << 20;
/** A peer that leaves this many bytes unread is disconnected: control frames must not pile up. */
const MAX_LINK_BUFFER = 8 << 20;

/** Outgoing bytes, in order. */
export interface ByteQueue {
  readonly length: number;
  /** Moves the oldest `length` bytes, which must be present, into `into`. */
  take(into: Buffer, at: number, length: number): void;
  clear(): void;
}

export interface StreamEvents {
  /** Valid until the handler returns, unless copied. */
  data(bytes: Buffer): void;
  /** The other side sends nothing more. */
  end(): void;
  /** Bytes have left the queue, or the end was sent. */
  sent(): void;
  /** Called once, last. `reason` is given if the stream was reset or the link lost. */
  closed(reason: string | undefined): void;
}

export interface MuxOptions {
  /** Only gateways open streams. */
  readonly side: 'gateway' | 'agent';
  /** Agents only: the gateway opened a stream. `attach` must be called before this returns. */
  readonly onOpen?: (stream: MuxStream, queue: Chunks, info: OpenStream) => void;
  /** Receives the payload of a control frame. An exception ends the tunnel. */
  readonly onControl: (payload: Uint8Array) => void;
  /** Called once. */
  readonly onClose: (reason: string) => void;
  /** In ms; set by tests. */
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
      // A stalled process has not been listening: read pending messages before silence counts.
      const late = performance.now() - looked > 2 * ping;
      looked = performance.now();
      if (!late && performance.now() - this.#heard > silence) return this.close(`nothing was received for ${silence / 1000} s`);
      if (socket.bufferedAmount > MAX_LINK_BUFFER) return this.close('the other side does not read');
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

  /** Gateways only. Throws TOO_MANY, or NODE_UNREACHABLE if the tunnel is closed. */
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

  /** Internal to streams. */
  send(type: Parameters<typeof encodeFrame>[0], id: number, payload: Uint8Array): void {
    if (!this.#closed) this.#socket.send(encodeFrame(type, id, payload), { binary: true }, this.#pump);
  }

  /** Internal to streams: queues a turn for a stream with bytes to send and window to send them. */
  queueTurn(stream: MuxStream): void {
    this.#ready.push(stream);
    this.#pump();
  }

  /** Internal to streams: the window size allowed now. */
  windowSize(current: number): number {
    return current >= LARGE_WINDOW || this.#granted + LARGE_WINDOW > LARGE_BUDGET ? current : LARGE_WINDOW;
  }

  /** Internal to streams. */
  account(bytes: number): void {
    this.#granted += bytes;
  }

  /** Internal to streams. */
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
        // Called once the frame has left: senders waiting for room continue then.
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
  /** Bytes the other side may still send. */
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

  /** Whether all queued bytes and the end have been sent. */
  get endSent(): boolean {
    return this.#endSent;
  }

  attach(events: StreamEvents): void {
    this.#events = events;
    this.resume();
  }

  /** Tells the mux that bytes were put into the queue. */
  poke(): void {
    const endDue = this.#endWanted && !this.#endSent && this.#out.length === 0;
    if (this.#inTurn || this.#over || (this.sendable === 0 && !endDue)) return;
    this.#inTurn = true;
    this.#mux.queueTurn(this);
  }

  /** Ends the stream after the bytes already queued. */
  end(): void {
    if (this.#endWanted || this.#over) return;
    this.#endWanted = true;
    this.poke();
  }

  /** Ends the stream now and discards queued bytes. */
  destroy(reason = ''): void {
    if (this.#over) return;
    this.#mux.send('reset', this.id, Buffer.from(reason).subarray(0, 1000));
    this.#finish(reason === '' ? undefined : reason);
  }

  pause(): void {
    this.#paused = true;
  }

  /** Held data is delivered on the next tick, since the caller may be in the middle of something. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held.length > 0 || this.#endReceived) process.nextTick(this.#deliverHeld);
  }

  readonly #deliverHeld = (): void => {
    while (!this.#paused && !this.#over && this.#held.length > 0) this.#deliver(this.#held.shift());
    this.#deliverEnd();
  };

  // The members below are called by the mux.

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
    if (this.#credit > 0xffff_ffff) throw new StenoError('TUNNEL_MALFORMED', 'a window larger than allowed');
    this.poke();
  }

  ended(): void {
    if (this.#endReceived) throw new StenoError('TUNNEL_MALFORMED', 'a second end');
    this.#endReceived = true;
    this.#deliverEnd();
  }

  reset(reason: string): void {
    this.#finish(reason === '' ? 'the other side ended the stream' : reason.slice(0, 256));
  }

  lost(reason: string): void {
    this.#finish(reason);
  }

  #deliver(bytes: Buffer): void {
    this.#events?.data(bytes);
    if (this.#over || this.#endReceived) return;
    // Grant half a window at a time: fewer frames, and the other side never has to wait.
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

/** A queue of chunks; ownership passes to the queue. */
export class Chunks implements ByteQueue {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes of the first chunk already taken. */
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

/** Copies of the data received by a paused stream, so that single bytes do not keep whole socket reads alive. */
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

  /** The oldest bytes; there must be some. */
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
