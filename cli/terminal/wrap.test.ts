import fc from 'fast-check';
import { expect, it } from 'vitest';
import { displayWidth } from './width.js';
import { wrap } from './wrap.js';

const colour = /\u001b\[[0-9;]*m/g;
const plain = (text: string): string => text.replace(colour, '');

it('goes on below, in the same colour', () => {
  expect(wrap(`${'a'.repeat(15)}\u001b[31m${'b'.repeat(9)}\u001b[0mc`, 20)).toEqual([
    `${'a'.repeat(15)}\u001b[31mbbbbb\u001b[0m`,
    '\u001b[31mbbbb\u001b[0mc',
  ]);
});

it('leaves out nothing, and no line is wider than asked', () => {
  const part = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 40 }), fc.constantFrom('\u001b[31m', '\u001b[0m', '漢字', '\u001b[1m'));
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), fc.integer({ min: 16, max: 60 }), (parts, width) => {
      const text = parts.join('');
      const lines = wrap(text, width);
      expect(lines.map(plain).join('')).toBe(plain(text));
      for (const line of lines) expect(line.split(colour).reduce((sum, part) => sum + displayWidth(part), 0)).toBeLessThanOrEqual(width);
    }),
  );
});

it('leaves a line whole where there is no room to speak of', () => expect(wrap('a'.repeat(40), 3)).toEqual(['a'.repeat(40)]));
