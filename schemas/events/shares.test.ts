import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sessionId } from '../recording/line.js';
import { SHARES, allShares, formatShares, parseShares, shareOf } from './shares.js';

test('every set of shares is read as it was written', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 0, max: SHARES - 1 })), (shares) => {
      const text = formatShares(new Set(shares));
      expect(text).toMatch(/^[0-9a-f]{16}$/);
      expect([...parseShares(text)!]).toEqual([...shares].sort((a, b) => a - b));
    }),
  );
  expect(formatShares(allShares)).toBe('f'.repeat(16));
});

test.each(['', 'f', 'F'.repeat(16), 'g'.repeat(16), 'f'.repeat(17), `0x${'f'.repeat(14)}`])('%o is no set of shares', (text) => {
  expect(parseShares(text)).toBeNull();
});

test('the share of an id does not change between versions', () => {
  expect(shareOf('')).toBe(0x811c9dc5 % SHARES);
  // The published vectors of FNV-1a for "a" and "foobar".
  expect(shareOf('a')).toBe(0xe40c292c % SHARES);
  expect(shareOf('foobar')).toBe(0xbf9cf968 % SHARES);
});

test('sessions that begin one after another are spread evenly', () => {
  const counts = new Array<number>(SHARES).fill(0);
  const each = 200;
  for (let i = 0; i < SHARES * each; i += 1) {
    const bytes = new Uint8Array(10);
    new DataView(bytes.buffer).setUint32(6, i);
    counts[shareOf(sessionId(1_790_000_000_000 + i * 37, bytes))]! += 1;
  }
  // Five standard deviations.
  for (const count of counts) expect(Math.abs(count - each)).toBeLessThan(5 * Math.sqrt(each));
});
