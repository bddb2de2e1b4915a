/**
 * Reads recordings from the object store: an index of segments, and the lines of one segment.
 *
 * A sealed session has an index from time to bytes at the end of its object, or a manifest; an unsealed one has parts, each
 * scanned once and cached by key (objects are immutable). Memory is limited to `FRAME_CACHE_BYTES` of frames, compressed and not,
 * and `INDEX_CACHE_WEIGHT` segments of indexes. A missing object was repacked in the meantime: the reader starts again with
 * the manifest, once. Tested in viewer/api/sessions/recording-reader.test.ts.
 */
import { LRUCache } from 'lru-cache';
import { StenoError } from '#schemas/base/errors.js';
import { BlockCutter } from '#schemas/recording/block.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import { parseHeader, peekLine } from '#schemas/recording/line.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Zstd } from '#runtime/zstd.js';
import { listPartsUntilHole, openPart, readManifest } from './stored-recording.js';

const FRAME_CACHE_BYTES = 64 << 20;
const INDEX_CACHE_WEIGHT = 1_000_000;

/** One segment: whole lines inside a decompressed frame. */
export interface SegmentPlace {
  readonly object: string;
  /** Offset and length of the zstd frame in the object, in bytes. */
  readonly frameOffset: number;
  readonly frameLength: number;
  /** Offsets in the decompressed frame; `end` null: up to its end. */
  readonly begin: number;
  readonly end: number | null;
  /** Session time in ms of the line before the segment. */
  readonly start: number;
  readonly firstBlock: number;
}

export interface RecordingIndex {
  readonly sealed: boolean;
  readonly cols: number;
  readonly rows: number;
  /** Session time of the last stored line. */
  readonly duration: number;
  /** Last stored block. */
  readonly block: number;
  readonly objects: readonly string[];
  readonly certificates: readonly string[];
  readonly segments: readonly SegmentPlace[];
}

interface SegmentLines {
  /** Session time in ms of the line before the segment. */
  readonly start: number;
  readonly lines: Uint8Array;
  /** The stored zstd frame, if `lines` are exactly its content, which was checked. */
  readonly frame: Uint8Array | null;
}

interface ReadFrame {
  /** As stored: compressed. */
  readonly frame: Uint8Array;
  readonly content: Uint8Array;
}

interface PartIndex {
  readonly segments: readonly SegmentPlace[];
  readonly header: RecordingHeader | null;
  readonly until: number;
  readonly block: number;
  readonly certificate: string;
}

const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const decoder = new TextDecoder('utf-8');
const encoder = new TextEncoder();

export class RecordingReader {
  readonly #objects: ObjectStore;
  readonly #zstd: Zstd;
  readonly #frames = new LRUCache<string, ReadFrame>({ maxSize: FRAME_CACHE_BYTES });
  readonly #sealed = new LRUCache<string, RecordingIndex>({ maxSize: INDEX_CACHE_WEIGHT });
  readonly #parts = new LRUCache<string, PartIndex>({ maxSize: INDEX_CACHE_WEIGHT });

  constructor(objects: ObjectStore, zstd: Zstd) {
    this.#objects = objects;
    this.#zstd = zstd;
  }

  /** Everything stored of a session so far; null before its first part. `startedAt`: ms since 1970. */
  async index(session: string, startedAt: number): Promise<RecordingIndex | null> {
    const known = this.#sealed.get(session);
    if (known !== undefined) return known;
    const prefix = recordingPrefix(session, startedAt);
    const whole = await this.#whole(session, startedAt, prefix);
    if (whole !== null) return whole;
    try {
      return await this.#walkParts(prefix);
    } catch (error) {
      // A part disappeared between listing and reading: the session was sealed and repacked.
      if (!(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
      return this.#whole(session, startedAt, prefix);
    }
  }

  /**
   * Lines of segment `n` as stored, except that the first segment lacks the header line and has an empty keyframe in place
   * of any at its start.
   */
  async segment(session: string, startedAt: number, n: number): Promise<SegmentLines> {
    for (let attempt = 0; ; attempt++) {
      const index = await this.index(session, startedAt);
      const place = index?.segments[n];
      if (index === null || place === undefined) throw new StenoError('NOT_FOUND', 'the recording has no such segment');
      try {
        const { content, frame } = await this.#read(place);
        const lines = content.subarray(place.begin, place.end ?? undefined);
        if (n === 0) return { start: place.start, lines: withKeyframe(lines, index.cols, index.rows), frame: null };
        return { start: place.start, lines, frame: lines.length === content.length ? frame : null };
      } catch (error) {
        if (attempt > 0 || !(error instanceof StenoError) || error.code !== 'STORE_NOT_FOUND') throw error;
        this.#sealed.delete(session);
      }
    }
  }

  /**
   * The index, and from the same state of the recording the segment chosen by `pick`: sealing may happen between two calls.
   */
  async opening(
    session: string,
    startedAt: number,
    pick: (index: RecordingIndex) => number | null,
  ): Promise<{ readonly index: RecordingIndex | null; readonly n: number | null; readonly lines: Uint8Array }> {
    for (let attempt = 0; ; attempt++) {
      const index = await this.index(session, startedAt);
      const n = index === null ? null : pick(index);
      if (index === null || n === null) return { index, n: null, lines: new Uint8Array(0) };
      // A damaged segment must not block the others: a request for it by number reports why it cannot be read.
      const found = await this.segment(session, startedAt, n).catch(() => null);
      if (found === null) return { index, n: null, lines: new Uint8Array(0) };
      if (found.start === index.segments[n]?.start || attempt > 0) return { index, n, lines: found.lines };
    }
  }

  async #read(place: Pick<SegmentPlace, 'object' | 'frameOffset' | 'frameLength'>): Promise<ReadFrame> {
    const key = `${place.object}:${place.frameOffset}`;
    const cached = this.#frames.get(key);
    if (cached !== undefined) return cached;
    const frame = await this.#objects.get(place.object, { offset: place.frameOffset, length: place.frameLength });
    const read = { frame, content: this.#zstd.decompress(frame) };
    this.#frames.set(key, read, { size: frame.length + read.content.length });
    return read;
  }

  async header(session: string, startedAt: number): Promise<RecordingHeader> {
    const first = (await this.index(session, startedAt))?.segments[0];
    if (first === undefined) throw new StenoError('NOT_FOUND', 'nothing of this recording is stored yet');
    const { content: lines } = await this.#read(first);
    const at = lines[0] === OPEN_BRACE ? 0 : lines.indexOf(NEWLINE) + 1;
    return parseHeader(decoder.decode(lines.subarray(at, lines.indexOf(NEWLINE, at))));
  }

  /** The index of a sealed session; null if it is not sealed. */
  async #whole(session: string, startedAt: number, prefix: string): Promise<RecordingIndex | null> {
    const manifest = await readManifest(this.#objects, prefix, { session, startedAt });
    if (manifest === null) return null;
    if (manifest.session !== session) throw new StenoError('RECORDING_MALFORMED', 'the manifest belongs to another session');
    const index: RecordingIndex = {
      sealed: true,
      cols: manifest.cols,
      rows: manifest.rows,
      duration: manifest.duration,
      block: manifest.blocks,
      objects: manifest.objects.map(({ key }) => key),
      certificates: manifest.certificates,
      segments: manifest.frames.flatMap((frame) =>
        frame.segments.map((segment, i) => ({
          object: manifest.objects[frame.object]!.key,
          frameOffset: frame.offset,
          frameLength: frame.compressed,
          begin: segment.offset,
          end: frame.segments[i + 1]?.offset ?? null,
          start: segment.start,
          firstBlock: segment.first_block,
        })),
      ),
    };
    this.#sealed.set(session, index, { size: index.segments.length + 1 });
    return index;
  }

  async #walkParts(prefix: string): Promise<RecordingIndex | null> {
    const parts: PartIndex[] = [];
    // Parts after a missing one have no known time yet.
    const { parts: stored } = await listPartsUntilHole(this.#objects, prefix);
    const objects = stored.map(({ key }) => key);
    let position = { n: 0, at: 0 };
    for (const key of objects) {
      const part = this.#parts.get(key) ?? (await this.#scanPart(key, position));
      parts.push(part);
      position = { n: part.block, at: part.until };
    }
    const header = parts[0]?.header;
    if (header === undefined || header === null) return null;
    return {
      sealed: false,
      cols: header.term.cols,
      rows: header.term.rows,
      duration: position.at,
      block: position.n,
      objects,
      certificates: [...new Set(parts.map(({ certificate }) => certificate))],
      segments: parts.flatMap(({ segments }) => segments),
    };
  }

  async #scanPart(key: string, from: { readonly n: number; readonly at: number }): Promise<PartIndex> {
    const segments: SegmentPlace[] = [];
    let { n: block, at: until } = from;
    let header: RecordingHeader | null = null;
    const { frames, proof } = openPart(await this.#objects.get(key));
    for (const found of frames) {
      const lines = this.#zstd.decompress(found.bytes);
      const scanned = scanFrame(lines, { n: block, at: until });
      header ??= scanned.header;
      scanned.segments.forEach((segment, i) =>
        segments.push({
          object: key,
          frameOffset: found.offset,
          frameLength: found.bytes.length,
          begin: segment.begin,
          end: scanned.segments[i + 1]?.begin ?? null,
          start: segment.start,
          firstBlock: segment.firstBlock,
        }),
      );
      block = scanned.n;
      until = scanned.at;
    }
    const part = { segments, header, until, block, certificate: proof.certificate };
    this.#parts.set(key, part, { size: segments.length + 1 });
    return part;
  }
}

interface ScannedFrame {
  readonly segments: readonly { readonly begin: number; readonly start: number; readonly firstBlock: number }[];
  readonly header: RecordingHeader | null;
  readonly n: number;
  readonly at: number;
}

/** Scans the lines of one frame: a segment starts at its begin and at every keyframe. Frames hold whole blocks. */
export function scanFrame(lines: Uint8Array, from: { readonly n: number; readonly at: number }): ScannedFrame {
  const cutter = new BlockCutter();
  const segments: { begin: number; start: number; firstBlock: number }[] = [];
  let { n, at } = from;
  let header: RecordingHeader | null = null;
  let pending: { begin: number; start: number } | null = { begin: 0, start: at };
  for (let start = 0; start < lines.length;) {
    const end = lines.indexOf(NEWLINE, start) + 1;
    if (end === 0) throw new StenoError('RECORDING_MALFORMED', 'the last line has no newline');
    const isHeader = lines[start] === OPEN_BRACE && n === 0;
    if (isHeader) header = parseHeader(decoder.decode(lines.subarray(start, end - 1)));
    const { interval, code } = isHeader
      ? { interval: 0, code: '' }
      : peekLine(decoder.decode(lines.subarray(start, Math.min(end, start + 64))));
    if (code === 'k') {
      pending ??= { begin: start, start: at };
    } else {
      at += interval;
      const starts = cutter.startsBlock(end - start, at);
      if (starts) n += 1;
      // Ignore a keyframe before the header, or before a line that does not begin a block: we do not write those.
      if (pending !== null && (starts || pending.begin === 0)) segments.push({ ...pending, firstBlock: n });
      pending = null;
    }
    start = end;
  }
  return { segments, header, n, at };
}

/** The first segment always begins with an empty screen: without the header line, and with a keyframe made here. */
function withKeyframe(lines: Uint8Array, cols: number, rows: number): Uint8Array {
  let rest = lines;
  while (rest.length > 0 && (rest[0] === OPEN_BRACE || peekLine(decoder.decode(rest.subarray(0, 64))).code === 'k')) {
    rest = rest.subarray(rest.indexOf(NEWLINE) + 1 || rest.length);
  }
  const head = encoder.encode(`[0,"k",${JSON.stringify({ cols, rows, screen: '' })}]\n`);
  const whole = new Uint8Array(head.length + rest.length);
  whole.set(head);
  whole.set(rest, head.length);
  return whole;
}
