/**
 * A recording as one file, streamed: the gateways' certificates, the objects' data frames and proofs in order, and one seek
 * table. The file verifies offline with the recording CA's public key. Certificates come first, so that a truncated file is
 * reported as truncated and not as unsigned.
 *
 * In the seek table proofs and certificates are entries of decompressed size 0, so that offsets add up (zstd seekable format
 * 0.1.0, "Seek_Table_Entries"). At most one frame is held in memory. Tested in viewer/api/export/export.test.ts with
 * `verifyRecording` and stock `zstd`.
 */
import { StenoError } from '#schemas/base/errors.js';
import {
  INDEX_MAGIC,
  PROOF_MAGIC,
  SEEK_TABLE_MAGIC,
  ZSTD_MAGIC,
  dataFrameLength,
  encodeProof,
  encodeSeekTable,
} from '#schemas/recording/container.js';
import type { SeekEntry } from '#schemas/recording/container.js';
import { certificateKey } from '#schemas/recording/layout.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { contentSize } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import type { RecordingIndex } from './recording-reader.js';

const READ_BYTES = 1 << 20;
/** No frame of a recording is larger, in compressed bytes. */
const MAX_FRAME = 9 << 20;

/** The file of a recording, or of an event log, as stored: nothing is decompressed. */
export async function* exportFile(
  objects: ObjectStore,
  index: Pick<RecordingIndex, 'objects' | 'certificates'>,
): AsyncGenerator<Uint8Array, void> {
  const entries: SeekEntry[] = [];
  for (const fingerprint of index.certificates) {
    const frame = encodeProof({ kind: 'certificate', certificate: await objects.get(certificateKey(fingerprint)) });
    entries.push({ compressed: frame.length, decompressed: 0 });
    yield frame;
  }
  for (const key of index.objects) {
    for await (const { kind, bytes } of readFrames(objects, key)) {
      if (kind === 'index' || kind === 'seek-table') continue;
      entries.push({ compressed: bytes.length, decompressed: kind === 'data' ? (contentSize(bytes) ?? 0) : 0 });
      yield bytes;
    }
  }
  yield encodeSeekTable(entries);
}

/** The lines of a recording, one frame at a time. */
export async function* exportLines(
  { objects, zstd }: { readonly objects: ObjectStore; readonly zstd: Zstd },
  index: RecordingIndex,
): AsyncGenerator<Uint8Array, void> {
  for (const key of index.objects) {
    for await (const { kind, bytes } of readFrames(objects, key)) if (kind === 'data') yield zstd.decompress(bytes);
  }
}

type FrameKind = 'data' | 'proof' | 'index' | 'seek-table';
const skippableKinds = new Map<number, FrameKind>([
  [PROOF_MAGIC, 'proof'],
  [INDEX_MAGIC, 'index'],
  [SEEK_TABLE_MAGIC, 'seek-table'],
]);

/** Every complete frame of an object, read `READ_BYTES` at a time. */
export async function* readFrames(
  objects: Pick<ObjectStore, 'size' | 'get'>,
  key: string,
): AsyncGenerator<{ kind: FrameKind; bytes: Uint8Array }> {
  const size = await objects.size(key);
  let offset = 0;
  let buffer: Uint8Array = new Uint8Array(0);
  for (;;) {
    for (let found = firstFrame(buffer); found !== null; found = firstFrame(buffer)) {
      yield { kind: found.kind, bytes: buffer.subarray(0, found.length) };
      buffer = buffer.subarray(found.length);
    }
    if (offset >= size) break;
    if (buffer.length > MAX_FRAME) throw new StenoError('RECORDING_MALFORMED', `an oversized frame in ${key}`);
    const next = await objects.get(key, { offset, length: Math.min(READ_BYTES, size - offset) });
    if (next.length === 0) break;
    offset += next.length;
    buffer = buffer.length === 0 ? next : Buffer.concat([buffer, next]);
  }
  if (buffer.length > 0) throw new StenoError('RECORDING_MALFORMED', `${key} is cut off`);
}

/** The frame at the start of `buffer`, or null if it is incomplete. */
function firstFrame(buffer: Uint8Array): { readonly kind: FrameKind; readonly length: number } | null {
  if (buffer.length < 8) return null;
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  const magic = view.getUint32(0, true);
  const kind = skippableKinds.get(magic);
  if (kind !== undefined) {
    const length = 8 + view.getUint32(4, true);
    return buffer.length < length ? null : { kind, length };
  }
  if (magic !== ZSTD_MAGIC) throw new StenoError('RECORDING_MALFORMED', 'unknown frame');
  try {
    return { kind: 'data', length: dataFrameLength(buffer) };
  } catch (error) {
    if (error instanceof StenoError && error.detail === 'cut off') return null;
    throw error;
  }
}
