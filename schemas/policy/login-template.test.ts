import { expect, test } from 'vitest';
import { parseTemplate } from './login-template.js';

const ann = { user: 'ann', traits: { logins: ['a', 'b'], email: ['Ann.B@example.org', 'no address', 'two@at@signs', '@x', 'x@'] } };

test.each([
  ['{user}', ['ann']],
  ['dev-{user}', ['dev-ann']],
  ['{ user }_x', ['ann_x']],
  ['{traits.logins}', ['a', 'b']],
  ['{traits.none}', []],
  ['{traits.toString}', []],
  ['{email.local(traits.email)}', ['ann.b']],
  ['x-{email.local( traits.email )}', ['x-ann.b']],
] as const)('%s', (text, names) => expect(parseTemplate(text)!.expand!(ann)).toEqual(names));

test('text without braces stands for itself', () => expect(parseTemplate('www')).toEqual({ text: 'www', expand: null, reads: null }));

test.each([
  '{',
  '}',
  '{}',
  '{user',
  '{users}',
  '{user}{user}',
  '{{user}}',
  '{traits}',
  '{traits.}',
  '{traits.a b}',
  '{email.local(user)}',
  '{email.domain(traits.email)}',
])('%s is not a template', (text) => expect(parseTemplate(text)).toBeNull());
