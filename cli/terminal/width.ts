/** How many cells text takes on a terminal, by the characters that people see: a letter with its marks, an emoji of many parts. Tested in width.test.ts. */
import stringWidth from 'string-width';

const segmenter = new Intl.Segmenter('en');

/** Text without escape sequences. */
export function displayWidth(text: string): number {
  return stringWidth(text, { countAnsiEscapeCodes: true });
}

export function* characters(text: string): Generator<{ readonly char: string; readonly width: number }> {
  for (const { segment } of segmenter.segment(text)) yield { char: segment, width: displayWidth(segment) };
}

/** The text, or its beginning and an ellipsis, in at most `room` cells. */
export function fitted(text: string, room: number): string {
  if (displayWidth(text) <= room) return text;
  let [begin, used] = ['', 0];
  for (const { char, width } of characters(text)) {
    if (used + width > room - 1) break;
    begin += char;
    used += width;
  }
  return `${begin}…`;
}
