import fc from 'fast-check';
import { expect, test } from 'vitest';
import { suppresses, suppressionScope } from './suppression.js';

const finding = { rule: 'r', user: 'ann', node: 'web-1', login: 'root', session: '', reason: 'cat (pid 7) read /etc/shadow' };

test.each<[string, object, boolean]>([
  ['the rule alone', { rule: 'r' }, true],
  ['everything that is named', { rule: 'r', user: 'ann', node: 'web-1', login: 'root' }, true],
  ['another user', { rule: 'r', user: 'bob' }, false],
  ['a part of the reason', { text: '/etc/shadow' }, true],
  ['a pattern for the whole reason', { text: 'cat (pid *) read *shadow' }, true],
  ['a pattern that ends too soon', { text: 'cat (pid *) read' }, false],
  ['a pattern whose parts would overlap', { text: 'cat (pid 7) read /etc/shadow*shadow' }, false],
  ['another case', { text: 'CAT' }, false],
])('%s', (_, scope, expected) => expect(suppresses(suppressionScope.parse(scope), finding)).toBe(expected));

test.each<[string, object]>([
  ['nothing', {}],
  ['a text that matches everything', { text: '***' }],
  ['a text of two letters', { text: 'ab' }],
  ['an invalid session id', { session: 'x' }],
  ['an unknown field', { rule: 'r', role: 'x' }],
])('%s is refused', (_, scope) => expect(suppressionScope.safeParse(scope).success).toBe(false));

test('a pattern matches like the equivalent regular expression with .*, for any text', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.', '\n'), minLength: 3, maxLength: 8 });
  const texts = fc.string({ unit: fc.constantFrom('a', 'b', '.', '\n'), maxLength: 12 });
  fc.assert(
    fc.property(letters, texts, (text, reason) => {
      fc.pre(/[^*\s]/.test(text));
      const parts = text.split('*').map((part) => part.replace(/[.]/g, '\\.'));
      const expression = parts.length === 1 ? new RegExp(parts[0]!, 's') : new RegExp(`^${parts.join('.*')}$`, 's');
      expect(suppresses({ text }, { ...finding, reason })).toBe(expression.test(reason));
    }),
  );
});
