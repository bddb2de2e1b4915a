import { describe, expect, test } from 'vitest';
import { describeItem, rolesOfGrant, scopeOfItems, standing, stateAt } from './access-request.js';
import type { GrantItem, RequestState } from './access-request.js';
import { decide } from '../policy/node.js';
import { roleSchema } from '../policy/role.js';
import type { Role } from '../policy/role.js';

const role = (name: string, more: object = {}): Role => roleSchema.parse({ kind: 'role', name, ...more });
const nodes = [
  { name: 'web-1', labels: { env: 'prod' } },
  { name: 'web-2', labels: { env: 'prod' } },
  { name: 'lab', labels: { env: 'dev' } },
];
const known = [
  role('prod', {
    allow: {
      nodes: { env: 'prod' },
      logins: ['deploy'],
      sessions: [{ actions: ['view'] }],
      rules: [{ resources: ['*'], verbs: ['*'] }],
      approve: [{ roles: ['*'] }],
    },
    view: 'all',
    administer: true,
  }),
  role('named', { allow: { nodes: { name: ['web-1', 'lab'] }, logins: ['deploy'] } }),
  role('by-expression', { allow: { node_expression: "labels.env == 'prod'", logins: ['deploy'] } }),
  role('no-nodes', { allow: { logins: ['deploy'] } }),
  role('strict', { allow: { nodes: { '*': '*' }, logins: ['*'] }, deny: { logins: ['root'] } }),
];

/** The `login@node` pairs that a grant of these items allows. */
function reach(items: readonly GrantItem[], logins: readonly string[] = ['deploy', 'root']): readonly string[] {
  const roles = rolesOfGrant({ items }, known)!;
  return nodes.flatMap((node) =>
    logins.filter((login) => decide({ user: 'ann', traits: {}, roles }, node, login).allowed).map((login) => `${login}@${node.name}`),
  );
}

describe('a grant reaches', () => {
  const cases: readonly (readonly [string, GrantItem, readonly string[]])[] = [
    ['everything that the role does', { kind: 'role', role: 'prod' }, ['deploy@web-1', 'deploy@web-2']],
    ['for a narrowed role, the nodes that it names', { kind: 'narrowed', role: 'prod', nodes: ['web-2'] }, ['deploy@web-2']],
    ['no node that the narrowed role does not reach', { kind: 'narrowed', role: 'prod', nodes: ['lab', 'web-1'] }, ['deploy@web-1']],
    ['for a role that names nodes, those that both name', { kind: 'narrowed', role: 'named', nodes: ['web-1', 'web-2'] }, ['deploy@web-1']],
    ['nothing if they name no node in common', { kind: 'narrowed', role: 'named', nodes: ['web-2'] }, []],
    [
      'for a role with an expression, the nodes that match it',
      { kind: 'narrowed', role: 'by-expression', nodes: ['web-1', 'lab'] },
      ['deploy@web-1'],
    ],
    ['nothing with a role without nodes', { kind: 'narrowed', role: 'no-nodes', nodes: ['web-1'] }, []],
    ['the named logins on the named nodes', { kind: 'nodes', role: 'no-nodes', nodes: ['lab'], logins: ['root'] }, ['root@lab']],
    [
      'no login that the role of its terms denies',
      { kind: 'nodes', role: 'strict', nodes: ['lab'], logins: ['root', 'deploy'] },
      ['deploy@lab'],
    ],
  ];
  test.each(cases)('%s', (_, item, expected) => expect(reach([item])).toEqual(expected));

  test('nodes only: a narrowed role does not show sessions, administer or approve', () => {
    const [narrowed] = rolesOfGrant({ items: [{ kind: 'narrowed', role: 'prod', nodes: ['web-1'] }] }, known)!;
    expect(narrowed).toMatchObject({
      view: 'none',
      administer: false,
      allow: { sessions: [], rules: [], approve: [], request: [], kubernetes: [] },
    });
  });
  test('nothing once one of its roles is removed', () => {
    expect(
      rolesOfGrant(
        {
          items: [
            { kind: 'role', role: 'prod' },
            { kind: 'role', role: 'gone' },
          ],
        },
        known,
      ),
    ).toBeUndefined();
  });
});

test.each([
  ['pending', [], 'pending'],
  ['pending', ['approve'], 'pending'],
  ['approved', ['approve', 'approve'], 'approved'],
  ['denied', ['approve', 'deny', 'approve'], 'denied'],
  ['denied', ['deny'], 'denied'],
] as const)('is %s after %j, with two approvals needed and one denial sufficient', (_, decisions, expected) => {
  expect(
    standing(
      decisions.map((decision) => ({ decision })),
      { approve: 2, deny: 1 },
    ),
  ).toBe(expected);
});

test('thresholds of zero still need one review', () => expect(standing([], { approve: 0, deny: 0 })).toBe('pending'));

test.each([
  ['pending', 5, null, 4, 'pending'],
  ['pending', 5, null, 5, 'expired'],
  ['approved', 1, 9, 8, 'approved'],
  ['approved', 1, 9, 9, 'over'],
  ['approved', 1, null, 0, 'over'],
  ['denied', 1, null, 9, 'denied'],
] as const)('%s, to be decided by %i and granted until %s, is at %i %s', (state, expires, ends, now, expected) => {
  expect(stateAt({ state, expires_at: expires, ends_at: ends }, now)).toBe(expected satisfies RequestState);
});

test('describes the grant and its scope', () => {
  const items: readonly GrantItem[] = [
    { kind: 'role', role: 'b' },
    { kind: 'narrowed', role: 'a', nodes: ['n2'] },
    { kind: 'nodes', role: 'c', nodes: ['n1'], logins: ['root'] },
  ];
  expect(items.map(describeItem)).toEqual(['role b', 'role a, only on n2', 'root on n1, by the terms of role c']);
  expect(scopeOfItems(items)).toEqual({ roles: ['a', 'b'], nodes: ['n1', 'n2'], logins: ['root'] });
});
