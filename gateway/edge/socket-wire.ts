/**
 * What carries the bytes of one SSH connection: a TCP socket, or a channel of another SSH connection (jump.ts).
 *
 * A wire never refuses bytes; who sends looks at `queued` and stops reading elsewhere until `drained` (relay.ts). That
 * is how a client that stops reading stops the node, with no more than `HIGH_WATER` and one read between them.
 */
import { Socket } from 'node:net';
import { Outbox } from './outbox.js';

/** Bytes: beyond this nothing more is read for this wire. */
export const HIGH_WATER = 256 * 1024;

export interface WireEvents {
  bytes(chunk: Buffer): void;
  /** After `queued` went beyond HIGH_WATER, it is low again. */
  drained(): void;
  /** Once, never within a call of this wire; nothing follows. */
  closed(): void;
}

export interface Wire {
  /** Bytes taken by `send` that have not left. */
  readonly queued: number;
  /** Begins to read. Chunks are good until the callback returns. */
  attach(events: WireEvents): void;
  /** Memory for `length` bytes that are given to `send` next: they need not be copied then. */
  reserve(length: number): Buffer;
  send(bytes: Buffer): void;
  /** What was sent leaves now, if it can, and not at the end of this turn of the event loop. Calls nobody back. */
  flush?(): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(): void;
}

/** A peer that takes nothing of our last words is cut off after this many milliseconds. */
const LINGER_MS = 3_000;
/** All sockets are read into the same memory, one after the other. */
const readBuffer = Buffer.allocUnsafeSlow(128 * 1024);

export class SocketWire implements Wire {
  readonly #socket: Socket;
  readonly #out = new Outbox();
  #events: WireEvents | undefined;
  #unread: Buffer | undefined;
  #closed = false;
  #scheduled = false;
  #ending = false;
  /** More than HIGH_WATER was queued, and nobody was told since that it no longer is. */
  #full = false;

  /** Takes over a connected socket that nothing was read from. */
  constructor(socket: Socket) {
    this.#socket = readingInto(readBuffer, socket, (chunk) => this.#events?.bytes(chunk));
    // Keystrokes are small: Nagle's algorithm would hold them back.
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 60_000);
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('drain', () => this.#events?.drained());
    this.#socket.on('end', () => this.end());
    this.#socket.once('close', () => {
      this.#closed = true;
      this.#out.clear();
      this.#events?.closed();
    });
  }

  get queued(): number {
    return this.#socket.writableLength + this.#out.length;
  }

  /** Whoever attaches next takes over from whoever did before. */
  attach(events: WireEvents): void {
    this.#events = events;
    if (this.#closed) return process.nextTick(events.closed);
    if (this.#unread !== undefined) {
      const unread = this.#unread;
      this.#unread = undefined;
      process.nextTick(() => {
        if (!this.#closed) this.#events?.bytes(unread);
      });
    }
    this.#socket.resume();
  }

  /** Gives back bytes that were read too far: the next to attach gets them first. */
  unread(bytes: Buffer): void {
    if (bytes.length > 0) this.#unread = Buffer.from(bytes);
  }

  reserve(length: number): Buffer {
    return this.#out.reserve(length);
  }

  send(bytes: Buffer): void {
    if (!this.#socket.writable) return;
    this.#out.put(bytes);
    if (this.queued > HIGH_WATER) this.#full = true;
    if (this.#scheduled) return;
    // All packets made from one read leave in one system call.
    this.#scheduled = true;
    process.nextTick(this.#flush);
  }

  flush(): void {
    if (!this.#socket.writable) return this.#out.clear();
    for (let slab = this.#out.takeSlab(); slab !== undefined; slab = this.#out.takeSlab()) {
      const { bytes } = slab;
      this.#socket.write(bytes, slab.giveBack.bind(slab));
    }
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    if (!this.#socket.writable) return this.#out.clear();
    this.flush();
    // Where the system took all of it at once there is no 'drain' to come.
    if (!this.#full || this.#socket.writableNeedDrain || this.queued > HIGH_WATER) return;
    this.#full = false;
    this.#events?.drained();
  };

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    if (this.#socket.destroyed || this.#ending) return;
    this.#ending = true;
    this.#flush();
    this.#socket.end();
    const linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once('close', () => clearTimeout(linger));
    // Without reading there would be no end of the other side, and no close.
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/**
 * The same connection as a socket that reads into `buffer`, without which each read takes 64 KiB of new memory. Node
 * offers this to sockets that dial (`onread`), and keeps it from those that a server accepts: hence the handle changes
 * hands, as node:tls does it.
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
