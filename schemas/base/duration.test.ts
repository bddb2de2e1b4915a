import { expect, test } from 'vitest';
import { formatDuration, parseDuration } from './duration.js';

test.each([
  ['90s', 90_000, '90s'],
  ['30m', 1_800_000, '30m'],
  ['60m', 3_600_000, '1h'],
  ['2h', 7_200_000, '2h'],
  ['7d', 604_800_000, '1w'],
])('%s is %i ms and is formatted as %s', (text, ms, written) => {
  expect(parseDuration(text)).toBe(ms);
  expect(formatDuration(ms)).toBe(written);
});

test.each(['', '0s', '1', 'h', '-1h', '1.5h', '1h30m', ' 1h', '1y', '1000000s'])('%j is not a duration', (text) =>
  expect(parseDuration(text)).toBeNull(),
);
