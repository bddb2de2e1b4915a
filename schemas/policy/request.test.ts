import { expect, test } from 'vitest';
import { roleSchema } from './role.js';
import { decideRequest, decideReview } from './request.js';

const subject = (user: string, ...more: object[]) => ({
  user,
  traits: { team: ['shop'] },
  roles: more.map((one, i) => roleSchema.parse({ kind: 'role', name: `r${i}`, ...one })),
});
const db = { name: 'db-1', labels: { env: 'prod', team: 'shop' } };
const dba = { roles: ['dba'], nodes: [] };

test.each<[string, object[], { roles: string[]; nodes: (typeof db)[] }, boolean]>([
  ['nothing without a rule', [{}], dba, false],
  ['an empty request', [{ allow: { request: [{ roles: ['*'] }] } }], { roles: [], nodes: [] }, false],
  ['a role by name', [{ allow: { request: [{ roles: ['dba'] }] } }], dba, true],
  ['a role by its prefix', [{ allow: { request: [{ roles: ['db*'] }] } }], dba, true],
  ['another role', [{ allow: { request: [{ roles: ['dev'] }] } }], dba, false],
  ['everything requested must be allowed', [{ allow: { request: [{ roles: ['dba'] }] } }], { roles: ['dba', 'admin'], nodes: [] }, false],
  [
    'from several rules',
    [{ allow: { request: [{ roles: ['dba'] }] } }, { allow: { request: [{ nodes: { env: 'prod' } }] } }],
    { roles: ['dba'], nodes: [db] },
    true,
  ],
  ['nodes by labels', [{ allow: { request: [{ nodes: { env: 'test' } }] } }], { roles: [], nodes: [db] }, false],
  [
    'nodes by an expression',
    [{ allow: { request: [{ node_expression: 'labels.team in user.traits.team' }] } }],
    { roles: [], nodes: [db] },
    true,
  ],
  ['a rule about roles does not apply to nodes', [{ allow: { request: [{ roles: ['*'] }] } }], { roles: [], nodes: [db] }, false],
  ['deny wins', [{ allow: { request: [{ roles: ['*'] }] } }, { deny: { request: [{ roles: ['db*'] }] } }], dba, false],
])('asking: %s', (_claim, roles, wanted, allowed) => expect(decideRequest(subject('ann', ...roles), wanted).allowed).toBe(allowed));

test('the strictest rule over everything requested, and for each item the rule that needs the fewest approvals', () => {
  const ann = subject('ann', {
    allow: {
      request: [
        { roles: ['dba'], max_duration: '4h', thresholds: { approve: 3 } },
        { roles: ['*'], thresholds: { approve: 2 } },
        { nodes: { env: 'prod' }, max_duration: '1h', logins: ['root'] },
      ],
    },
  });
  expect(decideRequest(ann, { roles: ['dba'], nodes: [db] })).toEqual({
    allowed: true,
    maxDuration: 3600,
    thresholds: { approve: 2, deny: 1 },
    logins: ['root'],
    because: [
      { role: 'r0', path: ['allow', 'request', 1] },
      { role: 'r0', path: ['allow', 'request', 2] },
    ],
  });
});

test.each<[string, string, object[], boolean]>([
  ['nothing without a rule', 'bob', [{}], false],
  ['a rule for the role', 'bob', [{ allow: { approve: [{ roles: ['dba'] }] } }], true],
  ['nobody for their own request', 'ann', [{ administer: true, allow: { approve: [{ roles: ['*'] }] } }], false],
  ['by requester, with an expression', 'bob', [{ allow: { approve: [{ roles: ['*'], where: "request.user.startsWith('c')" }] } }], false],
  ['deny wins', 'bob', [{ allow: { approve: [{ roles: ['*'] }] } }, { deny: { approve: [{ roles: ['dba'] }] } }], false],
])('reviewing: %s', (_claim, reviewer, roles, allowed) =>
  expect(decideReview(subject(reviewer, ...roles), 'ann', dba).allowed).toBe(allowed),
);
