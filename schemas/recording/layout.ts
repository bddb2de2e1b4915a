/**
 * Keys of a recording in the object store, and the manifest that maps time to bytes.
 *
 *     recordings/<yyyy>/<mm>/<dd>/<session>/part-000001.cast.zst   one object for each checkpoint, while it is live
 *     recordings/<yyyy>/<mm>/<dd>/<session>/recording.cast.zst     the whole, once it is sealed: its own manifest
 *     recordings/<yyyy>/<mm>/<dd>/<session>/manifest.json          sealed, but not repacked: which parts, in which order
 *     recordings/<yyyy>/<mm>/<dd>/<session>/events-000001.ndjson.zst   likewise, the session's event log; never repacked
 *     gateways/<32 hex digits>.cert                                recording certificates of gateways (SSH blobs)
 *
 * The date is that of the session's start, in UTC. A reader asks for `recording.cast.zst` (sealed.ts), then for
 * `manifest.json`. If one of them exists, it is the recording, and other objects beside it are leftovers. If neither exists,
 * the parts in order of their numbers are the recording so far. A reader that finds a known object missing starts over. The
 * objects concatenated in order, after the certificate's frame, are the file that `steno export` writes. A manifest is
 * derived data and proves nothing. Tested in ingest/sealing/layout.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '../base/errors.js';
import { isSessionId } from './line.js';

export const MANIFEST_VERSION = 1;
/** Bound of a manifest in bytes: some 300,000 segments, or 150 GB of lines. */
export const MAX_MANIFEST_BYTES = 32 << 20;

/** The folder of a recording; ends in `/`. `startedAt`: ms since 1970, from the header of the recording. */
export function recordingPrefix(session: string, startedAt: number): string {
  const [year, month, day] = new Date(startedAt).toISOString().slice(0, 10).split('-');
  return `recordings/${year}/${month}/${day}/${session}/`;
}

/** Parts count from 1. */
export function partKey(prefix: string, part: number): string {
  return `${prefix}part-${String(part).padStart(6, '0')}.cast.zst`;
}

/** The number in a key that `partKey` made, or null. */
export function partNumber(key: string): number | null {
  const match = /\/part-(\d{6,9})\.cast\.zst$/.exec(key);
  return match === null ? null : Number(match[1]);
}

/** The same for the parts of an event log. */
export function eventPartKey(prefix: string, part: number): string {
  return `${prefix}events-${String(part).padStart(6, '0')}.ndjson.zst`;
}

export function eventPartNumber(key: string): number | null {
  const match = /\/events-(\d{6,9})\.ndjson\.zst$/.exec(key);
  return match === null ? null : Number(match[1]);
}

export function sealedKey(prefix: string): string {
  return `${prefix}recording.cast.zst`;
}

export function manifestKey(prefix: string): string {
  return `${prefix}manifest.json`;
}

/** `id`: as in proofs (`certificateId`). Throws RECORDING_MALFORMED. */
export function certificateKey(id: string): string {
  if (!idPattern.test(id)) throw new StenoError('RECORDING_MALFORMED', 'not the id of a certificate');
  return `gateways/${id}.cert`;
}
const idPattern = /^[0-9a-f]{32}$/;

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** A run of whole blocks that can be replayed by itself: for a terminal it begins with a keyframe, except for the first. */
const segment = z.strictObject({
  /** Byte offset in the decompressed frame of its first line, which is the keyframe if there is one. */
  offset: count,
  /** Session time in ms of the preceding line: the time of its keyframe, and the base of its intervals. */
  start: count,
  /** The block of its first line other than a keyframe. */
  first_block: count.min(1),
});

const frame = z.strictObject({
  /** Index into `objects`. */
  object: count,
  /** Offset and length in bytes of the zstd frame in that object. */
  offset: count,
  compressed: count.min(1),
  decompressed: count.min(1),
  /** In order; the first begins at byte 0. */
  segments: z.array(segment).min(1),
});

const manifest = z.strictObject({
  version: z.literal(MANIFEST_VERSION),
  session: z.string().refine(isSessionId),
  started_at: count,
  /** Session time of the last line in ms. */
  duration: count,
  /** Terminal size at the start. */
  cols: count,
  rows: count,
  blocks: count,
  /** Bytes of signed lines. */
  bytes: count,
  /** h[blocks] in hex. */
  head: z.string().regex(/^[0-9a-f]{64}$/),
  end: z.enum(['complete', 'interrupted']),
  /** Ids of the gateway's recording certificates, as the proofs name them. */
  certificates: z.array(z.string().regex(idPattern)).min(1).max(1024),
  /** In the order of the recording. */
  objects: z.array(z.strictObject({ key: z.string().min(1).max(512), bytes: count })).min(1),
  frames: z.array(frame).min(1),
});

export type ManifestSegment = Readonly<z.infer<typeof segment>>;
export type ManifestFrame = Readonly<Omit<z.infer<typeof frame>, 'segments'>> & { readonly segments: readonly ManifestSegment[] };
export type Manifest = Readonly<Omit<z.infer<typeof manifest>, 'frames' | 'objects' | 'certificates'>> & {
  readonly certificates: readonly string[];
  readonly objects: readonly { readonly key: string; readonly bytes: number }[];
  readonly frames: readonly ManifestFrame[];
};

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function encodeManifest(value: Manifest): Uint8Array {
  return encoder.encode(`${JSON.stringify(value)}\n`);
}

/**
 * Throws RECORDING_VERSION for a newer version and RECORDING_MALFORMED for anything that is not a manifest: objects must be
 * in this session's folder, frames consecutive in their objects, segments ascending.
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const bad = (detail: string): StenoError => new StenoError('RECORDING_MALFORMED', `manifest: ${detail}`);
  if (bytes.length > MAX_MANIFEST_BYTES) throw bad('too long');
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    throw bad('not JSON');
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > MANIFEST_VERSION) throw new StenoError('RECORDING_VERSION', `manifest version ${version}`);
  const parsed = manifest.safeParse(value);
  if (!parsed.success) throw bad(parsed.error.issues[0]?.path.join('.') ?? 'fields');
  return checkManifest(parsed.data);
}

/** Throws RECORDING_MALFORMED unless frames are in order within the session's objects, and segments within frames. */
export function checkManifest(value: Manifest): Manifest {
  const bad = (detail: string): StenoError => new StenoError('RECORDING_MALFORMED', `manifest: ${detail}`);
  const { session, started_at, objects, frames, blocks, duration } = value;
  if (started_at > 8.64e15) throw bad('started_at');
  const prefix = recordingPrefix(session, started_at);
  if (!objects.every(({ key }) => key === sealedKey(prefix) || (partNumber(key) !== null && key === partKey(prefix, partNumber(key)!))))
    throw bad('objects');
  let last = { object: 0, end: 0, block: 0, start: 0 };
  for (const { object, offset, compressed, decompressed, segments } of frames) {
    const end = object === last.object ? last.end : 0;
    if (object < last.object || offset < end || offset + compressed > (objects[object]?.bytes ?? 0)) throw bad('frames');
    let within = -1;
    for (const each of segments) {
      if (each.offset <= within || each.offset >= decompressed || (within < 0 && each.offset !== 0)) throw bad('segments');
      if (each.first_block <= last.block || each.first_block > blocks || each.start < last.start || each.start > duration)
        throw bad('segments');
      within = each.offset;
      last = { ...last, block: each.first_block, start: each.start };
    }
    last = { ...last, object, end: offset + compressed };
  }
  return value;
}
