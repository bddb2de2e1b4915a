import { expect, test } from 'vitest';
import { roleSchema } from '#schemas/role.js';
import type { NodeRecord, SessionAction } from '#schemas/role.js';
import { Access, filtered, requireReading } from './access.js';
import type { Viewer } from './access.js';

const nodes: NodeRecord[] = [{ name: 'web-1', kind: 'openssh', address: 'a:1', labels: { env: 'dev' }, host_keys: [], last_seen_at: null }];
const access = new Access(() => nodes);
const alice = (...roles: object[]): Viewer =>
  access.viewer({
    user: 'alice',
    traits: {},
    roles: roles.map((role, i) => roleSchema.parse({ kind: 'role', name: `r${i}`, view: 'none', ...role })),
  });
const session = (user: string, node = 'web-1') => ({ user, node, login: 'www', kind: 'shell' });
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

test.each<[string, object[], SessionAction, string, string, string]>([
  ['view: all', [{ view: 'all' }], 'view', 'yes', 'yes', 'yes'],
  ['view: own', [{ view: 'own' }], 'export', 'yes', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['view: own is for exactly that name', [{ view: 'own' }], 'list', 'yes', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['view: none', [{}], 'view', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN', 'SESSION_UNKNOWN'],
  ['who may list and no more is told so', [listing], 'view', 'ACCESS_DENIED', 'ACCESS_DENIED', 'ACCESS_DENIED'],
  ['who may list', [listing], 'list', 'yes', 'yes', 'yes'],
  ['by labels; a node that is gone has none', [dev], 'view', 'yes', 'yes', 'SESSION_UNKNOWN'],
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
])('%s', (_claim, roles, action, own, other, gone) => {
  const viewer = alice(...roles);
  expect(
    [session('alice'), session('bob'), session('bob', 'gone')].map((one) => outcome(() => access.require(viewer, action, one))),
  ).toEqual([own, other, gone]);
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
  expect(access.narrow(alice(dev), 'view', 'bob')).toEqual({ kind: 'each', user: 'bob' });
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

test('a filtered page loses no row and shows none twice, whatever the size of pages', async () => {
  const all = Array.from({ length: 100 }, (_, n) => n);
  const page = async (limit: number, cursor: string | undefined) => {
    const from = Number(cursor ?? 0);
    return { rows: all.slice(from, from + limit), next: from + limit < all.length ? String(from + limit) : null };
  };
  for (const limit of [1, 3, 7, 50, 200]) {
    const seen: number[] = [];
    for (let cursor: string | undefined; ;) {
      const { rows, next } = await filtered(limit, cursor, page, (n) => n % 3 === 0);
      expect(rows.length).toBeLessThanOrEqual(limit);
      seen.push(...rows);
      if (next === null) break;
      cursor = next;
    }
    expect(seen).toEqual(all.filter((n) => n % 3 === 0));
  }
});
