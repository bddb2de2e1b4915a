import { expect, test } from 'vitest';
import { maySee, narrow, requireAll } from './access.js';
import type { View } from './access.js';

const viewer = (view: View) => ({ user: 'alice', roles: [], view });

test.each([
  ['all', 'alice', true], ['all', 'bob', true], ['own', 'alice', true], ['own', 'bob', false], ['own', 'Alice', false], ['own', '', false], ['none', 'alice', false], ['none', 'bob', false],
] as const)('view %s of a session of %s: %s', (view, owner, expected) => {
  expect(maySee(viewer(view), owner)).toBe(expected);
});

test.each([
  ['all', undefined, { kind: 'any' }], ['all', 'bob', { kind: 'user', user: 'bob' }], ['own', undefined, { kind: 'user', user: 'alice' }],
  ['own', 'alice', { kind: 'user', user: 'alice' }], ['own', 'bob', { kind: 'nobody' }],
] as const)('view %s asking for %s', (view, wanted, expected) => {
  expect(narrow(viewer(view), wanted)).toEqual(expected);
});

test('who may see nothing is told so', () => {
  expect(() => narrow(viewer('none'), undefined)).toThrow(/your roles/);
  expect(() => narrow(viewer('none'), 'alice')).toThrow(/your roles/);
});

test('what belongs to no single user needs view all', () => {
  expect(() => requireAll(viewer('own'), 'the audit log')).toThrow(/view: all/);
  requireAll(viewer('all'), 'the audit log');
});
