/**
 * Draws the screen at one moment as SVG: selectable, searchable text without scripts or external resources. All text passes through
 * `escaped`; colours are the `#rrggbb` of picture.ts. Each run is stretched to its cells, so that columns align in any font. Tested in
 * picture.test.ts.
 */
import { watermarkSvg, watermarkText } from '#schemas/offline/watermark.js';
import type { Watermark } from '#schemas/offline/watermark.js';
import type { Picture, Run } from './picture.js';

const CELL = 8.4;
const LINE = 18;
const BASELINE = 13.5;
const PAD = 12;
const PAPER = '#101114';
const INK = '#d9d7d0';
const paper = `<rect width="100%" height="100%" fill="${PAPER}"/>\n`;
const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function pictureSize({ cols, rows }: Pick<Picture, 'cols' | 'rows'>): { readonly width: number; readonly height: number } {
  return { width: Number(number(cols * CELL + 2 * PAD)), height: rows * LINE + 2 * PAD };
}

/** `title`: one line that names the session and the moment. */
export function pictureSvg(picture: Picture, title: string, mark?: Watermark): string {
  return documentSvg(pictureSize(picture), `<title>${escaped(title)}</title>\n${paper}`, pictureRows(picture, picture.rows), mark);
}

/** The drawing of each row; `count` of them, empty below the screen. */
export function pictureRows({ lines }: Pick<Picture, 'lines'>, count: number): readonly string[] {
  return Array.from({ length: count }, (_, row) => lineSvg(lines[row] ?? [], row));
}

/** A picture of the changed rows only, with rows that reach into them. Without a watermark, which `markSvg` draws once. */
export function partSvg(rows: readonly string[], screen: Pick<Picture, 'cols' | 'rows'>, changed: readonly number[]): string {
  const drawn = new Set(changed.flatMap((row) => [row - 1, row, row + 1]));
  return documentSvg(
    pictureSize(screen),
    paper,
    rows.filter((_, row) => drawn.has(row)),
  );
}

/** The watermark of a picture of this size, on a transparent background. */
export function markSvg(screen: Pick<Picture, 'cols' | 'rows'>, mark: Watermark): string {
  return documentSvg(pictureSize(screen), '', [], mark);
}

/** The vertical extent of a row in pixels of the unzoomed picture; the first and last rows include the picture's margin. */
export function rowEdges(row: number, rows: number): { readonly top: number; readonly bottom: number } {
  return { top: row === 0 ? 0 : PAD + row * LINE, bottom: PAD + (row + 1) * LINE + (row === rows - 1 ? PAD : 0) };
}

function documentSvg(
  { width, height }: { readonly width: number; readonly height: number },
  head: string,
  rows: readonly string[],
  mark?: Watermark,
): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
${head}${rows.join('')}${mark === undefined ? '' : watermarkSvg(watermarkText(mark), { width, height }, escaped)}</svg>
`;
}

function lineSvg(runs: readonly Run[], row: number): string {
  let column = 0;
  return runs
    .map((run) => {
      const x = PAD + column * CELL;
      column += run.width;
      return runSvg(run, x, PAD + row * LINE);
    })
    .join('');
}

function runSvg({ text, width, fg, bg, bold, dim, italic, underline, inverse }: Run, x: number, y: number): string {
  const [front, back] = inverse ? [bg ?? PAPER, fg ?? INK] : [fg ?? INK, bg];
  const length = number(width * CELL);
  const paper = back === null ? '' : `<rect x="${number(x)}" y="${y}" width="${length}" height="${LINE}" fill="${back}"/>`;
  if (text.trim() === '' && !underline) return paper;
  const style = [
    bold ? ' font-weight="700"' : '',
    italic ? ' font-style="italic"' : '',
    underline ? ' text-decoration="underline"' : '',
    dim ? ' opacity="0.6"' : '',
  ].join('');
  return `${paper}<text x="${number(x)}" y="${y + BASELINE}" textLength="${length}" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="${front}"${style}>${escaped(text)}</text>\n`;
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** XML allows neither most control characters nor U+FFFE and U+FFFF. */
function escaped(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/g, '\ufffd').replace(/[&<>"']/g, (char) => entities[char]!);
}
