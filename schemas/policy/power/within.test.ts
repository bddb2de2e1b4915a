import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matchesSelector } from '../compiled.js';
import { matchesPattern } from '../kubernetes.js';
import {
  asksForNodes,
  isTemplate,
  patternWithin,
  patternsWithin,
  readByExpressions,
  readByTemplates,
  readsUser,
  selectorWithin,
} from './within.js';
import { roleSchema } from '../role.js';

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

test('a selector within another selects only nodes that the other selects', () => {
  fc.assert(
    fc.property(selector, selector, node, (inner, outer, one) => {
      if (selectorWithin(inner, outer) && matchesSelector(inner, one)) expect(matchesSelector(outer, one)).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test('a pattern within another matches only names that the other matches', () => {
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
  [{}, { env: 'dev' }, true],
  [{ env: 'dev' }, { name: '*' }, true],
  [{ env: 'dev' }, { name: 'web-1' }, false],
  [{ env: 'dev' }, { team: '*' }, false],
  [{ env: 'dev' }, { '*': 'dev' }, false],
  [{ env: 'dev', team: 'x' }, { env: 'dev', team: 'y' }, false],
  [{ env: '*' }, { env: ['dev', '*'] }, true],
  [{ env: ['dev', '*'] }, { env: 'dev' }, false],
  [{ env: '*' }, { env: 'dev' }, false],
])('%j lies within %j: %s', (inner, outer, within) => expect(selectorWithin(inner, outer)).toBe(within));

test('patterns lie within others where each lies within one of them', () => {
  expect(patternsWithin(['a', 'bc'], ['a', 'b*'])).toBe(true);
  expect(patternsWithin(['a', 'c'], ['a', 'b*'])).toBe(false);
  expect(patternsWithin([], [])).toBe(true);
  expect(patternWithin('a*', 'a')).toBe(false);
  expect(patternWithin('ab*', 'a*')).toBe(true);
});

test('an expression reads its holder where it names any part of user', () => {
  expect(
    ['user.name', 'user.traits.team', 'user.roles'].map((name) =>
      readsUser(name === 'user.name' ? `${name} == 'a'` : `'a' in ${name}`, 'node'),
    ),
  ).toEqual([true, true, true]);
  expect(readsUser("labels.env == 'a'", 'node')).toBe(false);
  expect(readsUser("session.user == 'a'", 'session')).toBe(false);
  expect(readsUser(undefined, 'node')).toBe(false);
});

test('what a role reads of its holder is found wherever it may stand', () => {
  const asks = (n: number): string => `'a' in user.traits.t${n}`;
  const role = roleSchema.parse({
    kind: 'role',
    name: 'r',
    allow: {
      node_expression: asks(1),
      logins: ['{user}', 'www', '{traits.l1}'],
      sessions: [{ actions: ['view'], where: `${asks(2)} && session.login == 'www'` }],
      approve: [{ roles: ['*'], where: asks(3) }],
      request: [{ node_expression: `${asks(4)} && labels.env == 'a'`, logins: ['{traits.l2}'] }],
      kubernetes: [{ users: ['{traits.k1}'], groups: ['g', '{traits.k2}'] }],
    },
    deny: {
      node_expression: asks(5),
      logins: ['{traits.l3}'],
      sessions: [{ actions: ['view'], where: asks(6) }],
      approve: [{ roles: ['*'], where: asks(7) }],
      kubernetes: [{ users: ['{traits.k3}'], groups: ['{traits.k4}'] }],
    },
    watermark: { where: asks(8) },
  });
  expect([...readByExpressions(role)].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => `user.traits.t${n}`));
  expect([...readByTemplates(role)].sort()).toEqual(
    ['user.name', ...['k1', 'k2', 'k3', 'k4', 'l1', 'l2', 'l3'].map((key) => `user.traits.${key}`)].sort(),
  );
  expect(readByExpressions(roleSchema.parse({ kind: 'role', name: 'r', watermark: true })).size).toBe(0);
});

test('a rule asks for nodes by labels or by an expression', () => {
  expect([{ nodes: { env: 'dev' } }, { nodes: {}, node_expression: 'true' }, { nodes: {} }].map(asksForNodes)).toEqual([true, true, false]);
  expect(['{user}', 'x-{traits.a}', 'www', '*'].map(isTemplate)).toEqual([true, true, false, false]);
});
