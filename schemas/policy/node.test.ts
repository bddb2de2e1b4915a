import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Traits } from '../base/identity.js';
import { roleSchema } from './role.js';
import type { Role } from './role.js';
import { decide, loginsOf, mayReach, reachableLogins } from './node.js';
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
