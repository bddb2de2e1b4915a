import { describe, expect, it } from 'vitest';
import { all, always, any, never, not, numberOf, sizeOf, test } from './predicate.js';
import type { Predicate } from './predicate.js';

const a: Predicate<string> = test('a', { kind: 'absent' });
const b: Predicate<string> = test('b', { kind: 'absent' });

describe('predicates', () => {
  it('constants and nested joins of one kind do not stay', () => {
    expect(all([])).toBe(always);
    expect(any([])).toBe(never);
    expect(all([a])).toBe(a);
    expect(all([a, always])).toBe(a);
    expect(all([a, never])).toBe(never);
    expect(any([a, always])).toBe(always);
    expect(any([a, never, b])).toEqual({ kind: 'any', of: [a, b] });
    expect(all([a, all([b, a])])).toEqual({ kind: 'all', of: [a, b, a] });
    expect(all([a, any([b, a])])).toEqual({ kind: 'all', of: [a, { kind: 'any', of: [b, a] }] });
    expect(not(not(a))).toBe(a);
    expect(not(always)).toBe(never);
  });

  it('their size counts every occurrence', () => {
    const both = all([a, b]);
    expect(sizeOf(both)).toBe(3);
    expect(sizeOf(any([not(both), not(both)]))).toBe(9);
  });

  it('a number is what both forms hold exactly', () => {
    expect([numberOf('-12'), numberOf('007'), numberOf('999999999999999')]).toEqual([-12, 7, 999_999_999_999_999]);
    for (const text of ['', '-', '1.5', '1e3', ' 1', '1\n', '9999999999999999', '0x10']) expect(numberOf(text), text).toBeNull();
  });
});
