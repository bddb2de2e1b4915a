import { describe, expect, it } from 'vitest';
import { compileRegex } from './regex.js';

describe('expressions', () => {
  it.each([
    ['a.c', [], 'a\nc', false],
    ['a.c', ['s'], 'a\nc', true],
    ['^c$', [], 'a\nc', false],
    ['^c$', ['m'], 'a\nc', true],
    ['ABC', [], 'abc', false],
    ['ABC', ['i'], 'abc', true],
    ['(?i)ABC', [], 'abc', true],
    ['b', [], 'abc', true],
  ] as const)('%s with flags %j on %j: %s', (text, flags, subject, matches) => {
    expect(compileRegex(text, flags).program.test(subject)).toBe(matches);
  });

  it.each([
    ['(?=a)b', /looks ahead/],
    ['(?<!a)b', /looks ahead or behind/],
    ['(a)\\1', /back to a group/],
    ['a++', /possessive/],
    ['(', /missing closing/],
    ['((a{100}){100}){10}', /repeat/],
    ['(?:abcdefgh){900}', /steps/],
    ['x'.repeat(3_000), /longer/],
    ['a\0b', /NUL/],
  ])('refuses %s', (text, why) => {
    expect(() => compileRegex(text, [])).toThrow(why);
  });

  it('take time in proportion to the text where a matcher that backtracks would not end', () => {
    const { program } = compileRegex('(x+x+)+y', []);
    const began = process.cpuUsage();
    expect(program.test('x'.repeat(32_768))).toBe(false);
    expect(process.cpuUsage(began).user).toBeLessThan(5_000_000);
  });
});
