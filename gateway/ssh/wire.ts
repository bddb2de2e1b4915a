/**
 * What carries the bytes of one SSH connection: a TCP socket, or a channel of another SSH connection (jump.ts).
 *
 * A wire never refuses bytes; who sends looks at `queued` and stops reading elsewhere until `drained` (relay.ts). That
 * is how a client that stops reading stops the node, with no more than `HIGH_WATER` and one read between them.
 */
import type { Socket } from 'node:net';

/** Bytes: beyond this nothing more is read for this wire. */
export const HIGH_WATER = 256 * 1024;

export interface WireEvents {
  bytes(chunk: Buffer): void;
  /** After `queued` went beyond HIGH_WATER, it is low again. */
  drained(): void;
  /** Once; nothing follows. */
  closed(): void;
}

export interface Wire {
  /** Bytes taken by `send` that have not left. */
  readonly queued: number;
  attach(events: WireEvents): void;
  send(bytes: Buffer): void;
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(): void;
}

/** A peer that takes nothing of our last words is cut off after this many milliseconds. */
const LINGER_MS = 3_000;

export class SocketWire implements Wire {
  readonly #socket: Socket;
  #corked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    // Keystrokes are small: Nagle's algorithm would hold them back.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
  }

  get queued(): number {
    return this.#socket.writableLength;
  }

  attach(events: WireEvents): void {
    this.#socket.on('data', events.bytes);
    this.#socket.on('drain', events.drained);
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('end', () => this.end());
    this.#socket.once('close', events.closed);
  }

  send(bytes: Buffer): void {
    if (!this.#socket.writable) return;
    // All packets made from one read leave in one system call.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(this.#uncork);
    }
    this.#socket.write(bytes);
  }

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#socket.uncork();
  };

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    if (this.#socket.destroyed) return;
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
