/**
 * Generators of small worlds and of attempts in them, for worlds.test.ts.
 *
 * Roles, users and steps are drawn so that many steps succeed: if everything is refused, a test proves nothing.
 */
import fc from 'fast-check';
import type { Traits } from '#schemas/base/identity.js';
import type { WorldPlan } from './world.js';
import { machines } from './world.js';

const roleNames = ['desk', 'r1', 'r2', 'r3', 'rich'] as const;

const some = <T>(list: readonly T[], maxLength = 2): fc.Arbitrary<T[]> => fc.uniqueArray(fc.constantFrom(...list), { maxLength });
const selector = fc.constantFrom(
  {},
  { env: 'dev' },
  { env: 'prod' },
  { env: ['dev', 'prod'] },
  { team: 'x' },
  { '*': '*' },
  { name: 'db' },
  { env: '*', team: 'y' },
);
const nodeExpression = fc.constantFrom(
  undefined,
  undefined,
  undefined,
  'labels.team in user.traits.team',
  "user.name == 'ann'",
  "'r1' in user.roles",
  "labels.env == 'dev'",
  "labels.env != 'prod'",
);
const login = fc.constantFrom('www', 'root', '*', '{user}', '{traits.logins}', 'dev-{user}', 'postgres');
const rolePattern = fc.constantFrom('r1', 'r2', 'r*', 'rich', '*');
const rules = fc.array(
  fc.record({
    resources: some(['user', 'bot', 'role', 'node', 'token', 'connector', 'request', 'audit'] as const, 3).filter(
      (list) => list.length > 0,
    ),
    verbs: some(['create', 'read', 'update', 'delete', 'label', '*'] as const).filter((list) => list.length > 0),
  }),
  { maxLength: 1 },
);
const sessions = fc.array(
  fc.constantFrom(
    { actions: ['view'], where: "labels.env == 'dev'" },
    { actions: ['list', 'view'] },
    { actions: ['*'], of: 'own' },
    { actions: ['join'], modes: ['observer', 'peer'], where: "labels.env == 'dev'" },
    { actions: ['join'], modes: ['observer'] },
    { actions: ['join', 'view'], modes: ['peer', 'moderator'] },
    { actions: ['view'], where: 'labels.team in user.traits.team' },
  ),
  { maxLength: 1 },
);
const approve = fc.array(
  fc
    .record({
      roles: fc.array(rolePattern, { maxLength: 1 }),
      nodes: selector,
      where: fc.constantFrom(undefined, undefined, undefined, "request.user == 'somebody'", 'request.user in user.traits.team'),
    })
    .map(({ where, ...rule }) => ({ ...rule, ...(where === undefined ? {} : { where }) })),
  { maxLength: 1 },
);
const request = fc.array(
  fc.record({
    roles: fc.array(rolePattern, { maxLength: 1 }),
    nodes: selector,
    logins: fc.array(login, { maxLength: 1 }),
    thresholds: fc.constantFrom({ approve: 1 }, { approve: 2 }),
  }),
  { maxLength: 1 },
);
const denial = fc.oneof(
  { weight: 4, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { nodes: { env: 'prod' } },
      { nodes: { frozen: 'yes' } },
      { node_expression: "labels.team == 'x'" },
      { node_expression: 'labels.team in user.traits.denied' },
      { logins: ['root'] },
      { logins: ['{user}'] },
      { logins: ['{traits.denied}'] },
      { rules: [{ resources: ['role'], verbs: ['delete'] }] },
      { approve: [{ roles: ['rich'] }] },
      { request: [{ roles: ['rich'] }] },
      { sessions: [{ actions: ['view'], where: "labels.env == 'prod'" }] },
      { port_forwarding: { loopback: true } },
      { port_forwarding: { to: ['10.0.0.0/8'] } },
      { port_forwarding: true },
      { agent_forwarding: true },
      { approve: [{ nodes: { env: 'prod' } }] },
      { request: [{ nodes: { env: 'prod' } }] },
    ),
  },
);
const optional = <T>(from: fc.Arbitrary<T | undefined>, key: string): fc.Arbitrary<object> =>
  from.map((value) => (value === undefined ? {} : { [key]: value }));
const forwarding = fc.constantFrom(
  true,
  true,
  true,
  false,
  { metadata: true },
  { to: ['10.0.0.0/8'] },
  { loopback: false },
  { remote: false },
);
/** Session conditions other than port forwarding. */
const terms = fc.constantFrom(
  {},
  {},
  {},
  { recording: { streams: 'limited' } },
  { recording: { streams: 'full' } },
  { recording: { unechoed: 'full' } },
  { agent_forwarding: true },
  { idle_timeout: 600 },
  { disconnect_expired_cert: true },
);
const document = (name: fc.Arbitrary<string>): fc.Arbitrary<object> =>
  fc
    .tuple(
      name,
      selector,
      optional(nodeExpression, 'node_expression'),
      fc.array(login, { maxLength: 2 }),
      rules,
      sessions,
      approve,
      request,
      denial,
      fc.constantFrom('none', 'own', 'own', 'all'),
      fc.boolean(),
      optional(fc.constantFrom(undefined, undefined, undefined, undefined, true), 'administer'),
      forwarding,
      terms,
    )
    .map(([role, nodes, expression, logins, administration, seen, approves, asks, deny, view, mfa, administer, forwards, kept]) => ({
      kind: 'role',
      name: role,
      view,
      require_session_mfa: mfa,
      ...administer,
      port_forwarding: forwards,
      ...kept,
      allow: { nodes, ...expression, logins, rules: administration, sessions: seen, approve: approves, request: asks },
      deny,
    }));
const traits = fc.dictionary(fc.constantFrom('team', 'logins', 'denied'), some(['x', 'y', 'www', 'postgres'] as const), {
  maxKeys: 2,
}) as fc.Arbitrary<Traits>;

/** The actor may do much to others' accounts, roles and nodes; the question is what they may hand out. */
export const plan: fc.Arbitrary<WorldPlan> = fc
  .record({
    desk: document(fc.constant('desk')),
    others: fc.tuple(document(fc.constant('r1')), document(fc.constant('r2')), document(fc.constant('r3'))),
    rich: document(fc.constant('rich')),
    asks: fc.boolean(),
    gives: fc.boolean(),
    reaches: fc.constantFrom(
      undefined,
      undefined,
      { nodes: { env: '*' }, logins: ['www', '*'] },
      { nodes: { '*': '*' }, logins: ['*', 'root'] },
    ),
    ann: some(['r1', 'r2', 'r3'] as const),
    bob: some(roleNames, 3),
    rev: some(['r1', 'r2', 'rich'] as const),
    traits,
    theirs: traits,
    twin: fc.boolean(),
  })
  .map(({ desk: base, others, rich, asks, gives, reaches, ann, bob, rev, traits: mine, theirs, twin }) => {
    const { allow } = base as { allow: object };
    const working = {
      ...base,
      administer: false,
      allow: {
        ...allow,
        ...reaches,
        rules: [{ resources: ['user', 'bot', 'role', 'node', 'token', 'connector'], verbs: ['*'] }],
        ...(asks ? { request: [{ roles: ['r*', 'rich', 'new'], nodes: { env: 'prod' }, logins: ['www'] }] } : {}),
        ...(gives ? { approve: [{ roles: ['r*', 'rich', 'new'] }] } : {}),
      },
    };
    return {
      roles: [
        working,
        ...others.map((role) => ({ ...role, administer: false })),
        rich,
        { kind: 'role', name: 'adm', administer: true },
        { kind: 'role', name: 'giver', view: 'none', allow: { approve: [{ roles: ['*'], nodes: { '*': '*' } }] } },
      ],
      users: [
        { name: 'ann', roles: ['desk', ...ann], traits: mine },
        { name: 'bob', roles: bob.length === 0 ? ['r1'] : bob, traits: theirs },
        // Accounts that ann may take over, if nothing that denies her is missing.
        { name: 'sam', roles: twin ? ['desk', ...ann] : ['desk'], traits: mine },
        { name: 'kit', roles: ['desk', ...ann], traits: mine },
        { name: 'rev', roles: ['giver', ...rev], traits: theirs },
        { name: 'rev2', roles: ['giver'], traits: {} },
        { name: 'adm', roles: ['adm'], traits: {} },
      ],
    };
  });

export type Action =
  | {
      readonly kind: 'user' | 'bot';
      readonly as: number;
      readonly name: string;
      readonly roles: readonly string[] | 'mine';
      readonly traits: Traits | 'mine';
    }
  | {
      readonly kind: 'edit';
      readonly as: number;
      readonly of: string | number;
      readonly roles: readonly string[] | 'mine';
      readonly traits: Traits | 'mine';
    }
  | { readonly kind: 'take' | 'remove'; readonly as: number; readonly of: string | number }
  | { readonly kind: 'role'; readonly as: number; readonly document: object }
  | {
      readonly kind: 'tweak';
      readonly as: number;
      readonly from: string;
      readonly to: string;
      readonly other: object;
      readonly field: string;
    }
  /** A role made from the actor's own clauses. */
  | {
      readonly kind: 'compose';
      readonly as: number;
      readonly to: string;
      readonly keep: readonly boolean[];
      readonly from: readonly number[];
    }
  | { readonly kind: 'forget'; readonly as: number; readonly name: string }
  | {
      readonly kind: 'node';
      readonly as: number;
      readonly name: string;
      readonly machine: number;
      readonly labels: Readonly<Record<string, string>>;
    }
  /** Changes one label of an existing node. */
  | { readonly kind: 'relabel'; readonly as: number; readonly name: string; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'drop'; readonly as: number; readonly name: string }
  /** A machine joins with a token of the actor. */
  | { readonly kind: 'join'; readonly as: number; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'connect'; readonly as: number; readonly roles: readonly string[] | 'mine' }
  /** Somebody else makes a request. */
  | { readonly kind: 'wish'; readonly by: string; readonly roles: readonly string[]; readonly nodes: readonly string[] }
  | { readonly kind: 'come'; readonly name: string; readonly traits: Traits }
  | { readonly kind: 'ask'; readonly as: number; readonly roles: readonly string[]; readonly nodes: readonly string[] }
  | { readonly kind: 'approve'; readonly as: number; readonly request: number }
  | { readonly kind: 'agree'; readonly by: 'rev' | 'rev2' | 'adm'; readonly request: number };

const pick = fc.nat(7);
/** By name, or one of all. */
const target: fc.Arbitrary<string | number> = fc.oneof(fc.constantFrom('sam', 'kit', 'sam', 'kit', 'robot', 'mallory', 'carl'), pick);
const labelled = fc.dictionary(fc.constantFrom('env', 'team', 'frozen'), fc.constantFrom('dev', 'prod', 'x', 'y', 'yes'), { maxKeys: 2 });
const nodeName = fc.constantFrom('web', 'db', 'lab', 'old', 'alias');
const newName = fc.constantFrom('postgres', 'mallory', 'bob', 'r1', 'carl');
const given = fc.oneof({ weight: 3, arbitrary: fc.constant('mine' as const) }, { weight: 2, arbitrary: traits });
const givenRoles = fc.oneof(fc.constant('mine' as const), some(roleNames, 3));
export const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({ kind: fc.constant('user' as const), as: pick, name: newName, roles: givenRoles, traits: given }),
  fc.record({
    kind: fc.constant('bot' as const),
    as: pick,
    name: fc.oneof(newName, fc.constant('robot')),
    roles: givenRoles,
    traits: given,
  }),
  ...[1, 2].map(() => fc.record({ kind: fc.constant('edit' as const), as: pick, of: target, roles: givenRoles, traits: given })),
  ...[1, 2].map(() =>
    fc.record({ kind: fc.constantFrom('take' as const, 'take' as const, 'remove' as const, 'remove' as const), as: pick, of: target }),
  ),
  fc.record({ kind: fc.constant('role' as const), as: pick, document: document(fc.constantFrom(...roleNames, 'new')) }),
  ...[1, 2].map(() =>
    fc.record({
      kind: fc.constant('tweak' as const),
      as: pick,
      from: fc.constantFrom(...roleNames),
      to: fc.constantFrom('r1', 'r2', 'r3', 'rich', 'new'),
      other: document(fc.constant('x')),
      field: fc.constantFrom(
        'nothing',
        'nodes',
        'node_expression',
        'logins',
        'rules',
        'sessions',
        'approve',
        'request',
        'deny',
        'view',
        'require_session_mfa',
        'port_forwarding',
        'recording',
        'agent_forwarding',
        'idle_timeout',
        'administer',
        'narrower',
      ),
    }),
  ),
  fc.record({
    kind: fc.constant('compose' as const),
    as: pick,
    to: fc.constantFrom('new', 'new', 'r1', 'r2', 'r3'),
    keep: fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
    from: fc.array(fc.nat(3), { minLength: 2, maxLength: 2 }),
  }),
  fc.record({ kind: fc.constant('forget' as const), as: pick, name: fc.constantFrom(...roleNames, 'new') }),
  fc.record({
    kind: fc.constant('node' as const),
    as: pick,
    name: nodeName,
    machine: fc.nat(machines.length - 1),
    labels: labelled,
  }),
  ...[1, 2].map(() =>
    fc.record({
      kind: fc.constant('relabel' as const),
      as: pick,
      name: nodeName,
      key: fc.constantFrom('env', 'team', 'frozen'),
      value: fc.constantFrom(undefined, 'dev', 'prod', 'x', 'y', 'yes'),
    }),
  ),
  fc.record({ kind: fc.constant('drop' as const), as: pick, name: nodeName }),
  fc.record({ kind: fc.constant('join' as const), as: pick, labels: labelled }),
  fc.record({
    kind: fc.constant('connect' as const),
    as: pick,
    roles: fc.oneof(
      fc.constant('mine' as const),
      some(roleNames).filter((list) => list.length > 0),
    ),
  }),
  ...[1, 2, 3].map(() => fc.record({ kind: fc.constant('come' as const), name: newName, traits })),
  fc.record({
    kind: fc.constant('wish' as const),
    by: fc.constantFrom('bob', 'sam', 'kit'),
    roles: some(['r1', 'r2', 'r3', 'rich', 'new'] as const, 1),
    nodes: some(['web', 'db'] as const, 1),
  }),
  ...[1, 2].map(() =>
    fc.record({
      kind: fc.constant('ask' as const),
      as: pick,
      roles: some(['r1', 'r2', 'r3', 'rich', 'new'] as const, 1),
      nodes: some(['web', 'db'] as const, 1),
    }),
  ),
  fc.record({ kind: fc.constant('approve' as const), as: pick, request: fc.nat(3) }),
  ...[1, 2].map(() =>
    fc.record({
      kind: fc.constant('agree' as const),
      by: fc.constantFrom('rev' as const, 'rev2' as const, 'adm' as const),
      request: fc.nat(3),
    }),
  ),
);
