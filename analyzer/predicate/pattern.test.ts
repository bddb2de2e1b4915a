import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ANY, ONE, fold, longestPiece, matcherOf, patternOf, shapeOf } from './pattern.js';
import type { Pattern } from './pattern.js';

const piece = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('a', 'b', 'ab', 'aab', '😀', '\n', '.') },
  fc.constant(ANY),
  fc.constant(ONE),
);
const patterns = fc.array(piece, { maxLength: 7 }).map((parts) => patternOf(parts as Pattern));
const texts = fc.array(fc.constantFrom('a', 'b', '😀', '\n', '.'), { minLength: 1, maxLength: 9 }).map((parts) => parts.join(''));

/** The equivalent JavaScript expression, which backtracks: for short texts only. */
function oracle(pattern: Pattern): RegExp {
  const body = pattern.map((one) => (one === ANY ? '.*' : one === ONE ? '.' : one.replace(/\./g, '\\.')));
  return new RegExp(`^${body.join('')}$`, 'su');
}

describe('patterns', () => {
  it('match what an expression of the same meaning matches', () => {
    fc.assert(
      fc.property(patterns, texts, (pattern, text) => matcherOf(pattern)(text) === oracle(pattern).test(text)),
      { numRuns: 5_000 },
    );
  });

  it('every match contains the longest piece', () => {
    fc.assert(
      fc.property(patterns, texts, (pattern, text) => {
        const longest = longestPiece(pattern);
        if (longest !== undefined && matcherOf(pattern)(text)) expect(text).toContain(longest);
      }),
    );
  });

  it('take time in proportion to the text, whatever stands between wildcards', () => {
    const pattern = patternOf([...Array.from({ length: 200 }, () => [ANY, 'a'] as const).flat(), 'b']);
    const began = process.cpuUsage();
    expect(matcherOf(pattern)('a'.repeat(32_768))).toBe(false);
    // A backtracking matcher would not finish.
    expect(process.cpuUsage(began).user).toBeLessThan(5_000_000);
  });

  it.each([
    [[], { kind: 'whole', text: '' }],
    [['x'], { kind: 'whole', text: 'x' }],
    [[ANY, ANY], { kind: 'present' }],
    [[ANY, 'x'], { kind: 'endswith', text: 'x' }],
    [['x', 'y', ANY], { kind: 'startswith', text: 'xy' }],
    [[ANY, 'x', '', ANY], { kind: 'contains', text: 'x' }],
    [['x', ANY, 'y'], { kind: 'wild' }],
    [[ONE], { kind: 'wild' }],
  ] as [Pattern, unknown][])('%j has the shape %j', (pieces, shape) => {
    expect(shapeOf(patternOf(pieces))).toEqual(shape);
  });

  it('only A to Z have a case', () => {
    expect(fold('ABCxyzÉİ\u212aẞ')).toBe('abcxyzÉİ\u212aẞ');
    expect(fold('PLAIN')).toBe('plain');
  });
});
