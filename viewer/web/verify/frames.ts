/** zstd in a worker, for frames of recordings. */
import { decompress, init } from '@bokuweb/zstd-wasm';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_FRAME_BYTES, dataFrameLength } from '#schemas/recording/container.js';

let ready: Promise<void> | null = null;

/** Loads the codec once per worker. */
export function openFrames(): Promise<void> {
  return (ready ??= init());
}

/** Throws RECORDING_MALFORMED for anything except one whole frame with a checksum, as `steno verify` does; zstd compares the checksum. */
export function decompressFrame(frame: Uint8Array): Uint8Array {
  if (dataFrameLength(frame) !== frame.length || (frame[4]! & 0x04) === 0)
    throw new StenoError('RECORDING_MALFORMED', 'a frame without checksum');
  const lines = decompress(frame as Uint8Array<ArrayBuffer>);
  if (lines.length > MAX_FRAME_BYTES) throw new StenoError('RECORDING_MALFORMED', 'a frame of excessive size');
  return lines;
}
