/**
 * Draws the screen of a live session on demand, from the recording's lines that are still on disk and the output shown since they were
 * read. No session keeps a terminal, so an idle session, watched or not, costs nothing extra.
 *
 * Works in steps, so that other sessions are served in between. Limits: if a session printed more than `HISTORY_BYTES`, the screen lacks
 * older output that has not been redrawn since. Tested in screen-replay.test.ts.
 */
import { LEAVE_MODES } from '#runtime/terminal/leave-modes.js';
import { StringDecoder } from 'node:string_decoder';
import { closeText, parseLine } from '#schemas/recording/line.js';
import type { Keyframe } from '#schemas/recording/line.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import type { History } from '../recorder/recorder.js';

/** Bytes of lines drawn in one step: a few milliseconds of work. */
const STEP_BYTES = 32 * 1024;

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

export class ScreenReplay {
  readonly #lines: Buffer;
  readonly #terminal: ScreenTerminal;
  readonly #decoder = new StringDecoder('utf8');
  #at = 0;
  #held: Buffer;
  /** Output and resizes since the history was read, in order. */
  #since: (Buffer | Size)[] = [];
  #sinceBytes = 0;

  /** `size`: the terminal's current size; the initial size is not in the lines. */
  constructor({ lines, held }: History, size: Size) {
    this.#lines = lines;
    this.#held = held;
    this.#terminal = new ScreenTerminal(size.cols, size.rows);
  }

  /** Bytes added and not yet drawn. */
  get behind(): number {
    return this.#sinceBytes;
  }

  /** Adds output that was just shown, or a resize. The bytes are kept. */
  add(what: Buffer | Size): void {
    this.#since.push(what);
    if (Buffer.isBuffer(what)) this.#sinceBytes += what.length;
  }

  /** Draws the next step. True: the screen is up to date. */
  step(): boolean {
    const until = Math.min(this.#lines.length, this.#at + STEP_BYTES);
    while (this.#at < until) {
      const newline = this.#lines.indexOf(0x0a, this.#at);
      const end = newline < 0 ? this.#lines.length : newline + 1;
      const line = this.#lines.toString('utf8', this.#at, end);
      this.#at = end;
      // The last line of text may still grow.
      this.#draw(newline < 0 ? line + closeText() : line);
    }
    if (this.#at < this.#lines.length) return false;
    if (this.#held.length > 0) this.#write(this.#held);
    this.#held = nothing;
    let drawn = 0;
    while (this.#since.length > 0 && drawn < STEP_BYTES) {
      const next = this.#since.shift()!;
      if (Buffer.isBuffer(next)) {
        this.#write(next);
        drawn += next.length;
        this.#sinceBytes -= next.length;
      } else this.#terminal.resize(next.cols, next.rows);
    }
    return this.#since.length === 0;
  }

  /** Escape sequences that draw this screen on any terminal, regardless of its current content. */
  frame(): Buffer {
    return Buffer.from(LEAVE_MODES + CLEAR + drawingOf(this.#terminal.keyframe(false)));
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  #draw(text: string): void {
    const line = readLine(text);
    if (line === null) return;
    if (line.code === 'o') this.#terminal.write(line.data);
    // The only trace of a stream that is not text.
    else if (line.code === 'b' && line.data.stream === 'out' && !line.data.replaces) this.#write(Buffer.from(line.data.base64, 'base64'));
  }

  #write(bytes: Buffer): void {
    this.#terminal.write(this.#decoder.write(bytes));
  }
}

const nothing = Buffer.alloc(0);

const CLEAR = '\x1b[H\x1b[2J';

/** The size goes before the screen: terminals that may be resized follow, others ignore it. */
function drawingOf({ cols, rows, screen }: Keyframe): string {
  return `\x1b[8;${rows};${cols}t${screen}`;
}

function readLine(text: string): ReturnType<typeof parseLine> {
  try {
    return parseLine(text);
  } catch {
    // If the history begins in the middle of the recording, its first line may be incomplete.
    return null;
  }
}
