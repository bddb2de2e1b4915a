import { expect, test } from 'vitest';
import { EventPlaces, eventPlace, isAfter } from './event-places.js';

test('rows in any order and any number are taken once, in order of position', () => {
  let state = 7;
  const below = (bound: number): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) % bound;
  for (let round = 0; round < 200; round++) {
    const places = new EventPlaces();
    const taken = Array.from({ length: 100 }, () => [below(3), below(40), 'more']).filter((fields) => places.take(fields));
    const sorted = [...taken].sort(([a, b], [c, d]) => Number(a) - Number(c) || Number(b) - Number(d));
    expect(taken).toEqual(sorted);
    expect(new Set(taken.map(([block, index]) => `${block}.${index}`)).size).toBe(taken.length);
    // Resent from the start, nothing is taken a second time; a later row is.
    expect(taken.some((fields) => places.take(fields))).toBe(false);
    expect(places.take([places.last!.block, places.last!.index + 1])).toBe(true);
  }
});

test.each([[[]], [[1]], [['1', 2]], [[1, -1]], [[1, 0.5]], [[1, 2 ** 32]], [[null, 0]], [[Number.NaN, 0]]])(
  '%j is not a position',
  (fields) => {
    expect(eventPlace(fields)).toBeNull();
    expect(new EventPlaces().take(fields)).toBe(false);
  },
);

test('the number of the file counts before the index', () => {
  expect(isAfter({ block: 2, index: 0 }, { block: 1, index: 9 })).toBe(true);
  expect(isAfter({ block: 1, index: 9 }, { block: 2, index: 0 })).toBe(false);
  expect(isAfter({ block: 1, index: 1 }, { block: 1, index: 1 })).toBe(false);
});
