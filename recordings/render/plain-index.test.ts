import { expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import { FULL_TEXT, PlainIndex, THIN_LINES } from './plain-index.js';

const out = (data: string): LineBody => ({ code: 'o', data });
const to = (name: 'stdout' | 'stderr'): LineBody => ({ code: 's', data: { fact: 'stream', name } });
const cases: readonly [string, readonly LineBody[], readonly (readonly [number, string])[]][] = [
  [
    'lines with their numbers',
    [out('a\nb\n\nc\n')],
    [
      [0, 'a'],
      [1, 'b'],
      [3, 'c'],
    ],
  ],
  ['a line that comes in pieces', [out('hel'), out('lo\n')], [[0, 'hello']]],
  [
    'the two streams separately',
    [to('stdout'), out('ou'), to('stderr'), out('err\n'), to('stdout'), out('t\n')],
    [
      [0, 'err'],
      [1, 'out'],
    ],
  ],
  ['text without its colours and titles', [out('\x1b[1;31mred\x1b[0m \x1b]0;title\x07end\x1b(B\n')], [[0, 'red end']]],
  ['only the last state of a progress bar', [out('\r10% of it\r20% of it\r30% of it\n')], [[0, '30% of it']]],
  [
    'lines with carriage returns',
    [out('one\r\ntwo\r\n')],
    [
      [0, 'one'],
      [1, 'two'],
    ],
  ],
  ['text without a final newline', [out('last')], [[0, 'last']]],
  [
    'an endless line, cut',
    [out('x'.repeat(5000)), out('y\n')],
    [
      [0, 'x'.repeat(4096)],
      [0, `${'x'.repeat(904)}y`],
    ],
  ],
];
for (const [claim, lines, expected] of cases) {
  test(`finds ${claim}`, () => {
    const index = new PlainIndex();
    lines.forEach((line, i) => index.line({ interval: 1, ...line }, i));
    expect([...index.endBlock().lines, ...index.finish().lines].map(({ row, text }) => [row, text])).toEqual(expected);
  });
}

test('after bulk output, the start and end of bulk blocks and all of small ones', () => {
  const index = new PlainIndex();
  let printed = 0;
  let thinned = 0;
  let number = 0;
  const bulk = (lines: number): string => Array.from({ length: lines }, () => `line ${number++} ${'-'.repeat(90)}\n`).join('');
  while (printed <= FULL_TEXT) {
    const text = bulk(600);
    index.line({ interval: 1, ...out(text) }, 1);
    const { lines } = index.endBlock();
    printed += text.length - 600;
    if (printed <= FULL_TEXT) expect(lines).toHaveLength(600);
    thinned += 600 - lines.length;
  }
  const start = number;
  index.line({ interval: 1, ...out(bulk(600)) }, 2);
  const thin = index.endBlock();
  expect(thin.dropped).toBe(0);
  const kept = [...Array(THIN_LINES).keys()].flatMap((i) => [start + i, start + 600 - THIN_LINES + i]).sort((a, b) => a - b);
  expect(thin.lines.map(({ text }) => Number(text.split(' ')[1]))).toEqual(kept);
  expect(thin.lines.every(({ row, text }) => row === Number(text.split(' ')[1]) % 65_536)).toBe(true);
  index.line({ interval: 1, ...out('$ id\nuid=0(root)\n') }, 3);
  expect(index.endBlock().lines.map(({ text }) => text)).toEqual(['$ id', 'uid=0(root)']);
  let reported = 0;
  for (let block = 0; block < 200; block++) {
    index.line({ interval: 1, ...out(bulk(600)) }, 4);
    const { lines, dropped } = index.endBlock();
    expect(lines).toHaveLength(2 * THIN_LINES);
    reported += dropped;
  }
  expect(index.finish()).toEqual({ lines: [], marks: [], dropped: thinned + 201 * (600 - 2 * THIN_LINES) - reported });
});
