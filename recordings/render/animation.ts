/**
 * Renders a span of a session as an animated GIF ([decision 0192](../../docs/decisions/0192-animated-gif.md)): the pictures of
 * picture-svg.ts at the moments when something changed, painted by the thread of picture-png.ts.
 *
 * Changes that follow each other within one step become one frame, which shows the last of them; an invisible change makes no frame.
 * After the first frame, only rows that differ are painted. Memory holds one frame. Tested in animation.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { parseSize } from '#schemas/recording/line.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { Band, PicturePainter } from './picture-png.js';
import { markSvg, partSvg, pictureRows, pictureSize, rowEdges } from './picture-svg.js';
import { DrawnScreen, MIN_COLS, timedLines } from './picture.js';
import type { Picture } from './picture.js';

/** The shortest time between two frames: at most ten per second. */
const STEP_MS = 100;
/** Most frames of one animation; over a whole minute, five per second. */
const MAX_FRAMES = 300;
/** Most bytes of recording that are drawn for one animation. */
const MAX_BYTES = 64 << 20;
/** Rows above and below its own that a glyph may reach into. */
const OVERHANG = 1;

/** A segment as `RecordingReader.segment` returns it: whole lines, the first a keyframe, and the session time before them in ms. */
export interface TimedSegment {
  readonly start: number;
  readonly lines: Uint8Array;
}

/** Session time in ms. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Frame {
  readonly at: number;
  readonly picture: Picture;
}

/** The screens from `from` to `to`: the first is the screen at `from`, each later one has the moment at which it is shown. */
export async function* framesBetween(segments: AsyncIterable<TimedSegment>, { from, to }: Span): AsyncGenerator<Frame, void> {
  const step = Math.max(STEP_MS, Math.ceil((to - from) / MAX_FRAMES));
  const screen = new DrawnScreen();
  let shownAt: number | null = null;
  /** Time of the first change since the last frame. */
  let changedAt: number | null = null;
  try {
    for await (const { at, line } of linesOf(segments)) {
      if (at > to) break;
      if (at > from) {
        if (shownAt === null) {
          yield { at: from, picture: await screen.picture() };
          shownAt = from;
        }
        const due: number | null = changedAt === null ? null : Math.max(changedAt, shownAt + step);
        if (due !== null && at > due) {
          yield { at: due, picture: await screen.picture() };
          [shownAt, changedAt] = [due, null];
        }
        if (line.code === 'o' || line.code === 'r') changedAt ??= at;
      }
      await screen.draw(line);
    }
    if (shownAt === null) yield { at: from, picture: await screen.picture() };
    else if (changedAt !== null) yield { at: Math.min(to, Math.max(changedAt, shownAt + step)), picture: await screen.picture() };
  } finally {
    screen.dispose();
  }
}

/** `segments`: reads the segments of the span from the start at each call. Throws TOO_LARGE for a span with too much output. */
export async function* animationGif(
  painter: PicturePainter,
  segments: () => AsyncIterable<TimedSegment>,
  span: Span,
  mark?: Watermark,
): AsyncGenerator<Uint8Array, void> {
  const size = await largestSize(segments(), span);
  const animation = painter.animate(pictureSize(size), mark === undefined ? null : markSvg(size, mark));
  try {
    let shown: readonly string[] | null = null;
    let waiting: { readonly at: number; readonly svg: string; readonly bands: readonly Band[] } | null = null;
    const add = async (until: number): Promise<Uint8Array> => {
      const { at, svg, bands } = waiting!;
      return animation.add({ svg, bands, centiseconds: Math.max(1, hundredths(until - span.from) - hundredths(at - span.from)) });
    };
    for await (const { at, picture } of framesBetween(segments(), span)) {
      const rows = pictureRows(picture, size.rows);
      const changed = differing(shown, rows);
      if (changed.length === 0) continue;
      if (waiting !== null) yield await add(at);
      waiting = { at, svg: partSvg(rows, size, changed), bands: bandsOf(changed, size.rows) };
      shown = rows;
    }
    yield await add(Math.max(span.to, waiting!.at + STEP_MS));
    yield await animation.end();
  } finally {
    await animation.close();
  }
}

const hundredths = (ms: number): number => Math.round(ms / 10);

async function* linesOf(segments: AsyncIterable<TimedSegment>) {
  let bytes = 0;
  for await (const { start, lines } of segments) {
    bytes += lines.length;
    if (bytes > MAX_BYTES) throw new StenoError('TOO_LARGE', 'too much was printed in this span: take a shorter one');
    yield* timedLines(lines, start);
  }
}

/** The size of the largest screen in the span, which is the size of the animation. */
async function largestSize(segments: AsyncIterable<TimedSegment>, { from, to }: Span): Promise<Pick<Picture, 'cols' | 'rows'>> {
  let now: { readonly cols: number; readonly rows: number } | null = null;
  let largest = { cols: MIN_COLS, rows: 1 };
  const take = (): void => {
    if (now !== null) largest = { cols: Math.max(largest.cols, now.cols), rows: Math.max(largest.rows, now.rows) };
  };
  for await (const { at, line } of linesOf(segments)) {
    if (at > from) take();
    if (at > to) break;
    if (line.code === 'k') now ??= line.data;
    if (line.code === 'r') now = parseSize(line.data) ?? now;
  }
  take();
  return largest;
}

/** Rows that are drawn differently than before, and their neighbours. */
function differing(before: readonly string[] | null, rows: readonly string[]): readonly number[] {
  const changed = new Set<number>();
  for (const [row, svg] of rows.entries())
    if (before === null || before[row] !== svg)
      for (let near = row - OVERHANG; near <= row + OVERHANG; near++) if (near >= 0 && near < rows.length) changed.add(near);
  return [...changed].sort((a, b) => a - b);
}

/** Groups adjacent rows into bands, in pixels of the unzoomed picture, from top to bottom. */
function bandsOf(changed: readonly number[], rows: number): readonly Band[] {
  const bands: Band[] = [];
  for (const [i, row] of changed.entries()) {
    const { top, bottom } = rowEdges(row, rows);
    if (i > 0 && changed[i - 1] === row - 1) bands[bands.length - 1] = { top: bands.at(-1)!.top, bottom };
    else bands.push({ top, bottom });
  }
  return bands;
}
