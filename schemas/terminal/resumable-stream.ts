/**
 * One end of a byte stream that continues over several connections without losing, repeating or reordering a byte.
 *
 *     attached ──detach──► detached ──attach(bytes that the other end has)──► attached
 *
 * Sent bytes are kept until the other end acknowledges them, and resent from there on the next connection. Each data frame
 * acknowledges the received bytes; without data to send, acknowledgements are sent after `UNSAID_BYTES` or `UNSAID_FRAMES`, and with
 * each `say`. The owner limits the kept bytes by checking `kept`. Clock, socket and secret are up to the owner. Decision 0165.
 * Tested in resumable-stream.test.ts, as a property.
 */
import { StenoError } from '../base/errors.js';
import { encodeFrame, MAX_FRAME_DATA } from './frames.js';
import type { TerminalFrame } from './frames.js';

const UNSAID_BYTES = 32 << 10;
const UNSAID_FRAMES = 64;

export interface ResumableEvents {
  /** The next bytes from the other end: a view, valid until this returns. */
  bytes(bytes: Uint8Array): void;
  /** A complete frame for the current connection. */
  frame(bytes: Uint8Array): void;
  /** The other end has acknowledged more of this end's bytes. */
  acknowledged(): void;
  /** The other end has ended the stream. */
  ended(): void;
}

export class ResumableStream {
  readonly #events: ResumableEvents;
  #attached = true;
  /** Number of bytes that the other end has acknowledged; `#sent`: of all bytes sent. */
  #acknowledged = 0;
  #sent = 0;
  /** The unacknowledged bytes, from `#first` on. */
  #kept: Uint8Array[] = [];
  #first = 0;
  #received = 0;
  #said = 0;
  #unsaidFrames = 0;
  #over = false;

  constructor(events: ResumableEvents) {
    this.#events = events;
  }

  /** Number of bytes received from the other end. */
  get received(): number {
    return this.#received;
  }

  /** Number of bytes that the other end may not have. */
  get kept(): number {
    return this.#sent - this.#acknowledged;
  }

  get attached(): boolean {
    return this.#attached;
  }

  /** Sends bytes; they are copied. */
  send(bytes: Uint8Array): void {
    if (this.#over) return;
    for (let at = 0; at < bytes.length; at += MAX_FRAME_DATA) {
      const piece = bytes.subarray(at, at + MAX_FRAME_DATA);
      const offset = this.#sent;
      this.#sent += piece.length;
      if (this.#attached) {
        const frame = this.#dataFrame(offset, piece);
        this.#kept.push(frame.subarray(frame.length - piece.length));
        this.#events.frame(frame);
      } else this.#kept.push(piece.slice());
    }
  }

  /** Ends the stream on the current connection. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#attached) this.#events.frame(encodeFrame({ kind: 'end' }));
  }

  /** Acknowledges the received bytes, which also shows that this end is alive. */
  say(): void {
    if (!this.#attached || this.#over) return;
    this.#saying();
    this.#events.frame(encodeFrame({ kind: 'received', received: this.#received }));
  }

  /** The current connection has ended. */
  detach(): void {
    this.#attached = false;
  }

  /** Whether the other end can have `received` bytes, with all later bytes still kept. */
  holds(received: number): boolean {
    return received >= this.#acknowledged && received <= this.#sent;
  }

  /** Continues over another connection; the other end has `received` bytes. Throws SSH_PROTOCOL if that is impossible. */
  attach(received: number): void {
    this.#acknowledge(received);
    this.#attached = true;
    let offset = this.#acknowledged;
    for (const piece of this.#kept.slice(this.#first)) {
      this.#events.frame(this.#dataFrame(offset, piece));
      offset += piece.length;
    }
    if (this.#over) this.#events.frame(encodeFrame({ kind: 'end' }));
  }

  /** Takes a frame of the current connection. Throws SSH_PROTOCOL. */
  take(frame: TerminalFrame): void {
    switch (frame.kind) {
      case 'data':
        if (frame.offset !== this.#received) throw new StenoError('SSH_PROTOCOL', 'bytes are missing or repeated');
        this.#received += frame.bytes.length;
        this.#acknowledge(frame.received);
        this.#unsaidFrames += 1;
        this.#events.bytes(frame.bytes);
        if (this.#received - this.#said >= UNSAID_BYTES || this.#unsaidFrames >= UNSAID_FRAMES) this.say();
        return;
      case 'received':
        return this.#acknowledge(frame.received);
      case 'end':
        this.#over = true;
        return this.#events.ended();
      default:
        throw new StenoError('SSH_PROTOCOL', `${frame.kind} in the middle of a stream`);
    }
  }

  #dataFrame(offset: number, bytes: Uint8Array): Uint8Array {
    this.#saying();
    return encodeFrame({ kind: 'data', offset, received: this.#received, bytes });
  }

  #saying(): void {
    this.#said = this.#received;
    this.#unsaidFrames = 0;
  }

  #acknowledge(received: number): void {
    if (!this.holds(received)) throw new StenoError('SSH_PROTOCOL', 'it claims to have bytes that it cannot have');
    if (received === this.#acknowledged) return;
    let more = received - this.#acknowledged;
    this.#acknowledged = received;
    while (more > 0) {
      const piece = this.#kept[this.#first]!;
      if (piece.length > more) {
        this.#kept[this.#first] = piece.subarray(more);
        break;
      }
      more -= piece.length;
      this.#first += 1;
    }
    if (this.#first === this.#kept.length || this.#first > 1_024) {
      this.#kept = this.#kept.slice(this.#first);
      this.#first = 0;
    }
    this.#events.acknowledged();
  }
}
