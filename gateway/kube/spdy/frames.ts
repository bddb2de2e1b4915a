/**
 * Frames of SPDY/3.1 as spoken by `github.com/moby/spdystream`, which Kubernetes clients and servers use:
 *
 *     data       u32 stream ‖ u8 flags ‖ u24 length ‖ bytes
 *     control    u16 0x8003 ‖ u16 type ‖ u8 flags ‖ u24 length ‖
 *                  1 SYN_STREAM     u32 stream ‖ u32 associated ‖ u8 priority ‖ u8 slot ‖ header block
 *                  2 SYN_REPLY      u32 stream ‖ header block
 *                  3 RST_STREAM     u32 stream ‖ u32 status
 *                  4 SETTINGS, 9 WINDOW_UPDATE    read and left alone: spdystream has no flow control but TCP's
 *                  6 PING           u32 id
 *                  7 GOAWAY         u32 last stream ‖ u32 status
 *                  8 HEADERS        u32 stream ‖ header block
 *
 * Data passes in pieces as it arrives, whatever length a frame claims; a control frame is held, up to MAX_CONTROL bytes.
 * Header blocks are inflated in header-block.ts. Tested in spdy.test.ts and as a fuzz target.
 */
import { HeaderReader, MAX_BLOCK, SpdyError } from './header-block.js';
import type { Headers } from './header-block.js';

const FIN = 0x01;
const UNIDIRECTIONAL = 0x02;
const MAX_CONTROL = MAX_BLOCK + 16;
const type = { synStream: 1, synReply: 2, rst: 3, settings: 4, ping: 6, goAway: 7, headers: 8, windowUpdate: 9 } as const;

export type Frame =
  /** A piece of a data frame; `fin` with the last piece of a frame that has the flag. */
  | { readonly kind: 'data'; readonly stream: number; readonly bytes: Buffer; readonly fin: boolean }
  | { readonly kind: 'syn_stream'; readonly stream: number; readonly headers: Headers; readonly fin: boolean }
  | { readonly kind: 'syn_reply'; readonly stream: number; readonly headers: Headers; readonly fin: boolean }
  | { readonly kind: 'rst'; readonly stream: number; readonly status: number }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'go_away' }
  | { readonly kind: 'headers'; readonly stream: number; readonly fin: boolean };

/** One direction of a connection, fed with bytes as they arrive. */
export class FrameReader {
  readonly #headers = new HeaderReader();
  /** The incomplete head of a frame, or an incomplete control frame. */
  #held: Buffer = Buffer.alloc(0);
  /** The data frame whose bytes are passing. */
  #data: { readonly stream: number; readonly fin: boolean; left: number } | undefined;

  /** Throws SpdyError, after which nothing more may be pushed. */
  *push(chunk: Buffer): Generator<Frame, void> {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    for (;;) {
      if (this.#data !== undefined) {
        const data = this.#data;
        if (rest.length === 0 && data.left > 0) return;
        const bytes = rest.subarray(0, data.left);
        rest = rest.subarray(bytes.length);
        data.left -= bytes.length;
        if (data.left === 0) this.#data = undefined;
        yield { kind: 'data', stream: data.stream, bytes, fin: data.fin && data.left === 0 };
        continue;
      }
      if (rest.length < 8) break;
      const flags = rest[4]!;
      const length = rest.readUIntBE(5, 3);
      if (rest[0]! < 0x80) {
        const stream = rest.readUInt32BE(0);
        if (stream === 0 || (flags & ~FIN) !== 0) throw new SpdyError('a data frame of no stream, or with unknown flags');
        this.#data = { stream, fin: flags === FIN, left: length };
        rest = rest.subarray(8);
        continue;
      }
      if (rest.readUInt16BE(0) !== 0x8003) throw new SpdyError('another version of SPDY');
      if (length > MAX_CONTROL) throw new SpdyError('a control frame beyond the limit');
      if (rest.length < 8 + length) break;
      const frame = this.#control(rest.readUInt16BE(2), flags, rest.subarray(8, 8 + length));
      rest = rest.subarray(8 + length);
      if (frame !== null) yield frame;
    }
    // A copy, since the pushed chunk may be part of a large buffer.
    this.#held = Buffer.from(rest);
  }

  /** Null for a frame that has no effect. */
  #control(kind: number, flags: number, body: Buffer): Frame | null {
    const fixed = (length: number): void => {
      if (body.length !== length) throw new SpdyError(`a control frame ${kind} of ${body.length} bytes`);
    };
    const atLeast = (length: number): void => {
      if (body.length < length) throw new SpdyError(`a control frame ${kind} of ${body.length} bytes`);
    };
    const id = (): number => body.readUInt32BE(0) & 0x7fffffff;
    const fin = (flags & FIN) !== 0;
    switch (kind) {
      case type.synStream: {
        atLeast(10);
        // Kubernetes does not use unidirectional streams.
        if ((flags & UNIDIRECTIONAL) !== 0) throw new SpdyError('a stream of one direction');
        return { kind: 'syn_stream', stream: id(), headers: this.#headers.read(body.subarray(10)), fin };
      }
      case type.synReply:
        atLeast(4);
        return { kind: 'syn_reply', stream: id(), headers: this.#headers.read(body.subarray(4)), fin };
      case type.headers:
        atLeast(4);
        // The content is not used, but the next block is compressed relative to it.
        this.#headers.read(body.subarray(4));
        return { kind: 'headers', stream: id(), fin };
      case type.rst:
        fixed(8);
        return { kind: 'rst', stream: id(), status: body.readUInt32BE(4) };
      case type.ping:
        fixed(4);
        return { kind: 'ping', id: body.readUInt32BE(0) };
      case type.goAway:
        fixed(8);
        return { kind: 'go_away' };
      case type.settings:
      case type.windowUpdate:
        return null;
      default:
        throw new SpdyError(`a control frame of unknown type ${kind}`);
    }
  }
}

export function dataFrame(stream: number, bytes: Buffer, fin: boolean): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(stream, 0);
  head[4] = fin ? FIN : 0;
  head.writeUIntBE(bytes.length, 5, 3);
  return Buffer.concat([head, bytes]);
}

export function synStreamFrame(stream: number, block: Buffer, fin = false): Buffer {
  const fields = Buffer.alloc(10);
  fields.writeUInt32BE(stream, 0);
  return control(type.synStream, Buffer.concat([fields, block]), fin ? FIN : 0);
}

export function synReplyFrame(stream: number, block: Buffer): Buffer {
  return control(type.synReply, Buffer.concat([u32(stream), block]));
}

export function rstFrame(stream: number, status: number): Buffer {
  return control(type.rst, Buffer.concat([u32(stream), u32(status)]));
}

export function pingFrame(id: number): Buffer {
  return control(type.ping, u32(id));
}

export function goAwayFrame(last: number): Buffer {
  return control(type.goAway, Buffer.concat([u32(last), u32(0)]));
}

function control(kind: number, body: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003, 0);
  head.writeUInt16BE(kind, 2);
  head[4] = flags;
  head.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([head, body]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
