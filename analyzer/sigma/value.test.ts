import { describe, expect, it } from 'vitest';
import { ANY, ONE, patternOf } from '../predicate/pattern.js';
import { base64Offsets, dashed, encode, parseText, plainText } from './value.js';

describe('texts of rules', () => {
  it.each([
    ['plain', ['plain']],
    ['', []],
    ['a*b?c', ['a', ANY, 'b', ONE, 'c']],
    ['a\\*b', ['a*b']],
    ['a\\?b', ['a?b']],
    ['C:\\Windows\\x', ['C:\\Windows\\x']],
    ['\\\\host\\share', ['\\host\\share']],
    ['a\\\\*', ['a\\', ANY]],
    ['a\\\\\\*', ['a\\*']],
    ['end\\', ['end\\']],
    ['**', [ANY]],
  ])('%s', (text, expected) => {
    expect(parseText(text)).toEqual(expected);
  });

  it('encodings are those of the characters', () => {
    expect(encode('aé', 'utf8').toString('hex')).toBe('61c3a9');
    expect(encode('aé', 'utf16le').toString('hex')).toBe('6100e900');
    expect(encode('aé', 'utf16be').toString('hex')).toBe('006100e9');
    expect(encode('aé', 'utf16').toString('hex')).toBe('fffe6100e900');
  });

  it('of the three offsets of base64 one is wherever the text stands', () => {
    for (const text of ['foo', 'bash -i', '/dev/tcp/', 'x=1;']) {
      for (const before of ['', 'a', 'ab', 'abc', 'abcd']) {
        for (const after of ['', 'z', 'zz', 'zzz']) {
          const whole = Buffer.from(before + text + after).toString('base64');
          expect(
            base64Offsets(Buffer.from(text)).some((part) => whole.includes(part)),
            `${before}|${text}|${after}`,
          ).toBe(true);
        }
      }
    }
  });

  it('windash writes each option in every way, and nothing else', () => {
    const ways = dashed(patternOf(['cmd -a /b x-y']))!.map(plainText);
    expect(ways).toHaveLength(25);
    for (const way of ['cmd -a /b x-y', 'cmd /a /b x-y', 'cmd \u2013a \u2015b x-y']) expect(ways).toContain(way);
    expect(dashed(patternOf(['-a -b -c -d -e']))).toBeUndefined();
    expect(dashed(patternOf([ANY, '-a', ANY]))!).toContainEqual([ANY, '/a', ANY]);
  });
});
