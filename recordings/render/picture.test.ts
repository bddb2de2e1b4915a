import { DOMParser } from '@xmldom/xmldom';
import { expect, test } from 'vitest';
import { encodeLine } from '#schemas/recording/line.js';
import { pictureAt } from './picture.js';
import type { Picture } from './picture.js';
import { pictureSvg } from './picture-svg.js';

const encoder = new TextEncoder();
const keyframe = (screen: string, cols = 20, rows = 4): string => encodeLine(0, { code: 'k', data: { cols, rows, screen } });
const out = (interval: number, data: string): string => encodeLine(interval, { code: 'o', data });
const bytes = (...lines: readonly string[]): Uint8Array => encoder.encode(lines.map((line) => `${line.trimEnd()}\n`).join(''));
const text = ({ lines }: Picture): readonly string[] => lines.map((runs) => runs.map((run) => run.text).join(''));

test('a picture shows output up to its moment, and nothing later', async () => {
  const segment = bytes(keyframe('$ '), out(1000, 'ls\r\n'), out(1000, 'a  b\r\n$ '), out(5000, 'exit'));
  expect(text(await pictureAt(segment, 10_000, 10_000))).toEqual(['$', '', '', '']);
  expect(text(await pictureAt(segment, 10_000, 12_000))).toEqual(['$ ls', 'a  b', '$', '']);
  expect(text(await pictureAt(segment, 10_000, 99_000))).toEqual(['$ ls', 'a  b', '$ exit', '']);
});

test('colours and styles are kept in runs; a wide character occurs once', async () => {
  const segment = bytes(keyframe(''), out(0, '\x1b[1;31mred\x1b[0m \x1b[38;5;196mx\x1b[48;2;1;2;3my\x1b[0m 漢字\x1b[7m!\x1b[0m'));
  const [line] = (await pictureAt(segment, 0, 0)).lines;
  expect(line).toMatchObject([
    { text: 'red', fg: '#e5604f', bold: true },
    { text: ' ', fg: null },
    { text: 'x', fg: '#ff0000', bg: null },
    { text: 'y', fg: '#ff0000', bg: '#010203' },
    { text: ' 漢字', fg: null },
    { text: '!', inverse: true },
  ]);
});

test('a resize is applied, and a second keyframe does not draw anything twice', async () => {
  const segment = bytes(
    keyframe('one\r\n'),
    encodeLine(0, { code: 'r', data: '10x2' }),
    out(1, 'two'),
    keyframe('one\r\ntwo', 10, 2),
    out(1, '!'),
  );
  const picture = await pictureAt(segment, 0, 100);
  expect([picture.cols, picture.rows, text(picture)]).toEqual([10, 2, ['one', 'two!']]);
});

test('characters that hide or reverse text are made visible', async () => {
  const segment = bytes(keyframe(''), out(0, 'a\u202eb \u200bc'));
  expect(text(await pictureAt(segment, 0, 0))[0]).toMatch(/^a\ufffd?b /);
  expect(text(await pictureAt(segment, 0, 0)).join('')).not.toMatch(/[\u202e\u200b]/);
});

test('the SVG has every run at its column, and recorded text is never markup', async () => {
  const hostile = '<script>alert(1)</script>&"\'';
  const segment = bytes(keyframe('', 60, 2), out(0, `\x1b[31m漢字\x1b[0m${hostile}\x1b[7m \x1b[0m`));
  const svg = pictureSvg(await pictureAt(segment, 0, 0), 'of <b>\u0007');
  expect(svg).toContain('<title>of &lt;b&gt;\ufffd</title>');
  expect(svg).toContain('&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;');
  expect(svg).not.toMatch(/<script|href|url\(|<b>/);
  // Two wide characters take four cells: the next text starts at the fifth.
  expect(svg).toMatch(/<text x="12" [^>]*textLength="33.6"[^>]*fill="#e5604f">漢字</);
  expect(svg).toMatch(/<text x="45.6" [^>]*fill="#d9d7d0">&lt;script/);
  // Inverse: the text colour is the background.
  expect(svg).toMatch(/<rect x="[\d.]+" y="12" width="8.4" height="18" fill="#d9d7d0"\/>/);
  const parsed = new DOMParser({
    errorHandler: (level: string, message: unknown) => {
      throw new Error(`${level}: ${String(message)}`);
    },
  }).parseFromString(svg, 'image/svg+xml');
  expect(parsed.getElementsByTagName('text').length).toBe(2);
});
