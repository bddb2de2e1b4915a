/**
 * The container of a recording: zstd frames (RFC 8878), followed by their proof in a skippable frame (proof.ts), and
 * at the end the seek table of the zstd seekable format (zstd contrib/seekable_format, version 0.1.0).
 *
 *     part   = data-frame+ proof seek-table                     an object of a session that is not sealed
 *     sealed = data-frame+ proof index seek-table               the object of one that is (sealed.ts)
 *     file   = certificate+ (data-frame* proof)+ seek-table     what `steno export` writes
 *
 * Only the part that closes a session may have no data frame. `zstd -d` skips all but the data frames. Objects
 * concatenated in order, after the certificates, are a file as well. Reading here is strict about structure and never
 * decompresses. Tested in container.test.ts.
 */
import { StenoError } from '../base/errors.js';
import { parseProof, proofContent } from './proof.js';
import type { Proof } from './proof.js';

export const ZSTD_MAGIC = 0xfd2fb528;
/** One of the sixteen skippable magics that zstd leaves to applications. */
export const PROOF_MAGIC = 0x184d2a5b;
export const INDEX_MAGIC = 0x184d2a5c;
export const SEEK_TABLE_MAGIC = 0x184d2a5e;
const SEEKABLE_FOOTER_MAGIC = 0x8f92eab1;
const MAX_SKIPPABLE_BYTES = 4 << 20;
/** No frame of a recording is larger: a limit on what a reader must hold. Decompressed bytes. */
export const MAX_FRAME_BYTES = 4 << 20;
/** The largest window that every zstd decoder must support (RFC 8878, 3.1.1.1.2). */
const MAX_WINDOW_BYTES = 8 << 20;

export interface SeekEntry {
  readonly compressed: number;
  readonly decompressed: number;
}

export type Segment =
  /** `decompressed`: the size claimed by the frame. */
  | { readonly kind: 'data'; readonly offset: number; readonly bytes: Uint8Array; readonly decompressed: number }
  | { readonly kind: 'proof'; readonly offset: number; readonly length: number; readonly proof: Proof }
  | { readonly kind: 'index'; readonly offset: number; readonly length: number; readonly content: Uint8Array }
  | { readonly kind: 'seek-table'; readonly offset: number; readonly entries: readonly SeekEntry[]; readonly length: number };

export function encodeProof(proof: Proof): Uint8Array {
  return skippable(PROOF_MAGIC, proofContent(proof));
}

/** A seek table without checksums: every data frame carries its own. */
export function encodeSeekTable(entries: readonly SeekEntry[]): Uint8Array {
  const body = new Uint8Array(entries.length * 8 + 9);
  const view = new DataView(body.buffer);
  entries.forEach((entry, i) => {
    view.setUint32(i * 8, entry.compressed, true);
    view.setUint32(i * 8 + 4, entry.decompressed, true);
  });
  view.setUint32(entries.length * 8, entries.length, true);
  body[entries.length * 8 + 4] = 0;
  view.setUint32(entries.length * 8 + 5, SEEKABLE_FOOTER_MAGIC, true);
  return skippable(SEEK_TABLE_MAGIC, body);
}

export function skippable(magic: number, content: Uint8Array): Uint8Array {
  const frame = new Uint8Array(8 + content.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, content.length, true);
  frame.set(content, 8);
  return frame;
}

/**
 * Walks a container from the start. A truncated last frame throws RECORDING_MALFORMED with detail `cut off`, after all
 * complete segments before it were yielded, so that a verifier can distinguish truncation from garbage.
 */
export function* readContainer(file: Uint8Array): Generator<Segment> {
  let offset = 0;
  while (offset < file.length) {
    if (file.length - offset < 4) throw cutOff();
    const view = new DataView(file.buffer, file.byteOffset + offset, file.length - offset);
    const magic = view.getUint32(0, true);
    const known = magic === ZSTD_MAGIC || magic === PROOF_MAGIC || magic === INDEX_MAGIC || magic === SEEK_TABLE_MAGIC;
    if (!known) throw new StenoError('RECORDING_MALFORMED', `unknown frame at byte ${offset}`);
    if (view.byteLength < 8) throw cutOff();
    if (magic === ZSTD_MAGIC) {
      const decompressed = claimedSize(file.subarray(offset));
      const length = dataFrameLength(file.subarray(offset));
      yield { kind: 'data', offset, bytes: file.subarray(offset, offset + length), decompressed };
      offset += length;
      continue;
    }
    const size = view.getUint32(4, true);
    if (size > MAX_SKIPPABLE_BYTES) throw new StenoError('RECORDING_MALFORMED', `oversized frame at byte ${offset}`);
    const length = 8 + size;
    if (view.byteLength < length) throw cutOff();
    const content = file.subarray(offset + 8, offset + length);
    if (magic === PROOF_MAGIC) yield { kind: 'proof', offset, length, proof: parseProof(content, offset) };
    else if (magic === INDEX_MAGIC) yield { kind: 'index', offset, length, content };
    else yield { kind: 'seek-table', offset, length, entries: parseSeekTable(content, offset) };
    offset += length;
  }
}

function cutOff(): StenoError {
  return new StenoError('RECORDING_MALFORMED', 'cut off');
}

function parseSeekTable(content: Uint8Array, offset: number): SeekEntry[] {
  const bad = (): StenoError => new StenoError('RECORDING_MALFORMED', `unreadable seek table at byte ${offset}`);
  if (content.length < 9) throw bad();
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  const count = view.getUint32(content.length - 9, true);
  if (
    content[content.length - 5] !== 0 ||
    view.getUint32(content.length - 4, true) !== SEEKABLE_FOOTER_MAGIC ||
    content.length !== count * 8 + 9
  )
    throw bad();
  return Array.from({ length: count }, (_, i) => ({
    compressed: view.getUint32(i * 8, true),
    decompressed: view.getUint32(i * 8 + 4, true),
  }));
}

/**
 * The content size in the header of a data frame (RFC 8878, 3.1.1). Recordings guarantee size and checksum, and that every
 * decoder accepts the frame: no dictionary, and no window that only some allow.
 */
function claimedSize(frame: Uint8Array): number {
  const descriptor = frame[4]!;
  const bad = (what: string): StenoError => new StenoError('RECORDING_MALFORMED', `a data frame ${what}`);
  const single = (descriptor & 0x20) !== 0;
  const flag = descriptor >> 6;
  if ((descriptor & 0x1f) !== 0x04 || (flag === 0 && !single)) throw bad('without size and checksum, or with a dictionary');
  const bytes = [1, 2, 4, 8][flag]!;
  const at = single ? 5 : 6;
  if (frame.length < at + bytes) throw cutOff();
  const window = 2 ** (10 + (frame[5]! >> 3));
  if (!single && window + (window / 8) * (frame[5]! & 7) > MAX_WINDOW_BYTES) throw bad('of an excessive window');
  let size = flag === 1 ? 256 : 0;
  for (let i = bytes - 1; i >= 0; i--) size += frame[at + i]! * 256 ** i;
  if (size === 0 || size > MAX_FRAME_BYTES) throw bad(`of ${size} bytes`);
  return size;
}

/** Length in bytes of the zstd data frame at the start of `file`, from its block headers (RFC 8878, 3.1.1). */
export function dataFrameLength(file: Uint8Array): number {
  const need = (length: number): void => {
    if (file.length < length) throw cutOff();
  };
  need(5);
  const descriptor = file[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  let offset = 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  for (;;) {
    need(offset + 3);
    const header = file[offset]! | (file[offset + 1]! << 8) | (file[offset + 2]! << 16);
    const type = (header >> 1) & 3;
    if (type === 3) throw new StenoError('RECORDING_MALFORMED', 'reserved zstd block type');
    offset += 3 + (type === 1 ? 1 : header >> 3);
    if ((header & 1) === 1) break;
  }
  if ((descriptor & 4) !== 0) offset += 4;
  need(offset);
  return offset;
}
