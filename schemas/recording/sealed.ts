/**
 * The sealed recording, one object that is read from its end: the seek table locates the frames; after the data frames
 * come the proof, which contains the length of the recording, and the index, which contains the starts of segments.
 * Numbers of the index are little-endian.
 *
 *     index   0  u16   columns of the terminal at the start
 *             2  u16   rows
 *             4  ...   for each segment but the first, which begins at byte 0 of frame 0:
 *                  0  u32   frame, from 0
 *                  4  u32   byte in the decompressed frame
 *                  8  u48   session time of the preceding line, ms
 *                 14  u32   its first block
 *
 * Two reads open a recording of any length; one is enough if the object is small. The index is derived data and
 * proves nothing. Tested in ingest/sealing/layout.test.ts.
 */
import { StenoError } from '../base/errors.js';
import { INDEX_MAGIC, readContainer, skippable } from './container.js';
import { MANIFEST_VERSION, checkManifest, sealedKey, recordingPrefix } from './layout.js';
import type { Manifest, ManifestFrame, ManifestSegment } from './layout.js';
import { readNumber } from './proof.js';

/** Bytes at the end of the object that readers fetch first. */
const TAIL_BYTES = 64 << 10;
/** Longest tail of a valid recording: tags of a million blocks and a million segments fit. */
const MAX_TAIL_BYTES = 32 << 20;
const ENTRY_BYTES = 18;
const SEEK_FOOTER_BYTES = 9;

/** Encodes the segments of each frame; the first segment begins the frame. Throws RECORDING_MALFORMED for numbers out of bounds. */
export function encodeIndex(
  term: { readonly cols: number; readonly rows: number },
  frames: readonly { readonly segments: readonly ManifestSegment[] }[],
): Uint8Array {
  const segments = frames.flatMap((frame, n) => frame.segments.map((segment) => ({ frame: n, ...segment }))).slice(1);
  const content = new Uint8Array(4 + segments.length * ENTRY_BYTES);
  const view = new DataView(content.buffer);
  view.setUint16(0, term.cols, true);
  view.setUint16(2, term.rows, true);
  segments.forEach(({ frame, offset, start, first_block: first }, i) => {
    const at = 4 + i * ENTRY_BYTES;
    if (start >= 2 ** 48) throw new StenoError('RECORDING_MALFORMED', 'an index cannot hold this time');
    view.setUint32(at, frame, true);
    view.setUint32(at + 4, offset, true);
    view.setUint32(at + 8, start % 2 ** 32, true);
    view.setUint16(at + 12, Math.floor(start / 2 ** 32), true);
    view.setUint32(at + 14, first, true);
  });
  return skippable(INDEX_MAGIC, content);
}

/**
 * The manifest of a sealed object of `size` bytes. `read` returns a range of the object. Throws RECORDING_MALFORMED for anything
 * that is not a sealed recording.
 */
export async function readSealed(
  { session, startedAt, size }: { readonly session: string; readonly startedAt: number; readonly size: number },
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<Manifest> {
  const bad = (detail: string): StenoError => new StenoError('RECORDING_MALFORMED', `sealed recording: ${detail}`);
  let from = Math.max(0, size - TAIL_BYTES);
  let tail = await read(from, size - from);
  const reach = async (start: number): Promise<void> => {
    if (start < 0 || size - start > MAX_TAIL_BYTES) throw bad('its seek table');
    if (start >= from) return;
    tail = await read(start, size - start);
    from = start;
  };
  if (tail.length !== size - from || tail.length < SEEK_FOOTER_BYTES + 8) throw bad('its length');
  const count = readNumber(tail, tail.length - SEEK_FOOTER_BYTES, 4);
  const tableAt = size - SEEK_FOOTER_BYTES - count * 8 - 8;
  await reach(tableAt);
  const [table] = [...readContainer(tail.subarray(tableAt - from))];
  if (table?.kind !== 'seek-table') throw bad('its seek table');
  const end = table.entries.reduce((sum, { compressed }) => sum + compressed, 0);
  await reach(end);
  const [proof, index, last, ...more] = [...readContainer(tail.subarray(end - from))];
  if (proof?.kind !== 'proof' || proof.proof.kind !== 'part' || index?.kind !== 'index' || last?.kind !== 'seek-table' || more.length > 0)
    throw bad('its frames');
  const { checkpoint, certificate, part } = proof.proof;
  if (part !== 1 || checkpoint.end === 'open') throw bad('its proof');
  if (index.content.length < 4 || (index.content.length - 4) % ENTRY_BYTES !== 0) throw bad('its index');
  let offset = 0;
  const frames = table.entries.map(({ compressed, decompressed }, n) => {
    offset += compressed;
    const segments: ManifestSegment[] = n === 0 ? [{ offset: 0, start: 0, first_block: 1 }] : [];
    return { object: 0, offset: offset - compressed, compressed, decompressed, segments } satisfies ManifestFrame;
  });
  for (let at = 4; at < index.content.length; at += ENTRY_BYTES) {
    const frame = frames[readNumber(index.content, at, 4)];
    if (frame === undefined) throw bad('its index');
    frame.segments.push({
      offset: readNumber(index.content, at + 4, 4),
      start: readNumber(index.content, at + 8, 6),
      first_block: readNumber(index.content, at + 14, 4),
    });
  }
  if (frames.length === 0 || frames.some(({ segments }) => segments.length === 0)) throw bad('its index');
  const prefix = recordingPrefix(session, startedAt);
  return checkManifest({
    version: MANIFEST_VERSION,
    session,
    started_at: startedAt,
    duration: checkpoint.at,
    cols: readNumber(index.content, 0, 2),
    rows: readNumber(index.content, 2, 2),
    blocks: checkpoint.block,
    bytes: checkpoint.bytes,
    head: checkpoint.head,
    end: checkpoint.end,
    certificates: [certificate],
    objects: [{ key: sealedKey(prefix), bytes: size }],
    frames,
  });
}
