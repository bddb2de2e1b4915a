/**
 * One end of a stream of bytes that goes on over several connections without losing, repeating or reordering a byte.
 *
 *     attached ──detach──► detached ──attach(what the other end has)──► attached
 *
 * What is sent is kept until the other end has said that it has it, and sent again from there on the next connection. Each data frame says how
 * much came the other way; without data to send, that is said after `UNSAID_BYTES` or `UNSAID_FRAMES`, and with each `say`. How much
 * is kept the owner bounds by `kept`. Knows no clock, no socket and no secret: its owner does. Decision 0165. Tested in
 * resumable-stream.test.ts, as a property.
 */
import { StenoError } from '../base/errors.js';
import { encodeFrame, MAX_FRAME_DATA } from './frames.js';
import type { TerminalFrame } from './frames.js';

const UNSAID_BYTES = 32 << 10;
const UNSAID_FRAMES = 64;

export interface ResumableEvents {
  /** The next bytes of the other end: a view, valid until this returns. */
  bytes(bytes: Uint8Array): void;
  /** A whole frame for the connection at hand. */
  frame(bytes: Uint8Array): void;
  /** The other end has less of this end's bytes to come. */
  acknowledged(): void;
  /** The other end has ended the stream. */
  ended(): void;
}

export class ResumableStream {
  readonly #events: ResumableEvents;
  #attached = true;
  /** Bytes that the other end is known to have, and all that were sent. */
  #acknowledged = 0;
  #sent = 0;
  /** Those between the two, from `#first` on. */
  #kept: Uint8Array[] = [];
  #first = 0;
  #received = 0;
  #said = 0;
  #unsaidFrames = 0;
  #over = false;

  constructor(events: ResumableEvents) {
    this.#events = events;
  }

  /** Bytes of the other end that were handed on. */
  get received(): number {
    return this.#received;
  }

  /** Bytes that the other end may not have. */
  get kept(): number {
    return this.#sent - this.#acknowledged;
  }

  get attached(): boolean {
    return this.#attached;
  }

  /** Copies the bytes. */
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

  /** Ends the stream on the connection at hand. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#attached) this.#events.frame(encodeFrame({ kind: 'end' }));
  }

  /** Says what was received: this end is there. */
  say(): void {
    if (!this.#attached || this.#over) return;
    this.#saying();
    this.#events.frame(encodeFrame({ kind: 'received', received: this.#received }));
  }

  /** The connection at hand is over. */
  detach(): void {
    this.#attached = false;
  }

  /** Whether the other end can have `received` bytes, and all behind them are kept. */
  holds(received: number): boolean {
    return received >= this.#acknowledged && received <= this.#sent;
  }

  /** Goes on over another connection; the other end has `received` bytes. Throws SSH_PROTOCOL where that is impossible. */
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

  /** A frame of the connection at hand. Throws SSH_PROTOCOL. */
  take(frame: TerminalFrame): void {
    switch (frame.kind) {
      case 'data':
        if (frame.offset !== this.#received) throw new StenoError('SSH_PROTOCOL', 'bytes are missing, or came twice');
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
    if (!this.holds(received)) throw new StenoError('SSH_PROTOCOL', 'it says to have what it cannot have');
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
