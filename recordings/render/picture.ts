/**
 * Renders the screen at one moment as text with colours, by writing a segment's lines up to that moment to a terminal emulator. Cells
 * never hold control characters; characters that are invisible or change the direction of text become U+FFFD, so that every cell can
 * be seen. Tested in picture.test.ts.
 */
import xterm from '@xterm/headless';
import type { IBufferCell } from '@xterm/headless';
import { isSize, parseLine, parseSize, peekLine } from '#schemas/recording/line.js';
import type { RecordingLine } from '#schemas/recording/line.js';

export interface Run {
  readonly text: string;
  /** Width in cells. */
  readonly width: number;
  /** A colour as `#rrggbb`; null for the terminal's default. */
  readonly fg: string | null;
  readonly bg: string | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
}

export interface Picture {
  readonly cols: number;
  readonly rows: number;
  /** One entry per row, without trailing blanks that have no colour. */
  readonly lines: readonly (readonly Run[])[];
}

interface Size {
  readonly cols: number;
  readonly rows: number;
}

/** The emulator's smallest width. */
export const MIN_COLS = 2;
/** Characters written to the emulator at a time. */
const CHUNK = 65_536;
const NEWLINE = 0x0a;
const decoder = new TextDecoder('utf-8');
// Invisible formatting characters, direction marks, lone surrogates.
const unseen =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;

/** `lines`: a segment, which begins with a keyframe. `start`: session time before its first line. `until`: session time of the picture. Both in ms. */
export async function pictureAt(lines: Uint8Array, start: number, until: number): Promise<Picture> {
  const screen = new DrawnScreen();
  try {
    for (const { at, line } of timedLines(lines, start)) {
      if (at > until) break;
      await screen.draw(line);
    }
    return await screen.picture();
  } finally {
    screen.dispose();
  }
}

type AnyLine = RecordingLine | { readonly code: 'unknown'; readonly interval: number };

/** The lines of a segment, each with its session time. Keyframes take no time. */
export function* timedLines(lines: Uint8Array, start: number): Generator<{ readonly at: number; readonly line: AnyLine }, void> {
  let at = start;
  for (let from = 0; from < lines.length;) {
    const end = lines.indexOf(NEWLINE, from);
    if (end < 0) return;
    const text = decoder.decode(lines.subarray(from, end));
    const line = parseLine(text) ?? { ...peekLine(text), code: 'unknown' as const };
    from = end + 1;
    if (line.code !== 'k') at += line.interval;
    yield { at, line };
  }
}

/** A terminal that lines are drawn on, from a first keyframe on. */
export class DrawnScreen {
  readonly #terminal = new xterm.Terminal({ cols: 80, rows: 24, scrollback: 0, allowProposedApi: true, logLevel: 'off' });
  #waiting = '';
  #begun = false;

  /** Later keyframes repeat what is drawn already. */
  async draw(line: AnyLine): Promise<void> {
    if (line.code === 'k') {
      if (this.#begun) return;
      this.#begun = true;
      await this.#resize(line.data);
      this.#waiting += line.data.screen;
      return;
    }
    if (line.code === 'o') this.#waiting += line.data;
    const size = line.code === 'r' ? parseSize(line.data) : null;
    if (size !== null) await this.#resize(size);
    if (this.#waiting.length >= CHUNK) await this.#write();
  }

  async picture(): Promise<Picture> {
    await this.#write();
    return shown(this.#terminal);
  }

  dispose(): void {
    this.#terminal.dispose();
  }

  #write(): Promise<void> {
    const text = this.#waiting;
    this.#waiting = '';
    return new Promise((resolve) => this.#terminal.write(text, resolve));
  }

  async #resize({ cols, rows }: Size): Promise<void> {
    await this.#write();
    if (isSize(cols) && isSize(rows)) this.#terminal.resize(Math.max(MIN_COLS, cols), rows);
  }
}

function shown(terminal: InstanceType<typeof xterm.Terminal>): Picture {
  const { active } = terminal.buffer;
  const lines: Run[][] = [];
  for (let row = 0; row < terminal.rows; row++) {
    const line = active.getLine(active.baseY + row);
    const runs: Run[] = [];
    for (let column = 0; line !== undefined && column < terminal.cols; column++) {
      const cell = line.getCell(column);
      // The second half of a wide character.
      if (cell === undefined || cell.getWidth() === 0) continue;
      push(runs, runOf(cell));
    }
    const last = runs.at(-1);
    if (last !== undefined && last.bg === null && !last.inverse && !last.underline) runs.splice(-1, 1, ...trimmed(last));
    lines.push(runs);
  }
  return { cols: terminal.cols, rows: terminal.rows, lines };
}

function trimmed(run: Run): readonly Run[] {
  const text = run.text.trimEnd();
  return text === '' ? [] : [{ ...run, text, width: run.width - (run.text.length - text.length) }];
}

function push(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last !== undefined && styleOf(last) === styleOf(run))
    runs[runs.length - 1] = { ...last, text: last.text + run.text, width: last.width + run.width };
  else runs.push(run);
}

function styleOf({ fg, bg, bold, dim, italic, underline, inverse }: Run): string {
  return [fg, bg, bold, dim, italic, underline, inverse].join(' ');
}

function runOf(cell: IBufferCell): Run {
  const chars = cell.getChars();
  return {
    text: cell.isInvisible() !== 0 || chars === '' ? ' ' : chars.replace(unseen, '\ufffd'),
    width: cell.getWidth(),
    fg: cell.isFgDefault() ? null : colour(cell.getFgColor(), cell.isFgRGB()),
    bg: cell.isBgDefault() ? null : colour(cell.getBgColor(), cell.isBgRGB()),
    bold: cell.isBold() !== 0,
    dim: cell.isDim() !== 0,
    italic: cell.isItalic() !== 0,
    underline: cell.isUnderline() !== 0,
    inverse: cell.isInverse() !== 0,
  };
}

/** The player's sixteen colours (viewer/web/app/style.css). */
const palette = [
  ...['#1d1f24', '#e5604f', '#6fbf73', '#d9a93f', '#6a9fe8', '#b98ae0', '#55b9b4', '#d0cdc4'],
  ...['#666b76', '#ff8370', '#8fdb93', '#f2c862', '#93bdf7', '#d3adf2', '#7fd8d3', '#f7f5ee'],
];

function colour(value: number, rgb: boolean): string {
  const hex = (n: number): string => `#${(n & 0xffffff).toString(16).padStart(6, '0')}`;
  if (rgb) return hex(value);
  const named = palette[value];
  if (named !== undefined) return named;
  if (value >= 232) {
    const grey = 8 + (value - 232) * 10;
    return hex((grey << 16) | (grey << 8) | grey);
  }
  const level = (n: number): number => (n === 0 ? 0 : 55 + n * 40);
  const cube = value - 16;
  return hex((level(Math.floor(cube / 36)) << 16) | (level(Math.floor(cube / 6) % 6) << 8) | level(cube % 6));
}
