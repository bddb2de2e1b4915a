import { expect, test } from 'vitest';
import { decodeOpening, encodeOpening, firstSegment, lastAtOrBefore, momentOf, openingPath } from './opening.js';
import type { SessionOpening } from './opening.js';

const segments = [{ start: 0 }, { start: 10 }, { start: 20 }];

test.each([
  [0, 0],
  [9, 0],
  [10, 1],
  [25, 2],
  [99, 2],
  [-1, 0],
])('the segment of %d', (value, expected) => {
  expect(lastAtOrBefore(3, (i) => segments[i]!.start, value)).toBe(expected);
});

test.each([
  [false, null, 0],
  [true, null, 2],
  [true, 12, 1],
  [false, 999, 2],
] as const)('live %s, at %s: segment %d is shown first', (live, at, expected) => {
  expect(firstSegment(segments, live, at)).toBe(expected);
});

test('without stored segments, none is shown first', () => expect(firstSegment([], true, 5)).toBeNull());

test.each([
  [null, null],
  ['', null],
  ['12', 12],
  ['1.5', null],
  ['-1', null],
  ['9999999999999', null],
  ['1e3', null],
])('t=%s names the moment %s', (t, expected) => {
  expect(momentOf(t)).toBe(expected);
});

test('the address contains the moment only if there is one', () => {
  expect([openingPath('x', null), openingPath('x', 0)]).toEqual(['/api/sessions/x/opening', '/api/sessions/x/opening?at=0']);
});

test.each(['', '[1,"o","a\\n"]\n[0,"o","\u20ac"]\n'])('lines are read back unchanged: %j', (lines) => {
  const opening = { me: { user: 'line\nfeed' }, session: {}, index: { segments }, first: 1 } as unknown as SessionOpening;
  expect(decodeOpening(new TextDecoder().decode(encodeOpening(opening, new TextEncoder().encode(lines))))).toEqual({ opening, lines });
});
