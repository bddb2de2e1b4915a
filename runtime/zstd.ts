/**
 * zstd frames (RFC 8878) through the WebAssembly build of `zstd-codec`.
 *
 * The codec's one-shot call writes the content size but no checksum; recordings promise one per frame. So `compress`
 * adds it: bit 2 of the frame header descriptor and the low four bytes of XXH64 of the content after the last block
 * (RFC 8878, 3.1.1). Decompression checks it, as stock `zstd` does. The codec's memory is 16 MiB for good: level 19 on
 * 768 KiB aborts it, so a frame holds at most 512 KiB (docs/decisions/0003-zstd-frames.md). Tested in zstd.test.ts.
 */
import { ZstdCodec } from 'zstd-codec';
import xxhash from 'xxhash-wasm';
import { StenoError } from '#schemas/errors.js';
import { MAX_FRAME_BYTES, ZSTD_MAGIC, dataFrameLength } from '#schemas/recording/container.js';

export interface Zstd {
  /** One frame with content size and checksum. `level` 1 to 22. Throws TOO_LARGE beyond `MAX_COMPRESS_BYTES`. */
  compress(content: Uint8Array, level: number): Uint8Array;
  /** The content of exactly one frame. Throws RECORDING_MALFORMED when it is damaged or larger than `maxBytes`. */
  decompress(frame: Uint8Array, maxBytes?: number): Uint8Array;
}

/** What every level can compress within the codec's memory. */
export const MAX_COMPRESS_BYTES = 512 << 10;
let opened: Promise<Zstd> | undefined;

/** Loads the codec once a process. */
export function openZstd(): Promise<Zstd> {
  opened ??= open();
  return opened;
}

async function open(): Promise<Zstd> {
  const [hash, codec] = await Promise.all([
    xxhash(),
    new Promise<ZstdCodec.Module>((resolve) => {
      ZstdCodec.run(resolve);
    }),
  ]);
  const simple = new codec.Simple();
  const checksum = (content: Uint8Array): number => Number(hash.h64Raw(content) & 0xffff_ffffn);
  return {
    compress(content, level) {
      if (content.length > MAX_COMPRESS_BYTES) throw new StenoError('TOO_LARGE', 'a zstd frame of more than 512 KiB');
      // The codec answers null for empty content: an empty raw block is a whole frame of its own.
      const bare = content.length === 0 ? emptyFrame : simple.compress(content, level);
      if (bare === null) throw new StenoError('INTERNAL', 'zstd cannot compress');
      const frame = new Uint8Array(bare.length + 4);
      frame.set(bare);
      frame[4] = frame[4]! | 0x04;
      new DataView(frame.buffer).setUint32(bare.length, checksum(content), true);
      return frame;
    },
    decompress(frame, maxBytes = MAX_FRAME_BYTES) {
      const damaged = (detail: string): StenoError => new StenoError('RECORDING_MALFORMED', detail);
      if (frame.length < 5 || new DataView(frame.buffer, frame.byteOffset).getUint32(0, true) !== ZSTD_MAGIC) throw damaged('no zstd frame');
      if (dataFrameLength(frame) !== frame.length) throw damaged('bytes after the zstd frame');
      const size = contentSize(frame);
      if (size === null || size > maxBytes) throw damaged('a zstd frame of unknown or excessive size');
      if (size === 0) return new Uint8Array(0);
      const content = simple.decompress(frame);
      if (content === null) throw damaged('a zstd frame is damaged');
      if ((frame[4]! & 0x04) === 0) throw damaged('a zstd frame without checksum');
      const stored = new DataView(frame.buffer, frame.byteOffset + frame.length - 4).getUint32(0, true);
      if (stored !== checksum(content)) throw damaged('the checksum of a zstd frame does not match');
      return content;
    },
  };
}

/** Magic, descriptor "single segment, one byte of content size", size 0, last raw block of length 0. */
const emptyFrame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00);

/** Frame_Content_Size (RFC 8878, 3.1.1.1.4), or null when the frame does not say. */
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
