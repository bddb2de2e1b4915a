/**
 * The screen of a live session, made when somebody needs it: from the lines of the recording that are still on disk, and what was
 * shown since they were read. No session keeps a terminal: an idle one, watched or not, costs no more than before.
 *
 * Works in steps, so that other sessions are served between them. Limits: of a session that printed more than `HISTORY_BYTES`, what
 * has not been drawn again since is missing from the screen. Tested in screen-replay.test.ts.
 */
import { StringDecoder } from 'node:string_decoder';
import { closeText, parseLine } from '#schemas/recording/line.js';
import type { Keyframe } from '#schemas/recording/line.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import type { History } from '../recorder/recorder.js';

/** Bytes of lines of one step: a few milliseconds. */
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
  /** What was shown since the history was read, in order. */
  #since: (Buffer | Size)[] = [];
  #sinceBytes = 0;

  /** `size`: the terminal's size now; that of the beginning is not in the lines. */
  constructor({ lines, held }: History, size: Size) {
    this.#lines = lines;
    this.#held = held;
    this.#terminal = new ScreenTerminal(size.cols, size.rows);
  }

  /** Bytes that were added and are not drawn. */
  get behind(): number {
    return this.#sinceBytes;
  }

  /** Was shown, or has happened, just now. The bytes are kept. */
  add(what: Buffer | Size): void {
    this.#since.push(what);
    if (Buffer.isBuffer(what)) this.#sinceBytes += what.length;
  }

  /** Draws on. True: the screen is that of this moment. */
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

  /** Escape sequences that draw this screen on any terminal, whatever it shows. */
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

/** Leaves the other screen, and every mode that a program may have set, without wiping what the participant can scroll back to. */
export const LEAVE_MODES = '\x1b[?1049l\x1b[!p\x1b[?1;9;1000;1002;1003;1004;1005;1006;1015;2004l\x1b[?7;25h\x1b>\x1b(B\x0f\x1b[r\x1b[0m';
const CLEAR = '\x1b[H\x1b[2J';

/** The size goes before the screen: terminals that may be resized follow, others ignore it. */
function drawingOf({ cols, rows, screen }: Keyframe): string {
  return `\x1b[8;${rows};${cols}t${screen}`;
}

function readLine(text: string): ReturnType<typeof parseLine> {
  try {
    return parseLine(text);
  } catch {
    // Of a history that begins amid the recording the first line may be part of one.
    return null;
  }
}
