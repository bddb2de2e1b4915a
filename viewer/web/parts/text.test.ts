import { expect, test } from 'vitest';
import { MAX_SHOWN, rangesOf, visible, visiblePieces } from './text.js';

test.each([
  ['plain äöü 漢字 🙂', 'plain äöü 漢字 🙂'],
  ['a\u202egnp.exe', 'a\\u{202e}gnp.exe'],
  ['\u001b[31mred\u0007', '\\e[31mred\\x07'],
  ['a\r\nb\tc\0', 'a\\r\\nb\\tc\\x00'],
  ['zero\u200bwidth\ufeff', 'zero\\u{200b}width\\u{feff}'],
  ['\u2066isolate\u2069', '\\u{2066}isolate\\u{2069}'],
  ['\u009b31m', '\\x9b31m'],
  ['lone \ud800 half', 'lone \\u{d800} half'],
  ['line\u2028end', 'line\\u{2028}end'],
  ['tag \u{e0041}', 'tag \\u{e0041}'],
])('%j shows as %s', (text, shown) => expect(visible(text)).toBe(shown));

test('text is cut, and says so', () => {
  const pieces = visiblePieces('x'.repeat(MAX_SHOWN + 7));
  expect(pieces.at(-1)).toEqual({ kind: 'escape', text: '… 7 more' });
});

test.each<[string, readonly string[], readonly (readonly [number, number])[]]>([
  [
    'sudo rm -rf',
    ['rm', 'sudo'],
    [
      [0, 4],
      [5, 7],
    ],
  ],
  ['SUDO', ['sudo'], [[0, 4]]],
  ['a.b a+b', ['a.b'], [[0, 3]]],
  ['aaa', ['aa'], [[0, 2]]],
  ['x(y', ['('], [[1, 2]]],
  ['anything', [], []],
  ['abc', ['ab', 'bc'], [[0, 3]]],
])('in %j the texts %j are marked', (text, needles, ranges) => expect(rangesOf(text, needles)).toEqual(ranges));
