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

const asked = (...names: string[]) => ({ roles: names, nodes: [] });
const forNode = { roles: [], nodes: [db] };

test.each<[string, object[], { roles: string[]; nodes: (typeof db)[] }, object]>([
  [
    'a role that one of several denies',
    [{ allow: { request: [{ roles: ['*'] }] } }, { deny: { request: [{ roles: ['x'] }, { roles: ['db*'] }] } }],
    dba,
    { reason: 'ann may not ask for role dba: role r1 denies it', because: { role: 'r1', path: ['deny', 'request', 1] } },
  ],
  [
    'a node that a role denies by its labels',
    [{ allow: { request: [{ nodes: { '*': '*' } }] } }, { deny: { request: [{ nodes: { env: 'prod' } }] } }],
    forNode,
    { reason: 'ann may not ask for node db-1: role r1 denies it', because: { role: 'r1', path: ['deny', 'request', 0] } },
  ],
  [
    'a node whose labels fit and whose expression does not',
    [{ allow: { request: [{ nodes: { env: 'prod' }, node_expression: "labels.team == 'pay'" }] } }],
    forNode,
    { reason: 'ann may not ask for node db-1: none of their roles permits it', because: null },
  ],
  [
    'a node whose expression fits and whose labels do not',
    [{ allow: { request: [{ nodes: { env: 'test' }, node_expression: "labels.team == 'shop'" }] } }],
    forNode,
    { because: null },
  ],
  [
    'a node of which an expression asks a label that it lacks',
    [{ allow: { request: [{ node_expression: "labels.zone != 'x'" }] } }],
    forNode,
    { because: null },
  ],
])('asking is refused for %s', (_claim, roles, wanted, answer) => {
  expect(decideRequest(subject('ann', ...roles), wanted)).toMatchObject({ allowed: false, ...answer });
});

test('a denial of nodes says nothing of roles', () => {
  const ann = subject('ann', { allow: { request: [{ roles: ['*'] }] } }, { deny: { request: [{ nodes: { '*': '*' } }] } });
  expect(decideRequest(ann, dba).allowed).toBe(true);
});

test('logins come with nodes, sorted and once each, and not with roles', () => {
  const logins = (wanted: { roles: string[]; nodes: (typeof db)[] }, ...request: object[]): unknown => {
    const decided = decideRequest(subject('ann', { allow: { request } }), wanted);
    return decided.allowed && decided.logins;
  };
  const web = { name: 'web-1', labels: { env: 'test', team: 'shop' } };
  const rules = [
    { roles: ['dba'], logins: ['postgres'] },
    { nodes: { env: 'prod' }, logins: ['www', 'root'] },
    { nodes: { env: 'test' }, logins: ['ops', 'www'] },
  ];
  expect(logins(dba, ...rules)).toEqual([]);
  expect(logins({ roles: ['dba'], nodes: [db, web] }, ...rules)).toEqual(['ops', 'root', 'www']);
});

test('of roles that say the same the first by name is named, however they came', () => {
  const rule = { request: [{ roles: ['dba'] }], approve: [{ roles: ['dba'] }] };
  const ann = subject('ann', {}, { allow: rule }, { allow: rule });
  for (const roles of [ann.roles, [...ann.roles].reverse()]) {
    expect(decideRequest({ ...ann, roles }, dba)).toMatchObject({ because: [{ role: 'r1', path: ['allow', 'request', 0] }] });
    expect(decideReview({ ...ann, roles }, 'bob', dba)).toMatchObject({ because: [{ role: 'r1', path: ['allow', 'approve', 0] }] });
  }
});

test('a review is of everything asked for: each role and each node needs a rule, and the answer names them', () => {
  const bob = (...approve: object[]) => subject('bob', {}, { allow: { approve } });
  const both = { roles: ['dba'], nodes: [db] };
  expect(decideReview(bob({ roles: ['dba'] }, { nodes: { env: 'prod' } }), 'ann', both)).toEqual({
    allowed: true,
    because: [
      { role: 'r1', path: ['allow', 'approve', 0] },
      { role: 'r1', path: ['allow', 'approve', 1] },
    ],
  });
  expect(decideReview(bob({ roles: ['dba'] }), 'ann', both)).toEqual({
    allowed: false,
    reason: 'bob may not review requests for node db-1: none of their roles permits it',
    because: null,
  });
  expect(decideReview(bob({ roles: ['dba'] }), 'ann', asked('dba', 'admin'))).toMatchObject({ allowed: false });
  expect(decideReview(bob({ nodes: { env: 'test' } }), 'ann', forNode)).toMatchObject({ allowed: false });
  expect(decideReview(bob({ roles: ['*'] }), 'ann', asked())).toMatchObject({ allowed: false, because: null });
  const denied = subject(
    'bob',
    { allow: { approve: [{ roles: ['*'] }] } },
    { deny: { approve: [{ nodes: { env: 'x' } }, { roles: ['dba'] }] } },
  );
  expect(decideReview(denied, 'ann', dba)).toEqual({
    allowed: false,
    reason: 'bob may not review requests for role dba: role r1 denies it',
    because: { role: 'r1', path: ['deny', 'approve', 1] },
  });
});

test.each<[string, boolean]>([
  ["request.user == 'ann'", true],
  ["request.user == 'cleo'", false],
  ["'dba' in request.roles", true],
  ["'admin' in request.roles", false],
  ["'db-1' in request.nodes", true],
  ["user.name == 'bob' && 'shop' in user.traits.team", true],
])('a rule on reviews may ask who asks for what: %s is %s', (where, holds) => {
  const wanted = { roles: ['dba'], nodes: [db] };
  const allowing = { approve: [{ roles: ['*'], nodes: { '*': '*' }, where }] };
  expect(decideReview(subject('bob', { allow: allowing }), 'ann', wanted).allowed).toBe(holds);
  const all = { allow: { approve: [{ roles: ['*'], nodes: { '*': '*' } }] } };
  expect(decideReview(subject('bob', all, { deny: allowing }), 'ann', wanted).allowed).toBe(!holds);
});
