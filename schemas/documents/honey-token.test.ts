import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { honeyText, maskedHoney } from './honey-token.js';

describe('honey tokens', () => {
  it('are one line of printable ASCII without surrounding blanks, long enough not to appear by chance', () => {
    for (const good of ['AKIAIOSFODNN7EXAMPLE', '/srv/backup/passwords.kdbx', 'correct horse'])
      expect(honeyText.safeParse(good).success).toBe(true);
    for (const bad of ['short', ' spaced-out', 'two\nlines-of', 'umlaut-ä-text', 'x'.repeat(513)])
      expect(honeyText.safeParse(bad).success, bad).toBe(false);
  });

  it('are never shown beyond six characters', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 8, maxLength: 512, unit: 'grapheme-ascii' }), (text) => {
        const masked = maskedHoney(text);
        expect(masked.length).toBeLessThanOrEqual(7);
        expect(masked.length - 1).toBeLessThanOrEqual(text.length / 2);
      }),
    );
  });
});
