import { Environment } from '@marcbachmann/cel-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileExpression, ExpressionError } from './label-expression.js';
import type { ExpressionSubject, Scope } from './label-expression.js';
import type { Truth } from './session-condition.js';

const scope: Scope = {
  user: { name: 'ann', roles: ['dev', 'ops'], traits: { team: ['shop', 'pay'], 'https://x/y': ['z'] } },
  labels: { env: 'dev', team: 'shop', 'team/zone': 'a', constructor_: 'x' },
  node: { name: 'web-1' },
  session: { user: 'bob', node: 'web-1', login: 'root', kind: 'shell' },
  request: { user: 'bob', roles: ['dba'], nodes: [] },
};
const ask = (text: string, about: ExpressionSubject = 'node'): Truth => compileExpression(text, about).evaluate(scope);

test.each<[string, Truth]>([
  ["labels.env in ['dev', 'stage'] && user.traits.team.exists(t, t == labels.team)", true],
  ['labels[\'team/zone\'] == "a"', true],
  ["user.traits['https://x/y'].exists(v, v == 'z')", true],
  ['user.traits.nothing.exists(t, true)', false],
  ['user.traits.nothing.all(t, false)', true],
  ["!(labels.env == 'prod')", true],
  ["'env' in labels && !('zone' in labels)", true],
  ['has(labels.env) && !has(labels.zone)', true],
  ["node.name.startsWith('web-') && node.name.endsWith('1') && node.name.contains('b-')", true],
  ["'dev' in user.roles", true],
  ["labels.zone == 'a'", undefined],
  ["labels.zone != 'a'", undefined],
  ["!(labels.zone == 'a')", undefined],
  ["labels.zone == 'a' || labels.env == 'dev'", true],
  ["labels.zone == 'a' && labels.env == 'prod'", false],
  ["labels.zone == 'a' && labels.env == 'dev'", undefined],
  ["has(labels.constructor) || 'toString' in labels", false],
  ["'it\\'s' == \"it's\"", true],
  ['true != false', true],
])('%s is %s', (text, truth) => expect(ask(text)).toBe(truth));

test.each<[ExpressionSubject, string, boolean]>([
  ['session', "session.user == 'bob' && session.login == 'root'", true],
  ['session', "labels.env == 'dev' && session.kind != 'sftp'", true],
  ['request', "request.user != user.name && 'dba' in request.roles", true],
  ['request', "request.nodes.exists(n, n == 'x')", false],
])('about a %s: %s', (about, text, truth) => expect(ask(text, about)).toBe(truth));

describe('anything else is refused, with its position', () => {
  test.each<[string, number]>([
    ['', 0],
    ['labels.', 7],
    ['labels[', 7],
    ['user.traits.', 0],
    ["'a'.", 4],
    ['has(', 4],
    ['user.roles.exists(', 18],
    ['labels.env', 0],
    ["labels.env = 'x'", 11],
    ["labels.env == 'x", 14],
    ["labels.env == 'x' labels", 18],
    ["user.__proto__ == 'x'", 0],
    ['user.constructor', 0],
    ["session.user == 'x'", 0],
    ["globalThis == 'x'", 0],
    ["labels.env.matches('(a+)+$')", 11],
    ['labels.env.exists(t, true)', 11],
    ['user.traits.team.exists(t, user.traits.team.exists(s, s == t))', 44],
    ['user.traits.team.exists(labels, true)', 24],
    ['1 == 1', 0],
    ["'a' == ['a']", 7],
    ["labels == 'x'", 10],
    ["'a' in 'abc'", 7],
    ['!labels.env', 1],
    ['has(user.name)', 4],
    ["labels[env] == 'x'", 7],
    ["'a\\nb' == 'x'", 0],
    [`${'!'.repeat(40)}true`, 25],
    [`${'('.repeat(40)}true`, 24],
    ["labels.env == 'x' ".repeat(80), 1024],
    ["'a' == 'a' && ".repeat(60) + 'true', 588],
    [`'a' in [${"'a',".repeat(70)}'b']`, 7],
  ])('%s', (text, at) => {
    try {
      compileExpression(text, 'node');
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ExpressionError);
      expect((error as ExpressionError).at).toBe(at);
    }
  });

  test('any text compiles or gives a reason', () => {
    const word = fc.constantFrom(
      'labels',
      '.',
      'env',
      '==',
      "'dev'",
      '(',
      ')',
      '&&',
      '||',
      '!',
      'in',
      '[',
      ']',
      ',',
      'user',
      'traits',
      'exists',
      't',
      'has',
      'true',
      ' ',
      '__proto__',
      '\\',
      '"',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(word, { maxLength: 30 }).map((words) => words.join('')),
          fc.string({ unit: 'binary', maxLength: 60 }),
        ),
        (text) => {
          try {
            expect([true, false, undefined]).toContain(ask(text));
          } catch (error) {
            expect(error).toBeInstanceOf(ExpressionError);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});

test('the values that a label must have are known beforehand', () => {
  expect(compileExpression("labels.env in ['dev', 'stage'] && 'shop' == labels.team && labels.x != 'y'", 'node').needs).toEqual([
    { label: 'env', values: ['dev', 'stage'] },
    { label: 'team', values: ['shop'] },
  ]);
  expect(compileExpression("labels.env == 'dev' || labels.team == 'shop'", 'node').needs).toEqual([]);
  expect(compileExpression("!(labels.env == 'dev')", 'node').needs).toEqual([]);
});

test('an expression means the same as in CEL, where unknown is an error', () => {
  const cel = new Environment()
    .registerVariable('labels', 'map<string, string>')
    .registerVariable('user', 'map<string, dyn>')
    .registerVariable('node', 'map<string, string>');
  const text = fc.constantFrom("'dev'", "'shop'", "'ops'", "'web-1'", 'labels.env', 'labels.team', 'labels.zone', 'node.name', 'user.name');
  const list = fc.oneof(
    fc.constantFrom('user.roles', 'user.traits.team'),
    fc.array(fc.constantFrom("'dev'", "'shop'", "'x'"), { minLength: 1, maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
  );
  const { whole } = fc.letrec<{ whole: string; leaf: string }>((tie) => ({
    leaf: fc.oneof(
      fc.tuple(text, fc.constantFrom('==', '!='), text).map((parts) => parts.join(' ')),
      fc.tuple(text, list).map(([a, b]) => `${a} in ${b}`),
      fc.tuple(text, fc.constantFrom('contains', 'startsWith', 'endsWith'), text).map(([a, call, b]) => `${a}.${call}(${b})`),
      fc.tuple(list, fc.constantFrom('exists', 'all'), text).map(([all, call, b]) => `${all}.${call}(t, t == ${b})`),
      fc.constantFrom('true', 'false', 'has(labels.env)', 'has(labels.zone)', "'zone' in labels"),
    ),
    whole: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      tie('leaf'),
      fc.tuple(tie('whole'), fc.constantFrom('&&', '||'), tie('whole')).map(([a, op, b]) => `(${a} ${op} ${b})`),
      tie('whole').map((a) => `!(${a})`),
    ),
  }));
  fc.assert(
    fc.property(whole, (expression) => {
      let expected: Truth;
      try {
        expected = cel.evaluate(expression, { labels: scope.labels, user: scope.user, node: scope.node }) as boolean;
      } catch {
        expected = undefined;
      }
      expect(ask(expression)).toBe(expected);
    }),
    { numRuns: 800 },
  );
});
