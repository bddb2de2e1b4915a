/**
 * Text with colours, cut into lines of a terminal's width: what hangs over stands below its beginning, and no colour runs into
 * what is put before a line. Nothing is left out. Tested in wrap.test.ts.
 */
import { characters } from './width.js';

/** Shorter than this a line is cut by the terminal instead. */
const NARROWEST = 16;
const colour = /(\u001b\[[0-9;]*m)/;
const OFF = '\u001b[0m';

/** The first line has `width` less what stands before it, as have all others. */
export function wrap(text: string, width: number): readonly string[] {
  if (width < NARROWEST) return [text];
  const lines: string[] = [];
  let line = '';
  let used = 0;
  let on = '';
  /** Behind the last space of the line that is far enough to the right. */
  let space: { readonly at: number; readonly used: number; readonly on: string } | null = null;
  for (const [i, part] of text.split(colour).entries()) {
    if (i % 2 === 1) {
      line += part;
      on = part === OFF ? '' : part;
      continue;
    }
    for (const { char, width: wide } of characters(part)) {
      if (used + wide > width) {
        const cut = space ?? { at: line.length, used, on };
        lines.push(line.slice(0, cut.at) + (cut.on === '' ? '' : OFF));
        line = cut.on + line.slice(cut.at);
        used -= cut.used;
        space = null;
      }
      line += char;
      used += wide;
      if (char === ' ' && used > width / 2) space = { at: line.length, used, on };
    }
  }
  return [...lines, line];
}
