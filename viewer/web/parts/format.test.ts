import { expect, test } from 'vitest';
import { bytes, clock, clockWithin, duration } from './format.js';

test.each([
  [0, '0:00'],
  [61_000, '1:01'],
  [3_600_000, '1:00:00'],
  [86_399_999, '23:59:59'],
  [-5, '0:00'],
])('clock of %d', (ms, text) => expect(clock(ms)).toBe(text));

test.each([
  [430, 900, '0:00.43'],
  [0, 900, '0:00.00'],
  [1_999, 1_999, '0:01.99'],
  [430, 2_000, '0:00'],
  [61_430, 90_000, '1:01'],
])('clock of %d within %d', (ms, whole, text) => expect(clockWithin(ms, whole)).toBe(text));
test.each([
  [480, '480 ms'],
  [12_400, '12 s'],
  [60_000, '1 min'],
  [242_000, '4 min 2 s'],
  [11_520_000, '3 h 12 min'],
  [86_400_000, '24 h'],
])('duration of %d', (ms, text) => expect(duration(ms)).toBe(text));
test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [48_213_441, '46 MiB'],
  [1024 ** 3 * 2.5, '2.5 GiB'],
])('bytes of %d', (n, text) => expect(bytes(n)).toBe(text));
