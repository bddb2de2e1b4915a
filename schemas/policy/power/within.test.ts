import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matchesSelector } from '../compiled.js';
import { matchesPattern } from '../kubernetes.js';
import { patternWithin, selectorWithin } from './within.js';

const value = fc.constantFrom('a', 'b', 'c', '*');
const selector = fc.dictionary(
  fc.constantFrom('env', 'team', 'name', '*'),
  fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 2 })),
  { maxKeys: 3 },
);
const node = fc.record({
  name: fc.constantFrom('a', 'b', 'n'),
  labels: fc.dictionary(fc.constantFrom('env', 'team'), fc.constantFrom('a', 'b', 'c')),
});

test('a selector that is said to lie within another selects no node that the other does not', () => {
  fc.assert(
    fc.property(selector, selector, node, (inner, outer, one) => {
      if (selectorWithin(inner, outer) && matchesSelector(inner, one)) expect(matchesSelector(outer, one)).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test('a pattern that is said to lie within another matches no name that the other does not', () => {
  const pattern = fc.constantFrom('*', 'a', 'ab', 'a*', 'ab*', 'b*', 'abc');
  fc.assert(
    fc.property(pattern, pattern, fc.constantFrom('a', 'ab', 'abc', 'b', 'ba'), (inner, outer, name) => {
      if (patternWithin(inner, outer) && matchesPattern(inner, name)) expect(matchesPattern(outer, name)).toBe(true);
    }),
  );
});

test.each([
  [{ env: 'dev' }, { env: ['dev', 'stage'] }, true],
  [{ env: 'dev', team: 'x' }, { env: '*' }, true],
  [{ env: 'dev' }, { '*': '*' }, true],
  [{ env: ['dev', 'prod'] }, { env: 'dev' }, false],
  [{ '*': '*' }, { env: '*' }, false],
  [{ env: 'dev' }, {}, false],
  [{}, {}, true],
])('%j lies within %j: %s', (inner, outer, within) => expect(selectorWithin(inner, outer)).toBe(within));
