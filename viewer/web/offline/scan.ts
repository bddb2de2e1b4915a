/**
 * Content that a standalone page shows from its files: segments for the player, the transcript, facts and kernel events.
 *
 * The scan runs after the verifier and stops before the first block that the verifier refused, so that nothing altered is shown. Lines
 * are hostile nevertheless: unreadable lines are skipped. Bounds: `MAX_TRANSCRIPT` lines, `MAX_FACTS` facts, `MAX_EVENTS` events;
 * anything beyond is only counted. One frame is held at a time. Tested in scan.test.ts.
 */
import type { SessionFact } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { BlockCutter } from '#schemas/recording/block.js';
import { readContainer } from '#schemas/recording/container.js';
import { parseHeader, parseLine, peekLine } from '#schemas/recording/line.js';
import type { RecordingHeader, RecordingLine, Stream } from '#schemas/recording/line.js';
import { factOf, kernelEventOf } from '#recordings/derive/event-info.js';
import { eventRows } from '#recordings/derive/event-rows.js';
import { loggedEvents } from '#recordings/derive/logged-events.js';
import type { ReadBlock } from '#recordings/read/block-reader.js';
import { PlainIndex } from '#recordings/render/plain-index.js';
import { ScreenIndex } from '#recordings/render/screen-index.js';
import type { SeenBlock } from '#recordings/render/screen-index.js';
import type { SeenText } from './messages.js';

const MAX_TRANSCRIPT = 50_000;
export const MAX_FACTS = 10_000;
export const MAX_EVENTS = 10_000;

export interface Scanned {
  readonly header: RecordingHeader;
  readonly duration: number;
  /** The data frames of each segment: their place in the file, and the offset at which valid lines end. */
  readonly segments: readonly ScannedSegment[];
  readonly transcript: readonly SeenText[];
  readonly untold: number;
  readonly facts: readonly SessionFact[];
  readonly exit: string | null;
}

export interface ScannedSegment {
  /** Session time in ms of the line before the first. */
  readonly start: number;
  readonly frames: { readonly offset: number; readonly length: number; readonly until: number }[];
}

interface Line {
  readonly bytes: Uint8Array;
  readonly line: RecordingLine | null;
  readonly code: string;
  /** Session time in ms. */
  readonly at: number;
  readonly startsBlock: boolean;
  /** Offset of the line's end in its frame. */
  readonly end: number;
}

type Decompress = (frame: Uint8Array) => Uint8Array;
const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const decoder = new TextDecoder('utf-8');

/** `before`: the first block that is not valid; null if all are. Returns null for a file without a header. */
export function scanRecording(file: Uint8Array, decompress: Decompress, before: number | null): Scanned | null {
  let header: RecordingHeader | null = null;
  let index: ScreenIndex | PlainIndex | null = null;
  let duration = 0;
  let untold = 0;
  let exit: string | null = null;
  const segments: ScannedSegment[] = [];
  const transcript: SeenText[] = [];
  const facts: SessionFact[] = [];
  const tell = ({ lines, dropped }: SeenBlock): void => {
    untold += dropped;
    for (const { at, text } of lines) {
      if (transcript.length < MAX_TRANSCRIPT) transcript.push({ at, text });
      else untold += 1;
    }
  };
  for (const frame of framesOf(file, decompress, before, 'recording')) {
    const from = duration;
    header ??= frame.header;
    if (header === null) return null;
    const { tty } = header.steno;
    index ??= tty === true ? new ScreenIndex(header.term) : new PlainIndex();
    const lines: { line: RecordingLine; at: number }[] = [];
    let keyframe = false;
    let until = 0;
    for (const { line, code, at, startsBlock, end } of frame.lines) {
      if (startsBlock) tell(index.endBlock());
      keyframe ||= code === 'k' && until === 0;
      until = end;
      if (code === 'k') continue;
      duration = at;
      if (line === null) continue;
      index.line(line, at);
      if (line.code === 'x') exit = line.data;
      if (line.code !== 'o' && line.code !== 'i') lines.push({ line, at });
    }
    if (facts.length < MAX_FACTS) {
      const block: ReadBlock = { n: 1, from, at: from, until: duration, content: new Uint8Array(0), lines, header: frame.header };
      facts.push(...eventRows(header, block).map(factOf));
    }
    if (until === 0) continue;
    // Without a keyframe the terminal continues from the lines before, so the previous segment is extended.
    if (segments.length === 0 || keyframe || tty !== true) segments.push({ start: from, frames: [] });
    segments.at(-1)!.frames.push({ offset: frame.offset, length: frame.length, until });
  }
  if (header === null || index === null) return null;
  tell(index.finish());
  if (index instanceof ScreenIndex) index.dispose();
  transcript.sort((a, b) => a.at - b.at);
  return { header, duration, segments, transcript, untold, facts: facts.slice(0, MAX_FACTS), exit };
}

/** The lines of a segment in the form that the player takes. */
export function segmentText(file: Uint8Array, decompress: Decompress, { frames }: ScannedSegment): string {
  return frames
    .map(({ offset, length, until }) => {
      const lines = decompress(file.subarray(offset, offset + length)).subarray(0, until);
      return decoder.decode(lines[0] === OPEN_BRACE ? lines.subarray(lines.indexOf(NEWLINE) + 1) : lines);
    })
    .join('');
}

/** Rows of a verified event log, or of the part that is present. */
export function scanEvents(
  file: Uint8Array,
  decompress: Decompress,
  before: number | null,
): { readonly events: readonly KernelEventInfo[]; readonly more: number } {
  const events: KernelEventInfo[] = [];
  let more = 0;
  let header: RecordingHeader | null = null;
  for (const frame of framesOf(file, decompress, before, 'events')) {
    header ??= frame.header;
    if (header === null) break;
    const lines = frame.lines.flatMap(({ line, at }) => (line?.code === 'e' ? [{ line, at }] : []));
    const room = MAX_EVENTS - events.length;
    more += Math.max(0, lines.length - room);
    const kept = lines.slice(0, Math.max(0, room));
    const block: ReadBlock = { n: 1, from: 0, at: 0, until: 0, content: new Uint8Array(0), lines: kept, header: null };
    events.push(...loggedEvents(header, block).map(kernelEventOf));
  }
  return { events, more };
}

interface Frame {
  readonly offset: number;
  readonly length: number;
  /** Read from the first frame. */
  readonly header: RecordingHeader | null;
  readonly lines: readonly Line[];
}

function* framesOf(file: Uint8Array, decompress: Decompress, before: number | null, stream: Stream): Generator<Frame> {
  let cutter = new BlockCutter();
  let n = 0;
  let at = 0;
  try {
    for (const segment of readContainer(file)) {
      if (segment.kind === 'proof') cutter = new BlockCutter();
      if (segment.kind !== 'data') continue;
      const content = decompress(segment.bytes);
      const lines: Line[] = [];
      let header: RecordingHeader | null = null;
      let over = false;
      for (let start = 0; start < content.length;) {
        const end = content.indexOf(NEWLINE, start) + 1;
        if (end === 0) return;
        const bytes = content.subarray(start, end);
        start = end;
        const isHeader = n === 0 && bytes[0] === OPEN_BRACE;
        const head = isHeader ? { interval: 0, code: '' } : peekLine(decoder.decode(bytes.subarray(0, 64)));
        if (head.code === 'k') {
          lines.push({ bytes, line: null, code: 'k', at, startsBlock: false, end });
          continue;
        }
        at += head.interval;
        const startsBlock = cutter.startsBlock(bytes.length, at);
        if (startsBlock) n += 1;
        if (before !== null && n >= before) {
          over = true;
          break;
        }
        if (isHeader) header = parseHeader(decoder.decode(bytes.subarray(0, -1)));
        lines.push({ bytes, line: isHeader ? null : lineOf(bytes, stream), code: head.code, at, startsBlock, end });
      }
      yield { offset: segment.offset, length: segment.bytes.length, header, lines };
      if (over) return;
    }
  } catch {
    // The verifier has already reported this damage; the lines read so far are valid.
  }
}

function lineOf(bytes: Uint8Array, stream: Stream): RecordingLine | null {
  try {
    return parseLine(decoder.decode(bytes), stream);
  } catch {
    return null;
  }
}
