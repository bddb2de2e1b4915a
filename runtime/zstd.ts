/**
 * zstd frames (RFC 8878) through two WebAssembly builds of the reference library.
 *
 * `zstd-codec` handles live data: frames of up to 512 KiB below level 19, in 16 MiB of memory that never grows.
 * `@bokuweb/zstd-wasm` handles sealing, larger frames and higher levels: its memory grows to fit the largest frame (about 90
 * MB for 4 MiB at level 22) and never shrinks, so use such levels in a thread that ends. Readers cannot tell the frames of
 * the two apart (docs/decisions/0003-zstd-frames.md).
 *
 * Neither writes a checksum in its one-shot call; recordings promise one per frame. So `compress` adds it: bit 2 of the
 * frame header descriptor and the low four bytes of XXH64 of the content after the last block (RFC 8878, 3.1.1).
 * Decompression checks it, as stock `zstd` does. Tested in zstd.test.ts.
 */
import { compress as compressLarge, decompress as decompressLarge, init } from '@bokuweb/zstd-wasm';
import xxhash from 'xxhash-wasm';
import { ZstdCodec } from 'zstd-codec';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_FRAME_BYTES, ZSTD_MAGIC, dataFrameLength } from '#schemas/recording/container.js';

export interface Zstd {
  /** One frame with content size and checksum. `level` 1 to 22. Throws TOO_LARGE beyond `MAX_COMPRESS_BYTES`. */
  compress(content: Uint8Array, level: number): Uint8Array;
  /** The content of exactly one frame. Throws RECORDING_MALFORMED if it is damaged or larger than `maxBytes`. */
  decompress(frame: Uint8Array, maxBytes?: number): Uint8Array;
}

/** Readers need never hold more than this of a frame. */
export const MAX_COMPRESS_BYTES = MAX_FRAME_BYTES;
let opened: Promise<Zstd> | undefined;

/** Loads the codec once per process. */
export function openZstd(): Promise<Zstd> {
  opened ??= open();
  return opened;
}

/** Limits of `zstd-codec`'s memory: content bytes, and the first level that needs more. */
const SMALL_BYTES = 512 << 10;
const SMALL_LEVELS = 19;

async function open(): Promise<Zstd> {
  const [hash, codec] = await Promise.all([
    xxhash(),
    new Promise<ZstdCodec.Module>((resolve) => {
      ZstdCodec.run(resolve);
    }),
    init(),
  ]);
  const small = new codec.Simple();
  const checksum = (content: Uint8Array): number => Number(hash.h64Raw(content) & 0xffff_ffffn);
  return {
    compress(content, level) {
      if (content.length > MAX_COMPRESS_BYTES) throw new StenoError('TOO_LARGE', `a zstd frame of more than ${MAX_COMPRESS_BYTES} bytes`);
      const bare =
        content.length === 0
          ? emptyFrame
          : content.length <= SMALL_BYTES && level < SMALL_LEVELS
            ? small.compress(content, level)
            : compressLarge(bytesOf(content), level);
      if (bare === null) throw new StenoError('INTERNAL', 'zstd cannot compress');
      const frame = new Uint8Array(bare.length + 4);
      frame.set(bare);
      frame[4] = frame[4]! | 0x04;
      new DataView(frame.buffer).setUint32(bare.length, checksum(content), true);
      return frame;
    },
    decompress(frame, maxBytes = MAX_FRAME_BYTES) {
      const damaged = (detail: string): StenoError => new StenoError('RECORDING_MALFORMED', detail);
      if (frame.length < 5 || new DataView(frame.buffer, frame.byteOffset).getUint32(0, true) !== ZSTD_MAGIC)
        throw damaged('not a zstd frame');
      if (dataFrameLength(frame) !== frame.length) throw damaged('bytes after the zstd frame');
      const size = contentSize(frame);
      if (size === null || size > maxBytes) throw damaged('a zstd frame of unknown or excessive size');
      if (size === 0) return new Uint8Array(0);
      let content: Uint8Array | null;
      try {
        content = size <= SMALL_BYTES ? small.decompress(frame) : decompressLarge(bytesOf(frame));
      } catch {
        throw damaged('a zstd frame is damaged');
      }
      if (content?.length !== size) throw damaged('a zstd frame is damaged');
      if ((frame[4]! & 0x04) === 0) throw damaged('a zstd frame without checksum');
      const stored = new DataView(frame.buffer, frame.byteOffset + frame.length - 4).getUint32(0, true);
      if (stored !== checksum(content)) throw damaged('the checksum of a zstd frame does not match');
      return content;
    },
  };
}

/** The codec's types require an array over a plain ArrayBuffer, which a Node Buffer satisfies. */
function bytesOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}

/**
 * An empty raw block is a complete frame. Magic, descriptor "single segment, one byte of content size", size 0, last raw
 * block of length 0.
 */
const emptyFrame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);

/** Frame_Content_Size (RFC 8878, 3.1.1.1.4), or null if the frame omits it. */
export function contentSize(frame: Uint8Array): number | null {
  const descriptor = frame[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const offset = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  switch (descriptor >> 6) {
    case 0:
      return singleSegment ? view.getUint8(offset) : null;
    case 1:
      return view.getUint16(offset, true) + 256;
    case 2:
      return view.getUint32(offset, true);
    default: {
      const size = view.getBigUint64(offset, true);
      return size > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(size);
    }
  }
}
