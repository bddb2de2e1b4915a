import { expect, test } from 'vitest';
import { watermarkSvg, watermarkText, watermarkTile } from './watermark.js';

const mark = { viewer: 'alice', at: Date.UTC(2026, 4, 3, 9, 30, 59) };

test('a watermark names the viewer and the time', () => {
  expect(watermarkText(mark)).toBe('alice, 2026-05-03 09:30 UTC');
});

test('repetitions of long names do not overlap', () => {
  expect(watermarkTile('a'.repeat(64)).width).toBeGreaterThan(64 * 8);
});

test('the watermark is drawn light and dark, over the whole drawing, and escaped', () => {
  const svg = watermarkSvg('a<b', { width: 10, height: '100%' }, (text) => text.replace('<', '&lt;'));
  expect(svg).not.toContain('a<b');
  expect([...svg.matchAll(/fill="#(?:000000|ffffff)" fill-opacity="0\.\d+">a&lt;b</g)]).toHaveLength(2);
  expect(svg).toContain('<rect width="10" height="100%" fill="url(#watermark)"/>');
});
