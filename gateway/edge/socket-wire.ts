/**
 * The byte stream of one SSH connection: a TCP socket, or a channel of another SSH connection (jump.ts).
 *
 * A wire never refuses bytes; the sender checks `queued` and stops reading its other side until `drained` (relay.ts). A
 * client that stops reading thereby stops the node, with at most `HIGH_WATER` bytes and one read in between.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { KeepTerms, Ticket } from './keep-terms.js';
import { Outbox } from './outbox.js';

/** Bytes: above this, nothing more is read for this wire, unless it has a lower limit. */
export const HIGH_WATER = 256 * 1024;

export interface WireEvents {
  bytes(chunk: Buffer): void;
  /** `queued` was above HIGH_WATER, or the wire's own limit, and is low again. */
  drained(): void;
  /** Called once, never during a call to this wire; no event follows. */
  closed(): void;
}

export interface Wire {
  /** Bytes accepted by `send` that have not left yet. */
  readonly queued: number;
  /** Starts reading. Chunks are valid until the callback returns. */
  attach(events: WireEvents): void;
  /** Memory for the `length` bytes passed to `send` next, which then need not be copied. */
  reserve(length: number): Buffer;
  send(bytes: Buffer): void;
  /** Sends queued bytes now, if possible, instead of at the end of this turn of the event loop. Calls no callback. */
  flush?(): void;
  /** Uses little memory for a peer that does not read: `bytes` replaces HIGH_WATER from now on. Absent: not supported. */
  limit?(bytes: number): void;
  /** Makes the connection outlive a lost network from now on; absent: not supported. */
  keep?(terms: KeepTerms): Ticket;
  /** Called when the terms may have changed. */
  recheck?(): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(): void;
}

/** A peer that does not read our last bytes is cut off after this many milliseconds. */
const LINGER_MS = 3_000;
/** Shared by all sockets: each read uses the same memory. */
const readBuffer = Buffer.allocUnsafeSlow(128 * 1024);

/** A wire over a Node stream; subclasses define how its bytes are read. */
export abstract class StreamWire<S extends Duplex> implements Wire {
  protected readonly stream: S;
  protected events: WireEvents | undefined;
  protected closed = false;
  readonly #out = new Outbox();
  #scheduled = false;
  #ending = false;
  #limit = HIGH_WATER;
  /** More than the limit was queued, and `drained` has not been called since. */
  #full = false;

  protected constructor(stream: S) {
    this.stream = stream;
    stream.on('error', () => stream.destroy());
    stream.on('drain', () => this.events?.drained());
    stream.on('end', () => this.end());
    stream.once('close', () => {
      this.closed = true;
      this.#out.clear();
      this.events?.closed();
    });
  }

  abstract attach(events: WireEvents): void;

  get queued(): number {
    return this.stream.writableLength + this.#out.length;
  }

  limit(bytes: number): void {
    this.#limit = bytes;
    if (this.queued > bytes) this.#full = true;
    this.#out.shrink();
  }

  reserve(length: number): Buffer {
    return this.#out.reserve(length);
  }

  send(bytes: Buffer): void {
    if (!this.stream.writable) return;
    this.#out.put(bytes);
    if (this.queued > this.#limit) this.#full = true;
    if (this.#scheduled) return;
    // All packets made from one read leave in one system call.
    this.#scheduled = true;
    process.nextTick(this.#flush);
  }

  flush(): void {
    if (!this.stream.writable) return this.#out.clear();
    for (let slab = this.#out.takeSlab(); slab !== undefined; slab = this.#out.takeSlab()) {
      const { bytes } = slab;
      this.stream.write(bytes, () => {
        slab.giveBack();
        // A limit below the stream's own brings no 'drain' event.
        this.#maybeDrained();
      });
    }
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (!this.stream.writable) return this.#out.clear();
    this.flush();
    // If the system accepted everything at once, no 'drain' event will come.
    if (!this.stream.writableNeedDrain) this.#maybeDrained();
  };

  #maybeDrained(): void {
    if (!this.#full || !this.stream.writable || this.queued > this.#limit) return;
    this.#full = false;
    this.events?.drained();
  }

  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.stream.resume();
  }

  end(): void {
    if (this.stream.destroyed || this.#ending) return;
    this.#ending = true;
    this.#flush();
    this.stream.end();
    const linger = setTimeout(() => this.stream.destroy(), LINGER_MS);
    this.stream.once('close', () => clearTimeout(linger));
    // Without reading, neither the other side's end nor a close would be noticed.
    this.stream.resume();
  }

  destroy(): void {
    this.stream.destroy();
  }
}

export class SocketWire extends StreamWire<Socket> {
  #unread: Buffer | undefined;

  /** Takes over a connected socket from which nothing has been read. */
  constructor(socket: Socket) {
    super(readingInto(readBuffer, socket, (chunk) => this.events?.bytes(chunk)));
    // Keystrokes are small: Nagle's algorithm would hold them back.
    this.stream.setNoDelay(true);
    this.stream.setKeepAlive(true, 60_000);
  }

  /** A later caller replaces the earlier one. */
  attach(events: WireEvents): void {
    this.events = events;
    if (this.closed) return process.nextTick(events.closed);
    if (this.#unread !== undefined) {
      const unread = this.#unread;
      this.#unread = undefined;
      process.nextTick(() => {
        if (!this.closed) this.events?.bytes(unread);
      });
    }
    this.stream.resume();
  }

  /** Gives back bytes that were read too far: the next caller of `attach` receives them first. */
  unread(bytes: Buffer): void {
    if (bytes.length > 0) this.#unread = Buffer.from(bytes);
  }
}

/**
 * Returns the same connection as a socket that reads into `buffer`; otherwise each read allocates 64 KiB. Node offers this
 * for dialled sockets (`onread`) but not for accepted ones, so the handle moves to a new socket, as node:tls does it.
 */
function readingInto(buffer: Buffer, socket: Socket, read: (chunk: Buffer) => void): Socket {
  const old = socket as unknown as { _handle: object | null };
  const options = {
    handle: old._handle,
    pauseOnCreate: true,
    onread: {
      buffer,
      callback: (length: number): boolean => {
        read(buffer.subarray(0, length));
        return true;
      },
    },
  };
  old._handle = null;
  socket.destroy();
  return new Socket(options as ConstructorParameters<typeof Socket>[0]);
}
