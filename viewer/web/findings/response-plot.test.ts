import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Measured, ResponseMonth } from '#schemas/events/response.js';
import { MAX_MONTHS, plotOf, spanText } from './response-plot.js';

const none: Measured = { count: 0, median: null, p90: null };
const monthOf = (n: number, look: Measured): ResponseMonth => ({
  month: Date.UTC(2020, n, 1),
  findings: look.count,
  look,
  lock: none,
  ended: none,
  closed: none,
});
const anyMonths = fc
  .uniqueArray(fc.tuple(fc.nat(40), fc.option(fc.tuple(fc.nat(1e10), fc.nat(1e10)))), { selector: ([n]) => n, maxLength: 30 })
  .map((all) => all.map(([n, pair]) => monthOf(n, pair === null ? none : { count: 1, median: Math.min(...pair), p90: Math.max(...pair) })));

test('every value stands within the plot, a longer one higher, between lines that are in order', () => {
  fc.assert(
    fc.property(anyMonths, (months) => {
      const { columns, marks, share } = plotOf(months, 'look');
      expect(columns.length).toBeLessThanOrEqual(MAX_MONTHS);
      expect(columns.map(({ month }) => month)).toEqual(columns.map(({ month }) => month).sort((a, b) => a - b));
      for (const { month, median } of columns) expect(median).toBe(months.find((one) => one.month === month)?.look.median ?? null);
      expect(marks.length).toBeGreaterThan(1);
      expect(marks.length).toBeLessThanOrEqual(5);
      expect(marks[0]!.share).toBe(0);
      for (const { median, p90 } of columns) {
        if (median === null || p90 === null) continue;
        expect(share(median)).toBeGreaterThanOrEqual(0);
        expect(share(p90)).toBeLessThanOrEqual(1);
        expect(share(p90)).toBeGreaterThanOrEqual(share(median));
      }
    }),
  );
});

test('months without findings keep their place', () => {
  const months = [monthOf(0, { count: 2, median: 60_000, p90: 90_000 }), monthOf(3, { count: 1, median: 1000, p90: 1000 })];
  expect(plotOf(months, 'look').columns.map(({ count }) => count)).toEqual([2, 0, 0, 1]);
  expect(plotOf([], 'look').columns).toEqual([]);
});

test.each([
  [0, '0 s'],
  [400, '0.4 s'],
  [90_000, '1.5 min'],
  [86_400_000, '1 d'],
  [400 * 86_400_000, '1.1 y'],
])('%i ms is %s', (ms, text) => expect(spanText(ms)).toBe(text));
