import fc from 'fast-check';
import { expect, test } from 'vitest';
import { responseMeasures, trendOf } from './response.js';
import type { Measured, ResponseMonth } from './response.js';

const none: Measured = { count: 0, median: null, p90: null };
const monthOf = (n: number, look: number | null): ResponseMonth => ({
  month: Date.UTC(2026, n, 1),
  findings: 3,
  ...{ look: look === null ? none : { count: 1, median: look, p90: look }, lock: none, ended: none, closed: none },
});

test.each<[readonly (number | null)[], number | null]>([
  [[], null],
  [[5], null],
  [[10, 5], -0.5],
  [[5, 10], 1],
  [[null, 10, null, 5, null], -0.5],
  [[10, 999, 5], -0.5],
  [[10, 30, 10, 10], -0.5],
  [[0, 5], null],
])('of medians %j the trend is %j', (medians, expected) => {
  const months = medians.map((look, n) => monthOf(n, look));
  expect(trendOf(months, 'look')).toBe(expected);
  expect(trendOf(months.toReversed(), 'look'), 'whatever their order').toBe(expected);
});

test('a measure that gets faster every month has a negative trend, and one without values has none', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 1e9 }), { minLength: 2, maxLength: 24 }), (medians) => {
      const months = medians.toSorted((a, b) => b - a).map((look, n) => monthOf(n, look));
      expect(trendOf(months, 'look')).toBeLessThan(0);
      for (const measure of responseMeasures.filter((one) => one !== 'look')) expect(trendOf(months, measure)).toBeNull();
    }),
  );
});
