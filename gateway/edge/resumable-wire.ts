/**
 * The byte stream of a browser's SSH connection, which can continue over another network connection if the user's roles
 * allow it (`reconnect`). Decision 0165.
 *
 *     attached ──network lost, kept──► away ──resumed──► attached
 *        │                              ├──time over, destroyed──────────────► closed
 *        │                              └──ended by the gateway──► parting ──resumed, time over──► closed
 *        └──ended, destroyed, network lost and not kept, misused────────────────────────────────► closed
 *
 * The SSH layer is not told about a lost network: its output is kept (schemas/terminal/), and once more than `KEPT` bytes are kept, it is
 * asked to stop sending. The session then behaves like one whose client does not read. In `parting` SSH is over and only its last bytes
 * wait to be fetched. A newer connection that proves itself replaces the current one, even if that one is not known to be lost. Limits:
 * `MAX_KEPT` bytes; one incomplete frame. Tested in resumable-wire.test.ts, and over TLS in test/end-to-end/terminal-resume.test.ts.
 */
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { encodeFrame, FrameReader } from '#schemas/terminal/frames.js';
import { ResumableStream } from '#schemas/terminal/resumable-stream.js';
import { HIGH_WATER } from './socket-wire.js';
import type { KeepTerms, Ticket, WireTimers } from './keep-terms.js';
import type { Wire, WireEvents } from './socket-wire.js';

/** Bytes that may await acknowledgement by the other end, in addition to HIGH_WATER. */
const KEPT = 1 << 20;
/** More than the windows of all channels of a page allow: no client of ours gets there. */
const MAX_KEPT = 16 << 20;
/** This end sends something at least this often, in ms; the other end takes silence for a lost network. */
export const SAY_MS = 10_000;
/** A peer that does not read our last bytes is cut off after this many milliseconds. */
const LINGER_MS = 3_000;

export interface ResumableWireDeps {
  readonly timers: WireTimers;
  /** Registers the wire under an id by which it can be found. */
  keep(wire: ResumableWire, terms: KeepTerms): Ticket;
  /** The wire can no longer be resumed. */
  closed(wire: ResumableWire): void;
}

export class ResumableWire implements Wire {
  readonly #deps: ResumableWireDeps;
  readonly #stream: ResumableStream;
  /** Null: away, or parting. */
  #socket: Duplex | null = null;
  #reader = new FrameReader();
  #events: WireEvents | undefined;
  #terms: KeepTerms | null = null;
  #paused = true;
  #ending = false;
  #told = false;
  #over = false;
  /** More than HIGH_WATER was queued, and `drained` has not been called since. */
  #full = false;
  #corked: Duplex | null = null;
  #lostAt = 0;
  #cancelAway: (() => void) | undefined;
  #cancelSay: (() => void) | undefined;

  /** `head`: bytes already read from the socket. */
  constructor(socket: Duplex, head: Buffer, deps: ResumableWireDeps) {
    this.#deps = deps;
    this.#stream = new ResumableStream({
      bytes: (bytes) => this.#events?.bytes(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)),
      frame: (bytes) => this.#write(bytes),
      acknowledged: () => this.#maybeDrained(),
      ended: () => this.end(),
    });
    if (head.length > 0) socket.unshift(head);
    this.#use(socket);
    this.#say();
  }

  get queued(): number {
    return (this.#socket?.writableLength ?? 0) + Math.max(0, this.#stream.kept - KEPT);
  }

  attach(events: WireEvents): void {
    this.#events = events;
    if (this.#over) return process.nextTick(events.closed);
    this.resume();
  }

  reserve(length: number): Buffer {
    return Buffer.allocUnsafe(length);
  }

  send(bytes: Buffer): void {
    if (this.#over || this.#ending) return;
    this.#stream.send(bytes);
    if (this.#stream.kept > MAX_KEPT) return this.destroy();
    if (this.queued > HIGH_WATER) this.#full = true;
  }

  flush(): void {
    const corked = this.#corked;
    this.#corked = null;
    corked?.uncork();
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  end(): void {
    if (this.#over || this.#ending) return;
    this.#ending = true;
    this.#stream.end();
    if (this.#socket === null) process.nextTick(this.#tell);
    else this.#leave(this.#socket);
  }

  destroy(): void {
    if (this.#over) return;
    const socket = this.#socket;
    this.#close();
    socket?.destroy();
  }

  /** Makes the connection outlive a lost network from now on. */
  keep(terms: KeepTerms): Ticket {
    this.#terms = terms;
    return this.#deps.keep(this, terms);
  }

  /** Called when the terms may have changed. */
  recheck(): void {
    if (this.#socket === null && !this.#over) this.#await();
  }

  /** Whether a page that has `received` bytes can continue from there. */
  holds(received: number): boolean {
    return !this.#over && this.#stream.holds(received);
  }

  /**
   * Continues over `socket`, whose page has proven itself and has `received` bytes (see `holds`). `reader`: holds bytes that followed the
   * proof.
   */
  reattach(socket: Duplex, reader: FrameReader, received: number, source: string): void {
    const before = this.#socket;
    const awayMs = before === null ? Math.max(1, Math.round(this.#deps.timers.now() - this.#lostAt)) : 0;
    this.#cancelAway?.();
    this.#stream.detach();
    this.flush();
    this.#reader = reader;
    this.#use(socket);
    before?.destroy();
    this.#write(encodeFrame({ kind: 'resumed', received: this.#stream.received }));
    this.#stream.attach(received);
    if (this.#ending) return this.#leave(socket);
    this.#terms?.resumed(awayMs, source);
    this.#frames(socket);
    if (!this.#paused) socket.resume();
    this.#maybeDrained();
  }

  #use(socket: Duplex): void {
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('drain', () => this.#maybeDrained());
    socket.on('data', (chunk: Buffer) => {
      if (socket !== this.#socket) return;
      this.#reader.put(chunk);
      this.#frames(socket);
    });
    // The peer of a half-closed connection can send nothing more: treat the connection as lost.
    socket.on('end', () => socket.destroy());
    socket.once('close', () => this.#lost(socket));
    if (socket.destroyed) process.nextTick(() => this.#lost(socket));
    socket.pause();
  }

  #frames(socket: Duplex): void {
    try {
      while (socket === this.#socket && !this.#over) {
        const frame = this.#reader.next();
        if (frame === null) return;
        this.#stream.take(frame);
      }
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      this.destroy();
    }
  }

  #lost(socket: Duplex): void {
    if (socket !== this.#socket || this.#over) return;
    this.#socket = null;
    this.#corked = null;
    this.#reader = new FrameReader();
    this.#stream.detach();
    if (this.#ending || this.#terms === null || this.#terms.ms() <= 0) return this.#close();
    this.#lostAt = this.#deps.timers.now();
    this.#full = true;
    this.#await();
    this.#terms.lost();
  }

  /** Waits until the browser's time to come back is over. */
  #await(): void {
    this.#cancelAway?.();
    const left = this.#lostAt + (this.#terms?.ms() ?? 0) - this.#deps.timers.now();
    if (left <= 0) this.#close();
    else this.#cancelAway = this.#deps.timers.after(left, () => this.#close());
  }

  /** Sends the last bytes, then closes the connection. */
  #leave(socket: Duplex): void {
    this.flush();
    socket.end();
    const cancel = this.#deps.timers.after(LINGER_MS, () => socket.destroy());
    socket.once('close', cancel);
    // Without reading, neither the other side's end nor a close would be noticed.
    socket.resume();
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelAway?.();
    this.#cancelSay?.();
    this.#socket = null;
    this.#stream.detach();
    this.#deps.closed(this);
    process.nextTick(this.#tell);
  }

  readonly #tell = (): void => {
    if (this.#told || this.#events === undefined) return;
    this.#told = true;
    this.#events.closed();
  };

  #say(): void {
    this.#cancelSay = this.#deps.timers.after(SAY_MS, () => {
      this.#stream.say();
      this.#say();
    });
  }

  #write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket === null || !socket.writable) return;
    // All frames made in one turn leave together.
    if (this.#corked !== socket) {
      this.flush();
      this.#corked = socket;
      socket.cork();
      process.nextTick(() => this.flush());
    }
    socket.write(bytes);
  }

  #maybeDrained(): void {
    if (!this.#full || this.#over || this.#socket === null || this.queued > HIGH_WATER) return;
    this.#full = false;
    this.#events?.drained();
  }
}
