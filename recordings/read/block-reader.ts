/**
 * Parses blocks from an untrusted source: they must be complete valid lines, cut where the format requires.
 *
 * A block cut elsewhere would verify by itself and fail once the recording is sealed, so it is refused here. Throws
 * RECORDING_MALFORMED. Tested in ingest/uplink/connection.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { BLOCK_MAX_BYTES, BlockCutter } from '#schemas/recording/block.js';
import type { BlockPosition } from '#schemas/recording/block.js';
import { MAX_EVENT_LINE_BYTES, parseHeader, parseLine } from '#schemas/recording/line.js';
import type { RecordingHeader, RecordingLine, Stream } from '#schemas/recording/line.js';

export interface TimedLine {
  readonly line: RecordingLine;
  /** Session time in ms. */
  readonly at: number;
}

export interface ReadBlock {
  readonly n: number;
  /** Session time in ms: of the line before the block, of its first line, and of its last. */
  readonly from: number;
  readonly at: number;
  readonly until: number;
  readonly content: Uint8Array;
  /** Without the header, and without lines of unknown codes. */
  readonly lines: readonly TimedLine[];
  /** Present for block 1. */
  readonly header: RecordingHeader | null;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

export class BlockReader {
  readonly #cutter = new BlockCutter();
  readonly #stream: Stream;
  #n: number;
  #at: number;

  /** `last`: the preceding block, if reading does not begin at the start. */
  constructor(
    position: BlockPosition = { n: 0, at: 0 },
    last?: { readonly at: number; readonly bytes: number },
    stream: Stream = 'recording',
  ) {
    this.#stream = stream;
    this.#n = position.n;
    this.#at = position.at;
    if (last !== undefined) this.#cutter.startsBlock(last.bytes, last.at);
  }

  get n(): number {
    return this.#n;
  }

  /** Session time of the last line read, in ms. */
  get at(): number {
    return this.#at;
  }

  read(content: Uint8Array): ReadBlock {
    const longest = this.#stream === 'events' ? MAX_EVENT_LINE_BYTES : BLOCK_MAX_BYTES;
    if (content.length === 0 || content.length > longest || content.at(-1) !== 0x0a)
      throw malformed('a block does not consist of whole lines');
    let text: string;
    try {
      text = decoder.decode(content);
    } catch {
      throw malformed('a block is not UTF-8');
    }
    // One byte per character: lengths need not be computed for every line.
    const ascii = text.length === content.length;
    const n = this.#n + 1;
    const from = this.#at;
    const lines: TimedLine[] = [];
    let header: RecordingHeader | null = null;
    let at = from;
    let first = -1;
    for (let start = 0; start < text.length;) {
      const end = text.indexOf('\n', start) + 1;
      const source = text.slice(start, end - 1);
      if (n === 1 && start === 0) {
        header = parseHeader(source);
      } else {
        const line = parseLine(source, this.#stream);
        if (line?.code === 'k') throw malformed('a keyframe in a block');
        at += line?.interval ?? unknownInterval(source);
        if (line !== null) lines.push({ line, at });
      }
      const bytes = ascii ? end - start : Buffer.byteLength(text.slice(start, end));
      if (this.#cutter.startsBlock(bytes, at) !== (start === 0)) throw malformed('a block boundary is in the wrong place');
      if (first < 0) first = at;
      start = end;
    }
    this.#n = n;
    this.#at = at;
    return { n, from, at: first, until: at, content, lines, header };
  }
}

function unknownInterval(source: string): number {
  const [seconds] = JSON.parse(source) as [number];
  return Math.round(seconds * 1000);
}

function malformed(detail: string): StenoError {
  return new StenoError('RECORDING_MALFORMED', detail);
}
