import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { characters, displayWidth, fitted } from './width.js';

test.each([
  ['', 0],
  ['web-1', 5],
  ['日本', 4],
  ['ﾊﾝｶｸ', 4],
  ['naïve', 5],
  ['nai\u0308ve', 5],
  ['한국', 4],
  ['👍', 2],
  ['👩‍👩‍👧', 2],
  ['🇩🇪', 2],
  ['© ™ ↔', 5],
] as const)('%s takes %i cells', (text, width) => expect(displayWidth(text)).toBe(width));

it('cuts between characters, and what is cut fits with its ellipsis', () => {
  expect(fitted('日本語', 6)).toBe('日本語');
  expect(fitted('日本語', 5)).toBe('日本…');
  expect(fitted('日本語', 4)).toBe('日…');
  expect(fitted('ab👩‍👩‍👧c', 4)).toBe('ab…');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.integer({ min: 1, max: 30 }), (text, room) => {
      const cut = fitted(text, room);
      expect(displayWidth(cut)).toBeLessThanOrEqual(room);
      expect(cut === text || text.startsWith(cut.slice(0, -1))).toBe(true);
    }),
  );
});

it('the characters of a text are the text, and as wide', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const all = [...characters(text)];
      expect(all.map(({ char }) => char).join('')).toBe(text);
      expect(all.reduce((sum, { width }) => sum + width, 0)).toBe(displayWidth(text));
    }),
  );
});
