import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Traits } from '../base/identity.js';
import { roleSchema } from './role.js';
import type { Role } from './role.js';
import { decide, loginsOf, mayReach, reachableLogins, reachableNodes, termsOf } from './node.js';
import type { Decision } from './node.js';
import { matchesSelector } from './compiled.js';

const role = (more: object): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });
const web = { name: 'web-1', labels: { env: 'prod', os: 'linux', team: 'shop', name: 'shop' } };
const everywhere = { '*': '*' };
const ann = (roles: readonly object[], traits: Traits = {}) => ({
  user: 'ann',
  traits,
  roles: roles.map((one, i) => role({ name: `r${i}`, ...one })),
});

describe('deciding', () => {
  const table: [string, object[], string, boolean][] = [
    ['nothing allows without a role', [], 'root', false],
    ['a role without nodes allows nothing', [{ allow: { logins: ['root'] } }], 'root', false],
    ['a role without logins allows nothing', [{ allow: { nodes: everywhere } }], 'root', false],
    ['a named login on every node', [{ allow: { nodes: everywhere, logins: ['root'] } }], 'root', true],
    ['another login', [{ allow: { nodes: everywhere, logins: ['root'] } }], 'www', false],
    [
      'nodes of one role and logins of another are not combined',
      [{ allow: { nodes: everywhere } }, { allow: { logins: ['www'] } }],
      'www',
      false,
    ],
    ['`*` is any login', [{ allow: { nodes: everywhere, logins: ['*'] } }], 'www', true],
    ['`*` is not root', [{ allow: { nodes: everywhere, logins: ['*'] } }], 'root', false],
    ['`{user}` is the name of the user', [{ allow: { nodes: everywhere, logins: ['{user}'] } }], 'ann', true],
    ['`{user}` is no other name', [{ allow: { nodes: everywhere, logins: ['{user}'] } }], 'bob', false],
    ['text around `{user}`', [{ allow: { nodes: everywhere, logins: ['dev-{user}'] } }], 'dev-ann', true],
    ['a trait of many values: the second', [{ allow: { nodes: everywhere, logins: ['{traits.logins}'] } }], 'deploy', true],
    ['a trait does not give root', [{ allow: { nodes: everywhere, logins: ['{traits.logins}'] } }], 'root', false],
    ['a trait does not give an invalid login', [{ allow: { nodes: everywhere, logins: ['{traits.logins}'] } }], '-oProxyCommand=x', false],
    ['a trait does not give the star', [{ allow: { nodes: everywhere, logins: ['{traits.logins}'] } }], 'www', false],
    ['a trait that the user lacks gives nothing', [{ allow: { nodes: everywhere, logins: ['{traits.none}'] } }], 'ann', false],
    ['the part before the @', [{ allow: { nodes: everywhere, logins: ['{email.local(traits.email)}'] } }], 'ann.b', true],
    [
      'a trait with the name of a built-in property gives nothing',
      [{ allow: { nodes: everywhere, logins: ['{traits.constructor}'] } }],
      'object',
      false,
    ],
    ['a label that the node carries', [{ allow: { nodes: { env: 'prod' }, logins: ['www'] } }], 'www', true],
    ['a label with another value', [{ allow: { nodes: { env: 'test' }, logins: ['www'] } }], 'www', false],
    ['one of several values', [{ allow: { nodes: { env: ['test', 'prod'] }, logins: ['www'] } }], 'www', true],
    ['none of several values', [{ allow: { nodes: { env: ['test', 'dev'] }, logins: ['www'] } }], 'www', false],
    ['a label that is missing', [{ allow: { nodes: { zone: '*' }, logins: ['www'] } }], 'www', false],
    ['any value of an existing label', [{ allow: { nodes: { env: '*' }, logins: ['www'] } }], 'www', true],
    ['all labels must hold', [{ allow: { nodes: { env: 'prod', os: 'bsd' }, logins: ['www'] } }], 'www', false],
    ['the name counts as a label', [{ allow: { nodes: { name: 'web-1' }, logins: ['www'] } }], 'www', true],
    ['`*` with a value that is not `*` is nothing', [{ allow: { nodes: { '*': 'prod' }, logins: ['www'] } }], 'www', false],
    [
      'a label with the name of a built-in property is a label only',
      [{ allow: { nodes: { constructor: '*' }, logins: ['www'] } }],
      'www',
      false,
    ],
    ['a label called name, in an expression', [{ allow: { node_expression: "labels.name == 'shop'", logins: ['www'] } }], 'www', true],
    ['an expression alone', [{ allow: { node_expression: "labels.env in ['dev', 'prod']", logins: ['www'] } }], 'www', true],
    [
      'an expression on traits',
      [{ allow: { node_expression: 'user.traits.team.exists(t, t == labels.team)', logins: ['www'] } }],
      'www',
      true,
    ],
    [
      'labels and an expression must both hold',
      [{ allow: { nodes: { env: 'prod' }, node_expression: "labels.os == 'bsd'", logins: ['www'] } }],
      'www',
      false,
    ],
    [
      'an expression with an unknown label allows nothing',
      [{ allow: { node_expression: "labels.zone != 'secret'", logins: ['www'] } }],
      'www',
      false,
    ],
    [
      'deny of the login wins in the same role',
      [{ allow: { nodes: everywhere, logins: ['www'] }, deny: { logins: ['www'] } }],
      'www',
      false,
    ],
    ['deny of `*` denies root too', [{ allow: { nodes: everywhere, logins: ['root'] }, deny: { logins: ['*'] } }], 'root', false],
    [
      'deny by a template, root too',
      [{ allow: { nodes: everywhere, logins: ['root'] }, deny: { logins: ['{traits.logins}'] } }],
      'root',
      false,
    ],
    [
      'deny of the node wins over another role',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { nodes: { env: 'prod' } } }],
      'www',
      false,
    ],
    [
      'deny of other nodes does not matter',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { nodes: { env: 'test' } } }],
      'www',
      true,
    ],
    [
      'deny by an expression',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { node_expression: "labels.env == 'prod'" } }],
      'www',
      false,
    ],
    [
      'deny by an expression that does not hold',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { node_expression: "labels.env == 'test'" } }],
      'www',
      true,
    ],
    [
      'deny by an expression with an unknown label',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { node_expression: "labels.zone == 'secret'" } }],
      'www',
      false,
    ],
    [
      'deny that first checks whether the label exists',
      [{ allow: { nodes: everywhere, logins: ['www'] } }, { deny: { node_expression: "has(labels.zone) && labels.zone == 'secret'" } }],
      'www',
      true,
    ],
    ['deny without labels denies no node', [{ allow: { nodes: everywhere, logins: ['www'] }, deny: { nodes: {} } }], 'www', true],
  ];
  test.each(table)('%s', (_claim, roles, login, allowed) => {
    const subject = ann(roles, {
      logins: ['-oProxyCommand=x', 'deploy', 'root', '*', 'a b'],
      team: ['ops', 'shop'],
      email: ['Ann.B@example.org', 'x', 'a@b@c'],
    });
    expect(decide(subject, web, login).allowed).toBe(allowed);
    expect(reachableLogins(subject, web).includes(login) || (login !== 'root' && reachableLogins(subject, web).includes('*'))).toBe(
      allowed,
    );
    expect(mayReach(subject, web)).toBe(reachableLogins(subject, web).length > 0);
  });

  test('of the allowing roles, the strictest limits and the widest permissions apply', () => {
    const allow = { nodes: everywhere, logins: ['www'] };
    const relaxed = {
      allow,
      recording: { mode: 'best_effort', streams: 'full', limit: 10, enhanced: { mode: 'off' } },
      port_forwarding: false,
      max_session_length: '8h',
      max_sessions: 3,
    };
    const strict = {
      allow,
      recording: { mode: 'strict', streams: 'limited', limit: 5, enhanced: { mode: 'strict', classes: ['exec'] } },
      max_session_length: '1h',
      idle_timeout: '15m',
      require_session_mfa: true,
      moderation: { count: 2 },
    };
    const elsewhere = { allow: { nodes: { env: 'test' }, logins: ['www'] }, max_session_length: '1m', disconnect_expired_cert: true };
    expect(decide(ann([relaxed, strict, elsewhere]), web, 'www')).toMatchObject({
      by: 'r0',
      roles: ['r0', 'r1'],
      recording: { mode: 'strict', streams: 'full', limit: 10 },
      enhanced: { mode: 'strict', classes: ['exec'] },
      portForwarding: true,
      sessionMfa: true,
      moderation: [{ role: 'r1', count: 2, modes: ['moderator'], on_leave: 'pause' }],
      limits: { maxSessionLength: 3600, idleTimeout: 900, maxSessions: 3, disconnectExpiredCert: false, reconnect: null },
    });
    for (const [terms, reconnect] of [
      [[{ reconnect: '2m' }, { reconnect: '30s' }], 30],
      [[{ reconnect: '2m' }, {}], null],
      [[{}], null],
    ] as const)
      expect(decide(ann(terms.map((more) => ({ allow, ...more }))), web, 'www')).toMatchObject({ limits: { reconnect } });
    expect(decide(ann([relaxed]), web, 'www')).toMatchObject({
      recording: { mode: 'best_effort' },
      enhanced: { mode: 'off', classes: [] },
      portForwarding: false,
      sessionMfa: false,
      moderation: [],
      limits: { maxSessionLength: 28_800, idleTimeout: null },
    });
    expect(decide(ann([strict, { deny: { port_forwarding: true } }]), web, 'www')).toMatchObject({
      portForwarding: false,
      agentForwarding: true,
    });
  });

  test.each([
    [[{}], 'commands', 1 << 20, undefined],
    [[{ recording: { streams: 'limited' } }], 'limited', 1 << 20, undefined],
    [[{ recording: { streams: 'limited', limit: 5 } }, { recording: { streams: 'limited', limit: 7 } }], 'limited', 7, undefined],
    [[{ recording: { streams: 'limited', limit: 5 } }, {}], 'commands', 1 << 20, undefined],
    [[{ recording: { streams: 'commands', limit: 5 } }, { recording: { streams: 'limited', limit: 7 } }], 'commands', 7, undefined],
    [[{}, { recording: { streams: 'full', limit: 0 } }], 'full', 1 << 20, undefined],
    [[{ recording: { unechoed: 'digest' } }, { recording: { unechoed: 'full' } }], 'commands', 1 << 20, 'full'],
  ] as const)('of the streams settings of roles %j the fullest applies', (roles, streams, limit, unechoed) => {
    const allow = { nodes: everywhere, logins: ['www'] };
    for (const order of [roles, [...roles].reverse()]) {
      const decision = decide(ann(order.map((role) => ({ allow, ...role }))), web, 'www');
      expect(decision.allowed && decision.recording).toEqual({
        mode: 'strict',
        streams,
        limit,
        ...(unechoed === undefined ? {} : { unechoed }),
      });
    }
  });

  test('the decision names role and position, whether allowed or denied', () => {
    const allowing = { allow: { nodes: everywhere, logins: ['ops', '{user}', 'www'] } };
    expect(decide(ann([{}, allowing]), web, 'www')).toMatchObject({
      by: 'r1',
      because: [
        { role: 'r1', path: ['allow', 'nodes'] },
        { role: 'r1', path: ['allow', 'logins', 2] },
      ],
    });
    expect(decide(ann([allowing, { deny: { logins: ['a', 'www'] } }]), web, 'www')).toMatchObject({
      because: { role: 'r1', path: ['deny', 'logins', 1] },
      reason: 'role r1 denies login www',
    });
    expect(decide(ann([allowing, { deny: { nodes: { os: 'linux' } } }]), web, 'www')).toMatchObject({
      because: { role: 'r1', path: ['deny', 'nodes'] },
    });
    expect(decide(ann([{}]), web, 'www')).toMatchObject({ because: null, reason: 'no role of ann allows login www on node web-1' });
  });
});

describe('roles that say the same of different nodes', () => {
  const db = { name: 'db-1', labels: { env: 'test' } };
  const www = (nodes: object) => ({ allow: { nodes, logins: ['www'] } });
  const rolesAt = (subject: ReturnType<typeof ann>, node: typeof web | typeof db): readonly string[] => {
    const decided = decide(subject, node, 'www');
    return decided.allowed ? decided.roles : [];
  };

  test('are named for the nodes they speak of, in the order of their names, whichever node is asked about first', () => {
    const list = [
      www({ env: 'prod' }),
      www(everywhere),
      www({ os: 'linux' }),
      www({ env: 'test' }),
      www(everywhere),
      www({ name: 'web-1' }),
    ];
    const subject = ann(list);
    for (let again = 0; again < 2; again++) {
      expect(rolesAt(subject, web)).toEqual(['r0', 'r1', 'r2', 'r4', 'r5']);
      expect(rolesAt(subject, db)).toEqual(['r1', 'r3', 'r4']);
    }
    expect(rolesAt(ann(list), db)).toEqual(['r1', 'r3', 'r4']);
    const backwards = { ...subject, roles: [...subject.roles].reverse() };
    expect(rolesAt(backwards, web)).toEqual(['r0', 'r1', 'r2', 'r4', 'r5']);
  });

  test('are named once, whether they name the login or a template does', () => {
    const own = { allow: { nodes: everywhere, logins: ['{user}'] } };
    const both = { allow: { nodes: everywhere, logins: ['ann', '{user}'] } };
    expect(decide(ann([own, both, own]), web, 'ann')).toMatchObject({ roles: ['r0', 'r1', 'r2'] });
  });
});

describe('the login that owns Steno', () => {
  const owned = { ...web, owner_logins: ['steno', 'root'] };
  const all = { allow: { nodes: everywhere, logins: ['*', 'root'] } };
  test('is for those who administer everything, whatever roles allow', () => {
    const reason = 'login root of node web-1 owns this Steno, so it is for those who administer everything';
    expect(decide(ann([all]), owned, 'root')).toEqual({ allowed: false, reason, because: null });
    expect(decide(ann([all]), owned, 'steno').allowed).toBe(false);
    expect(decide(ann([all]), owned, 'www').allowed).toBe(true);
    expect(decide(ann([all]), web, 'root').allowed).toBe(true);
    expect(decide(ann([all, { administer: true }]), owned, 'root').allowed).toBe(true);
    expect(
      decide(ann([all, { administer: true }, { deny: { rules: [{ resources: ['ca'], verbs: ['read'] }] } }]), owned, 'root').allowed,
    ).toBe(false);
  });

  test('is not among those that can be reached', () => {
    expect(reachableLogins(ann([all]), owned)).toEqual(['*']);
    expect(reachableLogins(ann([all, { administer: true }]), owned)).toEqual(['*', 'root']);
  });
});

test('the nodes that can be reached are those on which some login is left, which are listed in order', () => {
  const allow = { nodes: { env: 'prod' }, logins: ['www', 'ops', '*'] };
  const db = { name: 'db-1', labels: { env: 'test' } };
  expect(reachableNodes(ann([{ allow }]), [db, web]).map(({ name }) => name)).toEqual(['web-1']);
  expect(reachableLogins(ann([{ allow }]), web)).toEqual(['*', 'ops', 'www']);
  expect(reachableLogins(ann([{ allow }]), db)).toEqual([]);
  expect(reachableLogins(ann([{ allow, deny: { logins: ['ops'] } }]), web)).toEqual(['*', 'www']);
  for (const deny of [{ logins: ['*'] }, { nodes: { env: 'prod' } }]) expect(reachableLogins(ann([{ allow }, { deny }]), web)).toEqual([]);
});

test.each<[string, object, boolean]>([
  ['labels of which one is missing', { nodes: { env: 'prod', os: 'bsd' } }, true],
  ['a template that gives another login', { logins: ['{traits.logins}'] }, true],
  ['labels that all hold', { nodes: { env: 'prod', os: 'linux' } }, false],
])('a denial by %s', (_claim, deny, allowed) => {
  const subject = ann([{ allow: { nodes: everywhere, logins: ['www'] } }, { deny }], { logins: ['deploy'] });
  expect(decide(subject, web, 'www').allowed).toBe(allowed);
});

test('labels must hold where an expression does', () => {
  const allow = { nodes: { env: 'prod', os: 'bsd' }, node_expression: "labels.team == 'shop'", logins: ['www'] };
  expect(decide(ann([{ allow }]), web, 'www').allowed).toBe(false);
});

test('of several denials of a node the first by name is told, however they came', () => {
  const denying = ann([
    { allow: { nodes: everywhere, logins: ['www'] } },
    { deny: { nodes: { env: 'prod' } } },
    { deny: { nodes: { os: 'linux' } } },
  ]);
  for (const roles of [denying.roles, [...denying.roles].reverse()])
    expect(decide({ ...denying, roles }, web, 'www')).toEqual({
      allowed: false,
      reason: 'role r1 denies node web-1',
      because: { role: 'r1', path: ['deny', 'nodes'] },
    });
});

test('an agent is forwarded where one role allows it and none denies it', () => {
  const allow = { nodes: everywhere, logins: ['www'] };
  const forwarded = (...roles: object[]): boolean => {
    const decided = decide(ann(roles), web, 'www');
    return decided.allowed && decided.agentForwarding;
  };
  const [yes, no] = [true, false].map((agent_forwarding) => ({ allow, agent_forwarding }));
  expect([forwarded(yes!, no!), forwarded(no!, yes!), forwarded(no!)]).toEqual([true, true, false]);
  expect(forwarded(yes!, { deny: { agent_forwarding: true } })).toBe(false);
});

test('the strictest limit counts in whatever order, and no role limits nothing', () => {
  const terms = (...roles: object[]) => termsOf(ann(roles).roles).limits;
  const roles = [
    { max_sessions: 3, idle_timeout: '1h', disconnect_expired_cert: true },
    { max_sessions: 5, idle_timeout: '5m' },
  ];
  for (const order of [roles, [...roles].reverse()])
    expect(terms(...order)).toMatchObject({ maxSessions: 3, idleTimeout: 300, disconnectExpiredCert: true });
  expect(terms()).toEqual({ maxSessionLength: null, idleTimeout: null, maxSessions: null, disconnectExpiredCert: false, reconnect: null });
});

test('the logins of a user are those named by roles, with templates filled in, but without root from a template', () => {
  expect(
    loginsOf({
      ...ann([{ allow: { logins: ['*', '{traits.logins}'] } }, { allow: { logins: ['{user}', 'www'] } }], {
        logins: ['ops', 'root', 'A B'],
      }),
    }),
  ).toEqual(['*', 'ann', 'ops', 'www']);
});

describe('for any roles', () => {
  const labels = fc.constantFrom<object>(
    {},
    everywhere,
    { env: 'prod' },
    { env: 'test' },
    { env: ['test', 'prod'], os: 'linux' },
    { name: 'web-1' },
    { env: '*' },
    { zone: '*' },
  );
  const logins = fc.subarray(['*', 'root', 'www', '{user}', '{traits.logins}', 'x-{user}']);
  const expression = fc.constantFrom(
    undefined,
    undefined,
    "labels.env == 'prod'",
    "labels.zone == 'a'",
    "labels.os in ['linux'] || labels.env != 'prod'",
    "'ops' in user.traits.team",
  );
  const side = fc.record({ nodes: labels, logins, node_expression: expression });
  const anyRole = fc.record({
    allow: side,
    deny: fc.oneof({ weight: 2, arbitrary: fc.constant<{ logins?: string[] }>({}) }, { weight: 1, arbitrary: side }),
    max_sessions: fc.constantFrom(undefined, 3, 5),
  });
  const node = fc.constantFrom(
    web,
    { name: 'db-1', labels: { env: 'test' } },
    { name: 'x', labels: {} },
    { name: 'z', labels: { zone: 'a', env: 'prod', os: 'bsd' } },
  );
  const login = fc.constantFrom('root', 'www', 'ann', 'x-ann', 'bob', 'ops');
  const traits = fc.constantFrom<Traits>({}, { logins: ['ops', 'root'], team: ['ops'] });
  const scene = { roles: fc.array(anyRole, { maxLength: 4 }), node, login, traits };

  const roles = (list: readonly object[]): Role[] => list.map((one, i) => role({ name: `r${i}`, ...one }));
  const subject = (list: readonly object[], given: Traits) => ({ user: 'ann', traits: given, roles: roles(list) });

  test('adding a deny, to a role or in an additional role, never allows more', () => {
    fc.assert(
      fc.property(fc.record({ ...scene, deny: side, at: fc.nat() }), ({ roles: list, deny, at, ...rest }) => {
        const before = decide(subject(list, rest.traits), rest.node, rest.login);
        const denying = [
          [...list, { deny }],
          ...(list.length === 0
            ? []
            : [
                list.map((one, i) =>
                  i === at % list.length ? { ...one, deny: { ...one.deny, logins: [...(one.deny.logins ?? []), ...deny.logins] } } : one,
                ),
              ]),
        ];
        for (const more of denying)
          if (decide(subject(more, rest.traits), rest.node, rest.login).allowed) expect(before.allowed).toBe(true);
      }),
      { numRuns: 600 },
    );
  });

  test('adding a role that only allows never denies', () => {
    fc.assert(
      fc.property(fc.record({ ...scene, allow: side }), ({ roles: list, allow, ...rest }) => {
        if (decide(subject(list, rest.traits), rest.node, rest.login).allowed)
          expect(decide(subject([...list, { allow }], rest.traits), rest.node, rest.login).allowed).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  test('denying everything denies', () => {
    for (const deny of [{ nodes: everywhere }, { logins: ['*'] }, { node_expression: 'true' }]) {
      fc.assert(
        fc.property(fc.record(scene), ({ roles: list, ...rest }) => {
          expect(decide(subject([...list, { deny }], rest.traits), rest.node, rest.login).allowed).toBe(false);
        }),
        { numRuns: 100 },
      );
    }
  });

  test('their order changes nothing', () => {
    fc.assert(
      fc.property(fc.record(scene), ({ roles: list, ...rest }) => {
        const forward = roles(list);
        const ask = (given: readonly Role[]): Decision => decide({ user: 'ann', traits: rest.traits, roles: given }, rest.node, rest.login);
        expect(ask([...forward].reverse())).toEqual(ask(forward));
      }),
      { numRuns: 300 },
    );
  });

  test('the index finds the same as a scan of all rules', () => {
    fc.assert(
      fc.property(fc.record(scene), ({ roles: list, ...rest }) => {
        // Selectors only, because the plain evaluation of those fits in a line.
        const plain = list.map((one) => ({ allow: { ...one.allow, node_expression: undefined }, deny: {} }));
        const given = roles(plain);
        const named = (pattern: string): boolean =>
          pattern === '*'
            ? rest.login !== 'root'
            : [
                pattern.replace('{user}', 'ann'),
                ...(pattern === '{traits.logins}' ? (rest.traits['logins'] ?? []).filter((l) => l !== 'root') : []),
              ].includes(rest.login);
        const expected = given.some(({ allow }) => matchesSelector(allow.nodes, rest.node) && allow.logins.some(named));
        expect(decide({ user: 'ann', traits: rest.traits, roles: given }, rest.node, rest.login).allowed).toBe(expected);
      }),
      { numRuns: 400 },
    );
  });
});
