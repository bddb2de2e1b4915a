/**
 * Reads recordings back from the object store: parts of live sessions, and sealed ones.
 *
 * The data was written by Steno, so damage is an error (RECORDING_MALFORMED) and never repaired. Returns whole blocks, each
 * with the keyframe that precedes it. Tested in ingest/writing/session-writer.test.ts and ingest/writing/faults.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { cutBlocks } from '#schemas/recording/block.js';
import type { Block, BlockPosition } from '#schemas/recording/block.js';
import { readContainer } from '#schemas/recording/container.js';
import { eventPartKey, eventPartNumber, manifestKey, parseManifest, partKey, partNumber, sealedKey } from '#schemas/recording/layout.js';
import type { Manifest } from '#schemas/recording/layout.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { readSealed } from '#schemas/recording/sealed.js';
import { parseLine } from '#schemas/recording/line.js';
import type { Keyframe, Stream } from '#schemas/recording/line.js';
import type { Zstd } from '#runtime/zstd.js';
import { unlessMissing } from '#stores/objects/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';

export interface StoredPart {
  readonly part: number;
  readonly key: string;
  /** Size of the object. */
  readonly bytes: number;
}

export interface StoredFrame {
  /** Offset of the zstd frame in its object. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

const partNames = {
  recording: { begins: 'part-', numberOf: partNumber, keyOf: partKey },
  events: { begins: 'events-', numberOf: eventPartNumber, keyOf: eventPartKey },
} as const;

/** The existing parts, 1 to the last. Throws RECORDING_MALFORMED if one in the middle is missing. */
export async function listParts(objects: ObjectStore, prefix: string, stream: Stream = 'recording'): Promise<StoredPart[]> {
  const { parts, missing } = await listPartsUntilHole(objects, prefix, stream);
  if (missing !== null) throw new StenoError('RECORDING_MALFORMED', `part ${missing} is missing under ${prefix}`);
  return parts;
}

/** The parts from 1 up to the first missing one; `missing`: its number, if later parts exist. */
export async function listPartsUntilHole(
  objects: ObjectStore,
  prefix: string,
  stream: Stream = 'recording',
): Promise<{ readonly parts: StoredPart[]; readonly missing: number | null }> {
  const { begins, numberOf, keyOf } = partNames[stream];
  const parts: StoredPart[] = [];
  for await (const { key, size } of objects.list(`${prefix}${begins}`)) {
    const part = numberOf(key);
    if (part !== null && key === keyOf(prefix, part)) parts.push({ part, key, bytes: size });
  }
  parts.sort((a, b) => a.part - b.part);
  const hole = parts.findIndex(({ part }, i) => part !== i + 1);
  return hole < 0 ? { parts, missing: null } : { parts: parts.slice(0, hole), missing: hole + 1 };
}

/** The index of the sealed object, or the manifest over parts; null if the session is not sealed. */
export async function readManifest(objects: ObjectStore, prefix: string, { session, startedAt }: Place): Promise<Manifest | null> {
  const key = sealedKey(prefix);
  const sealed = await unlessMissing(async () =>
    readSealed({ session, startedAt, size: await objects.size(key) }, (offset, length) => objects.get(key, { offset, length })),
  );
  return sealed ?? (await unlessMissing(async () => parseManifest(await objects.get(manifestKey(prefix)))));
}

export interface Place {
  readonly session: string;
  /** Ms since 1970; the folder name contains only the day. */
  readonly startedAt: number;
}

/** Session and day of a recording's folder. */
export function placeOf(prefix: string): Place {
  const [, year, month, day, session = ''] = prefix.split('/');
  return { session, startedAt: Date.UTC(Number(year), Number(month) - 1, Number(day)) };
}

/** The frames and the proof of an object that holds one part. */
export function openPart(object: Uint8Array): { readonly frames: readonly StoredFrame[]; readonly proof: PartProof } {
  const frames: StoredFrame[] = [];
  for (const segment of readContainer(object)) {
    if (segment.kind === 'data') frames.push({ offset: segment.offset, bytes: segment.bytes });
    else if (segment.kind === 'proof' && segment.proof.kind === 'part') return { frames, proof: segment.proof };
  }
  throw new StenoError('RECORDING_MALFORMED', 'an object without proof');
}

export interface StoredBlock extends Block {
  /** Session time in ms of the last line before. */
  readonly from: number;
  /** The keyframe that precedes it. */
  readonly keyframe: Keyframe | null;
}

/** The blocks of decompressed frames, starting at `position`. */
export class FrameReader {
  readonly #zstd: Zstd;
  #position: BlockPosition;

  constructor(zstd: Zstd, position: BlockPosition = { n: 0, at: 0 }) {
    this.#zstd = zstd;
    this.#position = position;
  }

  get position(): BlockPosition {
    return this.#position;
  }

  /** Frames begin and end at block boundaries, as do the runs between keyframes. */
  *blocks(frame: Uint8Array): Generator<StoredBlock> {
    const lines = this.#zstd.decompress(frame);
    let keyframe: Keyframe | null = null;
    for (const run of keyframeRuns(lines)) {
      if (run.keyframe !== null) keyframe = run.keyframe;
      for (const block of cutBlocks(run.lines, this.#position)) {
        yield { ...block, from: this.#position.at, keyframe };
        keyframe = null;
        this.#position = { n: block.n, at: block.until };
      }
    }
  }
}

const KEYFRAME_START = '[0,"k",';

/** Splits at keyframe lines. No line of a block starts that way: blocks with keyframes are refused. */
function* keyframeRuns(lines: Uint8Array): Generator<{ readonly keyframe: Keyframe | null; readonly lines: Uint8Array }> {
  const buffer = Buffer.from(lines.buffer, lines.byteOffset, lines.length);
  let start = 0;
  let keyframe: Keyframe | null = null;
  while (start < buffer.length) {
    if (buffer.toString('latin1', start, start + KEYFRAME_START.length) === KEYFRAME_START) {
      const end = buffer.indexOf(0x0a, start) + 1;
      const line = parseLine(buffer.toString('utf8', start, end - 1));
      keyframe = line?.code === 'k' ? line.data : null;
      start = end;
      continue;
    }
    const found = buffer.indexOf(`\n${KEYFRAME_START}`, start);
    const end = found < 0 ? buffer.length : found + 1;
    yield { keyframe, lines: lines.subarray(start, end) };
    keyframe = null;
    start = end;
  }
}

/** All blocks of a recording in order, by its manifest or its parts so far. */
export async function* readBlocks(
  objects: ObjectStore,
  prefix: string,
  zstd: Zstd,
  manifest: Manifest | null,
): AsyncGenerator<StoredBlock> {
  const reader = new FrameReader(zstd);
  const keys = manifest?.objects.map(({ key }) => key) ?? (await listParts(objects, prefix)).map(({ key }) => key);
  for (const key of keys) {
    for (const frame of openPart(await objects.get(key)).frames) yield* reader.blocks(frame.bytes);
  }
}
