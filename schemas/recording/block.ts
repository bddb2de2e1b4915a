/**
 * Blocks: the unit of the hash chain.
 *
 * A block is a run of whole lines. Block boundaries are a function of the lines alone, so they are neither stored nor
 * forgeable: a line starts a new block when, with it, the block would exceed `BLOCK_MAX_BYTES`, or when its session time is
 * `BLOCK_MAX_MS` or more after that of the block's first line. Session time is the sum of the intervals. The header is the
 * first line of block 1, at time 0. Keyframe lines (`k`) are derived data: they are in no block and their interval is 0.
 * Tested in block.test.ts.
 */
import { StenoError } from '../base/errors.js';
import { peekLine } from './line.js';

export const BLOCK_MAX_BYTES = 65_536;
export const BLOCK_MAX_MS = 1_000;

/** Decides, line by line, where blocks begin. Blocks count from 1. */
export class BlockCutter {
  #bytes = 0;
  #start = 0;

  /** Processes the next line. `bytes`: its encoded length including the newline; `at`: its session time in ms. */
  startsBlock(bytes: number, at: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes <= BLOCK_MAX_BYTES && at - this.#start < BLOCK_MAX_MS) {
      this.#bytes += bytes;
      return false;
    }
    this.#bytes = bytes;
    this.#start = at;
    return true;
  }

  /** Session time in ms from which no line can join the open block. */
  get closesAt(): number {
    return this.#start + BLOCK_MAX_MS;
  }
}

export interface Block {
  /** Counts from 1. */
  readonly n: number;
  /** Session time of the first line in ms. */
  readonly at: number;
  /** Session time of the last line in ms. */
  readonly until: number;
  /** Whole lines, newlines included. */
  readonly content: Uint8Array;
}

/** A reader's position between two runs of lines, sufficient to resume cutting in the middle of a file. */
export interface BlockPosition {
  /** Number of preceding blocks. */
  readonly n: number;
  /** Session time of the preceding line, in ms. */
  readonly at: number;
}

const NEWLINE = 0x0a;
const OPEN_BRACE = 0x7b;
const decoder = new TextDecoder('utf-8');

/**
 * Cuts whole lines into blocks, starting at a block boundary; `k` lines are passed to `keyframe` and left out. Throws
 * RECORDING_MALFORMED if a line is invalid or the last one has no newline.
 */
export function* cutBlocks(
  lines: Uint8Array,
  from: BlockPosition = { n: 0, at: 0 },
  keyframe?: (line: string, at: number) => void,
): Generator<Block> {
  const cutter = new BlockCutter();
  let { n, at } = from;
  let first = at;
  let parts: Uint8Array[] = [];
  let runStart = -1;
  let blockOpen = false;
  let last = at;
  const closeRun = (end: number): void => {
    if (runStart >= 0) parts.push(lines.subarray(runStart, end));
    runStart = -1;
  };
  for (let start = 0; start < lines.length;) {
    const end = lines.indexOf(NEWLINE, start) + 1;
    // `peekLine` needs only the head of the line: interval and code.
    const head = decoder.decode(lines.subarray(start, Math.min(end === 0 ? lines.length : end, start + 64)));
    const isHeader = lines[start] === OPEN_BRACE && n === 0 && !blockOpen;
    const { interval, code } = isHeader ? { interval: 0, code: '' } : peekLine(head);
    if (end === 0) throw malformedTail();
    if (code === 'k') {
      closeRun(start);
      keyframe?.(decoder.decode(lines.subarray(start, end)), at);
      start = end;
      continue;
    }
    at += interval;
    if (cutter.startsBlock(end - start, at)) {
      if (blockOpen) {
        closeRun(start);
        yield { n, at: first, until: last, content: join(parts) };
        parts = [];
      }
      blockOpen = true;
      n += 1;
      first = at;
    }
    if (runStart < 0) runStart = start;
    last = at;
    start = end;
  }
  closeRun(lines.length);
  if (blockOpen) yield { n, at: first, until: last, content: join(parts) };
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function malformedTail(): StenoError {
  return new StenoError('RECORDING_MALFORMED', 'the last line has no newline');
}
