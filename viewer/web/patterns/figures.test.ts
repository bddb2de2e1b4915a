import { expect, test } from 'vitest';
import { hourGrid, liftText, shareText } from './figures.js';

test('the week is seven days of 24 hours, each at its level', () => {
  const { cells, busiest } = hourGrid([
    { day: 1, hour: 0, sessions: 1, incidents: 0 },
    { day: 7, hour: 23, sessions: 8, incidents: 2 },
  ]);
  expect([cells.length, cells[0]!.length, busiest]).toEqual([7, 24, 8]);
  expect(cells[0]![0]).toEqual({ sessions: 1, incidents: 0, level: 1 });
  expect(cells[6]![23]).toEqual({ sessions: 8, incidents: 2, level: 4 });
  expect(cells[3]![3]!.level).toBe(0);
  expect(hourGrid([]).busiest).toBe(0);
});

test.each([
  [0.1, 5, 'less often than elsewhere'],
  [1, 5, 'as often as elsewhere'],
  [2.04, 5, '2.0 times as often'],
  [40.4, 5, '40 times as often'],
  [40.4, 4, 'too few to tell'],
])('a lift of %d over %d other sessions is said as %s', (lift, compared, text) => expect(liftText(lift, compared)).toBe(text));

test.each([
  [{ sessions: 4, incidents: 4 }, 'too few to tell'],
  [{ sessions: 10, incidents: 5 }, '5.0 times the average'],
  [{ sessions: 10, incidents: 1 }, 'average'],
  [{ sessions: 100, incidents: 1 }, 'below average'],
])('of %j it is said: %s', (node, text) => expect(shareText(node, { sessions: 100, incidents: 10 })).toBe(text));
