import { expect, test } from 'vitest';
import { holds } from '#schemas/policy/session-condition.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { SessionAction } from '#schemas/policy/role.js';
import { Access, requireReading } from './access.js';
import type { Viewer } from './access.js';

const access = new Access(() => ({}));
const alice = (...roles: object[]): Viewer =>
  access.viewer({
    user: 'alice',
    traits: {},
    roles: roles.map((role, i) => roleSchema.parse({ kind: 'role', name: `r${i}`, view: 'none', ...role })),
  });
const session = (user: string, labelled = true) => ({
  user,
  node: 'web-1',
  login: 'www',
  kind: 'shell',
  labels: labelled ? { env: 'dev' } : {},
  labels_known: labelled,
});
const listing = { allow: { sessions: [{ actions: ['list'] }] } };
const dev = { allow: { sessions: [{ actions: ['list', 'view'], where: "labels.env == 'dev'" }] } };

function outcome(run: () => void): string {
  try {
    run();
    return 'yes';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test('whose account was in other hands sees as their own what is from then on', () => {
  const later = new Access(() => ({ alice: 1_000 })).viewer({
    user: 'alice',
    traits: {},
    roles: [roleSchema.parse({ kind: 'role', name: 'r', view: 'own' })],
  });
  expect(access.narrow(later, 'view', undefined)).toMatchObject({ kind: 'each', user: undefined });
  expect([999, 1_000].map((started_at) => access.may(later, 'view', { ...session('alice'), started_at }))).toEqual([false, true]);
});

test.each<[string, object[], SessionAction, string, string, string]>([
  ['view: all', [{ view: 'all' }], 'view', 'yes', 'yes', 'yes'],
  ['view: own', [{ view: 'own' }], 'export', 'yes', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['view: own is for exactly that name', [{ view: 'own' }], 'list', 'yes', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['view: none', [{}], 'view', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['who may list and no more is told so', [listing], 'view', 'ACCESS_DENIED', 'ACCESS_DENIED', 'ACCESS_DENIED'],
  ['who may list', [listing], 'list', 'yes', 'yes', 'yes'],
  ['by labels; of a recording that does not say them none is known', [dev], 'view', 'yes', 'yes', 'SESSION_UNKNOWN'],
  ['no export for who may view', [dev], 'export', 'ACCESS_DENIED', 'ACCESS_DENIED', 'SESSION_UNKNOWN'],
  [
    'a denial of exports',
    [{ view: 'all', deny: { sessions: [{ actions: ['export'] }] } }],
    'export',
    'ACCESS_DENIED',
    'ACCESS_DENIED',
    'ACCESS_DENIED',
  ],
  [
    'a denial of everything',
    [{ view: 'all', deny: { sessions: [{ actions: ['*'] }] } }],
    'view',
    'SESSION_UNKNOWN',
    'SESSION_UNKNOWN',
    'SESSION_UNKNOWN',
  ],
])('%s', (_claim, roles, action, own, other, unknown) => {
  const viewer = alice(...roles);
  expect(
    [session('alice'), session('bob'), session('bob', false)].map((one) => outcome(() => access.require(viewer, action, one))),
  ).toEqual([own, other, unknown]);
});

test.each([
  ['all', undefined, { kind: 'any' }],
  ['all', 'bob', { kind: 'user', user: 'bob' }],
  ['own', undefined, { kind: 'user', user: 'alice' }],
  ['own', 'alice', { kind: 'user', user: 'alice' }],
  ['own', 'bob', { kind: 'nobody' }],
] as const)('view %s asking for %s', (view, wanted, expected) => {
  expect(access.narrow(alice({ view }), 'list', wanted)).toEqual(expected);
});

test('rules that have to be asked of each session do not widen what was wanted', () => {
  expect(access.narrow(alice(dev), 'view', 'bob')).toMatchObject({ kind: 'each', user: 'bob' });
});

test('who may see nothing is told so', () => {
  expect(() => access.narrow(alice({}), 'list', undefined)).toThrow(/your roles/);
  expect(() => access.narrow(alice(listing), 'view', 'alice')).toThrow(/view recordings/);
});

test.each<[string, object, boolean]>([
  ['view: own', { view: 'own' }, false],
  ['view: all', { view: 'all' }, true],
  ['a rule', { allow: { rules: [{ resources: ['audit'], verbs: ['read'] }] } }, true],
  ['a denial', { view: 'all', administer: true, deny: { rules: [{ resources: ['audit'], verbs: ['read'] }] } }, false],
])('the audit log by %s', (_claim, role, allowed) => {
  expect(outcome(() => requireReading(alice(role), 'audit'))).toBe(allowed ? 'yes' : 'ACCESS_DENIED');
});

test('counts and queries carry a condition unless everything may be seen', () => {
  expect(access.visible(alice({ view: 'all' }), 'list')).toBeUndefined();
  const dev = { allow: { sessions: [{ actions: ['list'], where: "labels.env == 'dev'" }] } };
  for (const role of [{}, { view: 'own' }, dev]) {
    const viewer = alice(role);
    const visible = access.visible(viewer, 'list')!;
    for (const one of [session('alice'), session('bob'), session('bob', false)]) {
      expect(holds(visible, { ...one, labels: one.labels_known ? one.labels : null })).toBe(access.may(viewer, 'list', one));
    }
  }
});
