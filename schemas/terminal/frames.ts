/**
 * Frames of a stream that continues over several connections: the page's terminal and the gateway exchange them below SSH, so that a
 * lost network does not end the session. Decision 0165.
 *
 *     1 data       u64 offset ‖ u64 received ‖ u32 length ‖ bytes      either way
 *     2 received   u64 received                                        either way; also shows that the sender is alive
 *     3 end                                                            either way: nothing follows, and the stream cannot be resumed
 *     4 challenge  32 random bytes                                     gateway, first on a connection that resumes a stream
 *     5 proof      u64 received ‖ 32 bytes of HMAC-SHA256              page; over `proofInput`, with the secret of the stream
 *     6 resumed    u64 received                                        gateway; data follows from the page's `received` on
 *     7 refused                                                        gateway, before it closes
 *
 * Each frame begins with its type byte. Offsets count the bytes of one direction since the first connection. No type is a printable
 * character, because a gateway without frames begins with the `S` of its SSH identification. A frame has at most `MAX_FRAME` bytes.
 * Tested in resumable-stream.test.ts.
 */
import { StenoError } from '../base/errors.js';

/** Most bytes of the stream in one frame. */
export const MAX_FRAME_DATA = 32 << 10;
const DATA_HEADER = 21;
export const MAX_FRAME = DATA_HEADER + MAX_FRAME_DATA;
/** Length of a `received` frame, which may be sent at any time. */
export const SAY_BYTES = 9;
export const CHALLENGE_BYTES = 32;
const PROOF_BYTES = 32;
export const SECRET_BYTES = 32;

export type TerminalFrame =
  /** `bytes`: a view, valid until the reader gets more input. */
  | { readonly kind: 'data'; readonly offset: number; readonly received: number; readonly bytes: Uint8Array }
  | { readonly kind: 'received'; readonly received: number }
  | { readonly kind: 'end' }
  | { readonly kind: 'challenge'; readonly nonce: Uint8Array }
  | { readonly kind: 'proof'; readonly received: number; readonly mac: Uint8Array }
  | { readonly kind: 'resumed'; readonly received: number }
  | { readonly kind: 'refused' };

const types = ['data', 'received', 'end', 'challenge', 'proof', 'resumed', 'refused'] as const satisfies readonly TerminalFrame['kind'][];
/** Length of each kind of frame; for `data` without its bytes. */
const sizes: Readonly<Record<TerminalFrame['kind'], number>> = {
  data: DATA_HEADER,
  received: SAY_BYTES,
  end: 1,
  challenge: 1 + CHALLENGE_BYTES,
  proof: 9 + PROOF_BYTES,
  resumed: 9,
  refused: 1,
};

export function encodeFrame(frame: TerminalFrame): Uint8Array {
  const bytes = new Uint8Array(sizes[frame.kind] + (frame.kind === 'data' ? frame.bytes.length : 0));
  const view = new DataView(bytes.buffer);
  bytes[0] = types.indexOf(frame.kind) + 1;
  switch (frame.kind) {
    case 'data':
      view.setBigUint64(1, BigInt(frame.offset));
      view.setBigUint64(9, BigInt(frame.received));
      view.setUint32(17, frame.bytes.length);
      bytes.set(frame.bytes, DATA_HEADER);
      break;
    case 'received':
    case 'resumed':
      view.setBigUint64(1, BigInt(frame.received));
      break;
    case 'proof':
      view.setBigUint64(1, BigInt(frame.received));
      bytes.set(frame.mac, 9);
      break;
    case 'challenge':
      bytes.set(frame.nonce, 1);
      break;
    case 'end':
    case 'refused':
      break;
  }
  return bytes;
}

/** Splits input, in pieces of any size, into frames. */
export class FrameReader {
  #bytes: Uint8Array = new Uint8Array(0);

  put(bytes: Uint8Array): void {
    if (this.#bytes.length === 0) {
      this.#bytes = bytes;
      return;
    }
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
  }

  /** The next frame, or null while it is incomplete. Throws SSH_PROTOCOL. */
  next(): TerminalFrame | null {
    const bytes = this.#bytes;
    if (bytes.length === 0) return null;
    const kind = types[bytes[0]! - 1];
    if (kind === undefined) throw new StenoError('SSH_PROTOCOL', `a frame of type ${bytes[0]!}`);
    if (bytes.length < sizes[kind]) return this.#keep();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const length = kind === 'data' ? view.getUint32(17) : 0;
    if (length > MAX_FRAME_DATA) throw new StenoError('SSH_PROTOCOL', 'a frame is too long');
    const size = sizes[kind] + length;
    if (bytes.length < size) return this.#keep();
    this.#bytes = bytes.subarray(size);
    switch (kind) {
      case 'data':
        return { kind, offset: count(view, 1), received: count(view, 9), bytes: bytes.subarray(DATA_HEADER, size) };
      case 'received':
      case 'resumed':
        return { kind, received: count(view, 1) };
      case 'challenge':
        return { kind, nonce: bytes.slice(1, size) };
      case 'proof':
        return { kind, received: count(view, 1), mac: bytes.slice(9, size) };
      case 'end':
      case 'refused':
        return { kind };
    }
  }

  /** Copies the rest, because the caller of `put` may reuse its memory. */
  #keep(): null {
    this.#bytes = this.#bytes.slice();
    return null;
  }
}

function count(view: DataView, at: number): number {
  const value = view.getBigUint64(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new StenoError('SSH_PROTOCOL', 'an impossible count of bytes');
  return Number(value);
}

/** The input of the proof: this stream, this connection, and how much the page has received. */
export function proofInput(id: string, nonce: Uint8Array, received: number): Uint8Array {
  const head = new TextEncoder().encode(`steno terminal resume v1\n${id}\n`);
  const input = new Uint8Array(head.length + nonce.length + 8);
  input.set(head);
  input.set(nonce, head.length);
  new DataView(input.buffer).setBigUint64(head.length + nonce.length, BigInt(received));
  return input;
}
