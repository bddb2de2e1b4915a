/**
 * Text of recordings in lists and tables: every character that is not displayed as itself is made visible, so that a file name cannot
 * hide, reorder or imitate the text around it. This helps the reader; React writes text nodes in any case. Tested in text.test.ts.
 */

/** Controls, line separators, bidirectional marks, zero-width and invisible characters, lone surrogates, private tags. */
const hidden =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;

export const MAX_SHOWN = 4_096;

export interface Piece {
  readonly kind: 'text' | 'escape';
  readonly text: string;
}

/** The text in pieces; an `escape` piece stands for a character that would be invisible. At most `MAX_SHOWN` characters. */
export function visiblePieces(text: string): readonly Piece[] {
  const shown = text.length > MAX_SHOWN ? text.slice(0, MAX_SHOWN) : text;
  const pieces: Piece[] = [];
  let from = 0;
  for (const match of shown.matchAll(hidden)) {
    if (match.index > from) pieces.push({ kind: 'text', text: shown.slice(from, match.index) });
    pieces.push({ kind: 'escape', text: escapeOf(match[0]) });
    from = match.index + match[0].length;
  }
  if (from < shown.length) pieces.push({ kind: 'text', text: shown.slice(from) });
  if (shown.length < text.length) pieces.push({ kind: 'escape', text: `… ${text.length - shown.length} more` });
  return pieces;
}

export function visible(text: string): string {
  return visiblePieces(text)
    .map((piece) => piece.text)
    .join('');
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0)!;
  if (code === 0x0a) return '\\n';
  if (code === 0x0d) return '\\r';
  if (code === 0x09) return '\\t';
  if (code === 0x1b) return '\\e';
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** The ranges of the needles in `text`, ignoring case, from left to right and without overlaps. */
export function rangesOf(text: string, needles: readonly string[]): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  for (const needle of needles.slice(0, 32)) {
    const pattern = new RegExp(needle.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'giu');
    for (const match of text.matchAll(pattern)) ranges.push([match.index, match.index + match[0].length]);
  }
  ranges.sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}
