import { expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import { PlainIndex } from './plain-index.js';

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
    'the two streams apart',
    [to('stdout'), out('ou'), to('stderr'), out('err\n'), to('stdout'), out('t\n')],
    [
      [0, 'err'],
      [1, 'out'],
    ],
  ],
  ['text without its colours and titles', [out('\x1b[1;31mred\x1b[0m \x1b]0;title\x07end\x1b(B\n')], [[0, 'red end']]],
  ['a progress bar by its end', [out('\r10% of it\r20% of it\r30% of it\n')], [[0, '30% of it']]],
  [
    'lines with carriage returns',
    [out('one\r\ntwo\r\n')],
    [
      [0, 'one'],
      [1, 'two'],
    ],
  ],
  ['what has no newline at the end', [out('last')], [[0, 'last']]],
  [
    'a line without end, cut',
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
