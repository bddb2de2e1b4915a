import { describe, expect, test } from 'vitest';
import { implied, requiredPiece, splitWords } from './text-match.js';

describe('the longest piece that every match of an expression contains', () => {
  test.each([
    ['plain text', 'plain text'],
    ['getserv[a-z]+name', 'getserv'],
    ['a.*longer', 'longer'],
    ['colou?r of it', 'r of it'],
    ['abcd+ef', 'abc'],
    ['abcd{0}ef', 'abc'],
    ['abcd{2,3}efg h', 'efg h'],
    ['abc*', undefined],
    ['one|two', undefined],
    ['(one|two)three', 'three'],
    ['(?:optional)?always', 'always'],
    ['(unbalanced [)] paren)tail', 'tail'],
    ['(a(b|c)d)outside', 'outside'],
    ['[]abc]rest', 'rest'],
    ['[^]abc]rest', 'rest'],
    ['[[:alpha:]]rest', 'rest'],
    ['[a\\]b]rest', 'rest'],
    ['/etc/shadow\\.bak', '/etc/shadow.bak'],
    ['\\/etc\\/passwd', '/etc/passwd'],
    ['\\d+ errors', ' errors'],
    ['before\\x41bcdef', 'before'],
    ['\\Qa|b\\E', undefined],
    ['(\\Q)always\\E)?', undefined],
    ['before\\x41|after', undefined],
    ['before{x|after', undefined],
    ['before{2,}after', 'befor'],
    ['(?s)abc.def', undefined],
    ['(?i:abc)def', undefined],
    ['^start$', 'start'],
    ['ab', undefined],
    ['', undefined],
    ['tail\\', 'tail'],
    ['日本語*の', undefined],
    ['日本語です', '日本語です'],
  ])('%s: %s', (expression, expected) => {
    expect(requiredPiece(expression)).toBe(expected);
  });

  test('occurs in every match of a thousand random expressions', () => {
    let seed = 7;
    const random = (n: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % n;
    };
    const parts = ['abc', 'bca', 'x', 'a?', 'b*', 'c+', 'a{0,2}', '(ab|bc)', '(?:abc)?', '[abc]', '[^x]', '.', '\\.', '\\w', '|', '^'];
    for (let i = 0; i < 1000; i += 1) {
      const expression = Array.from({ length: 1 + random(6) }, () => parts[random(parts.length)]).join('');
      const piece = requiredPiece(expression);
      if (piece === undefined) continue;
      const compiled = new RegExp(expression);
      for (let j = 0; j < 50; j += 1) {
        const text = Array.from({ length: random(14) }, () => 'abcx.'[random(5)]).join('');
        if (compiled.test(text)) expect(text.includes(piece), `${expression} matches ${text} without ${piece}`).toBe(true);
      }
    }
  });
});

describe('words that a substring implies', () => {
  test.each([
    ['/etc/shadow', { whole: ['etc'], part: 'shadow' }],
    ['shadow', { whole: [], part: 'shadow' }],
    ['sha', { whole: [], part: undefined }],
    ['longer than short', { whole: ['than'], part: 'longer' }],
    [' bounded ', { whole: ['bounded'], part: undefined }],
    ['->', { whole: [], part: undefined }],
    ['a_b', { whole: [], part: undefined }],
  ])('%s', (needle, expected) => {
    expect(implied(needle)).toEqual(expected);
  });

  test('words are runs of letters, marks and digits, in lower case', () => {
    expect(splitWords('│SUDO rm│ Größe_2 --x')).toEqual(['sudo', 'rm', 'größe', '2', 'x']);
  });
});
