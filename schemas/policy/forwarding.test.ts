import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roleSchema } from './role.js';
import type { Role } from './role.js';
import {
  NO_FORWARDING,
  USUAL_FORWARDING,
  decodeForwarding,
  denialOf,
  destinationsIn,
  encodeForwarding,
  forwardDenial,
  forwardSettings,
  forwardingOf,
  grantOf,
  isAnyForwarding,
  isDenialWithin,
  isGrantWithin,
  permittedAddresses,
  refuseConnecting,
  refuseListening,
  refuseSocket,
} from './forwarding.js';
import type { Forwarding } from './forwarding.js';
import { decide } from './node.js';

const allow = { nodes: { '*': '*' }, logins: ['www'] };
function rulesOf(...roles: readonly object[]): Forwarding {
  const parsed = roles.map((one, i): Role => roleSchema.parse({ kind: 'role', name: `r${i}`, allow, ...one }));
  const decision = decide({ user: 'ann', traits: {}, roles: parsed }, { name: 'web-1', labels: {} }, 'www');
  if (!decision.allowed) throw new Error(decision.reason);
  return decision.forwarding;
}
const own = ['10.0.0.5', 'fd00::5'];
/** The decision of a node that resolved the host to this address. */
const node = (rules: Forwarding, host: string, address: string, port = 443): boolean =>
  permittedAddresses(rules, { host, port }, [address], own).length === 1;
const closed = { loopback: false };

describe('the node connects', () => {
  const table: [string, object[], string, string, number, boolean][] = [
    ['anywhere by default', [{}], '10.1.1.1', '10.1.1.1', 80, true],
    ['to itself by default', [{}], 'localhost', '127.0.0.1', 80, true],
    ['not to the metadata service by default', [{}], '169.254.169.254', '169.254.169.254', 80, false],
    ['not to it by a name that resolves to it', [{}], 'innocent.example.com', '169.254.169.254', 80, false],
    [
      'not to it even if `to` names it',
      [{ port_forwarding: { to: ['169.254.169.254'] } }],
      '169.254.169.254',
      '169.254.169.254',
      80,
      false,
    ],
    ['to it if a role opens it', [{ port_forwarding: { metadata: true } }], '169.254.169.254', '169.254.169.254', 80, true],
    [
      'not to it if another role denies it',
      [{ port_forwarding: { metadata: true } }, { deny: { port_forwarding: { metadata: true } } }],
      '169.254.169.254',
      '169.254.169.254',
      80,
      false,
    ],
    ['not to itself if loopback is closed', [{ port_forwarding: closed }], 'localhost', '127.0.0.1', 80, false],
    ['not by another of its addresses', [{ port_forwarding: closed }], '10.0.0.5', '10.0.0.5', 80, false],
    ['not by the unspecified address', [{ port_forwarding: closed }], '0', '0.0.0.0', 80, false],
    ['to itself if another role of the user allows it', [{ port_forwarding: closed }, {}], 'localhost', '127.0.0.1', 80, true],
    ['not to itself if one role denies it', [{}, { deny: { port_forwarding: { loopback: true } } }], 'localhost', '::1', 80, false],
    ['where `to` says', [{ port_forwarding: { to: ['10.0.0.0/8:80'] } }], '10.9.9.9', '10.9.9.9', 80, true],
    ['to no other port', [{ port_forwarding: { to: ['10.0.0.0/8:80'] } }], '10.9.9.9', '10.9.9.9', 81, false],
    ['to no other address', [{ port_forwarding: { to: ['10.0.0.0/8:80'] } }], '11.0.0.1', '11.0.0.1', 80, false],
    ['to a name that `to` names', [{ port_forwarding: { to: ['db.example.com:5432'] } }], 'DB.Example.com.', '192.0.2.1', 5432, true],
    ['below a name', [{ port_forwarding: { to: ['*.example.com'] } }], 'a.b.example.com', '192.0.2.1', 5432, true],
    ['not at the name itself', [{ port_forwarding: { to: ['*.example.com'] } }], 'example.com', '192.0.2.1', 5432, false],
    ['not to a name with the same ending', [{ port_forwarding: { to: ['*.example.com'] } }], 'aexample.com', '192.0.2.1', 5432, false],
    [
      'not to itself by a name that `to` names',
      [{ port_forwarding: { ...closed, to: ['db.example.com'] } }],
      'db.example.com',
      '127.0.0.1',
      80,
      false,
    ],
    [
      'grants of two roles are not combined',
      [{ port_forwarding: { to: ['10.0.0.0/8'] } }, { port_forwarding: { ...closed, to: ['*'] } }],
      'localhost',
      '127.0.0.1',
      80,
      false,
    ],
    ['not to a denied block', [{}, { deny: { port_forwarding: { to: ['10.0.0.0/8'] } } }], '10.1.1.1', '10.1.1.1', 80, false],
    [
      'not to a denied block through a translator',
      [{}, { deny: { port_forwarding: { to: ['10.0.0.0/8'] } } }],
      '64:ff9b::a01:101',
      '64:ff9b::a01:101',
      80,
      false,
    ],
    ['not to a denied name', [{}, { deny: { port_forwarding: { to: ['db.example.com'] } } }], 'db.example.com', '192.0.2.1', 80, false],
    ['nowhere if everything is denied', [{}, { deny: { port_forwarding: true } }], '10.1.1.1', '10.1.1.1', 80, false],
    ['nowhere without a grant', [{ port_forwarding: false }], '10.1.1.1', '10.1.1.1', 80, false],
    ['nowhere if only listening is granted', [{ port_forwarding: { local: false } }], '10.1.1.1', '10.1.1.1', 80, false],
  ];
  test.each(table)('%s', (_claim, roles, host, address, port, allowed) => {
    const rules = rulesOf(...roles);
    expect(node(rules, host, address, port)).toBe(allowed);
    expect(node(decodeForwarding(encodeForwarding(rules)), host, address, port)).toBe(allowed);
    // If the node checks, the gateway never refuses a connection that the node would allow.
    if (allowed) expect(refuseConnecting(rules, { host, port }, true)).toBeNull();
  });
});

describe('the gateway passes to a node that does not check names', () => {
  const table: [string, object[], string, boolean][] = [
    ['a name, by default', [{}], 'db.example.com', true],
    ['localhost, by default', [{}], 'localhost', true],
    ['the known name of a metadata service: never', [{}], 'metadata.google.internal', false],
    ['localhost if loopback is closed: never', [{ port_forwarding: closed }], 'x.localhost', false],
    ['the empty host if loopback is closed: never', [{ port_forwarding: closed }], '', false],
    ['any name if loopback is closed: no, it may resolve to loopback', [{ port_forwarding: closed }], 'db.example.com', false],
    ['a name that `to` names', [{ port_forwarding: { ...closed, to: ['db.example.com'] } }], 'db.example.com', true],
    ['a name if `to` lists blocks', [{ port_forwarding: { to: ['10.0.0.0/8'] } }], 'db.example.com', false],
    ['a name if `to` lists ports only', [{ port_forwarding: { to: ['*:80', '*:443'] } }], 'db.example.com', true],
    ['a name if an address is denied', [{}, { deny: { port_forwarding: { to: ['10.0.0.1'] } } }], 'db.example.com', false],
    ['localhost if its address is denied', [{}, { deny: { port_forwarding: { to: ['127.0.0.1'] } } }], 'localhost', false],
    ['a name if metadata is denied', [{}, { deny: { port_forwarding: { metadata: true } } }], 'db.example.com', false],
    ['an address', [{ port_forwarding: { ...closed, to: ['10.0.0.0/8'] } }], '10.1.1.1', true],
    ['an address in another spelling', [{ port_forwarding: closed }], '0x7f.1', false],
    ['a metadata address with a trailing dot', [{}], '169.254.169.254.', false],
    ['one in brackets', [{}], '[fe80::1]', false],
    ['one in digits of another script', [{}], '１６９.254.169.254', false],
    ['one with a blank', [{}], '169.254.169.254 ', false],
    ['one with a NUL after a name', [{}], 'localhost\0.example.com', false],
  ];
  test.each(table)('%s', (_claim, roles, host, passes) =>
    expect(refuseConnecting(rulesOf(...roles), { host, port: 443 }, false) === null).toBe(passes),
  );
});

test('directions and sockets are granted and denied independently', () => {
  expect(refuseListening(rulesOf({}), false)).toBeNull();
  expect(refuseListening(rulesOf({ port_forwarding: { remote: false } }), false)).not.toBeNull();
  expect(refuseListening(rulesOf({ port_forwarding: { sockets: false } }), false)).toBeNull();
  expect(refuseListening(rulesOf({ port_forwarding: { sockets: false } }), true)).not.toBeNull();
  expect(refuseSocket(rulesOf({}))).toBeNull();
  expect(refuseSocket(rulesOf({ port_forwarding: { sockets: false } }))).not.toBeNull();
  expect(refuseSocket(rulesOf({}, { deny: { port_forwarding: { sockets: true } } }))).not.toBeNull();
  expect(refuseSocket(rulesOf({ port_forwarding: { local: false } }))).not.toBeNull();
  expect(isAnyForwarding(rulesOf({}, { deny: { port_forwarding: { local: true, remote: true } } }))).toBe(false);
});

test('a refusal says what was asked for, and what it is', () => {
  const why = (host: string, port: number, ...roles: readonly object[]): string | null =>
    refuseConnecting(rulesOf(...roles), { host, port }, true);
  expect(why('10.1.1.1', 80, { port_forwarding: { to: ['10.0.0.1'] } })).toBe('no role allows port forwarding to 10.1.1.1:80');
  expect(why('127.1', 80, { port_forwarding: closed })).toBe('no role allows port forwarding to 127.1:80 (the node itself)');
  expect(why('localhost', 80, { port_forwarding: closed })).toBe('no role allows port forwarding to localhost:80 (the node itself)');
  expect(why('169.254.169.254', 80, {})).toBe('no role allows port forwarding to 169.254.169.254:80 (a link-local or metadata address)');
  expect(why('db', 65_536, {})).toBe('there is no port 65536');
  expect(why('db', 65_535, {})).toBeNull();
  expect(refuseListening(NO_FORWARDING, false)).toBe('no role allows port forwarding from a port of the node');
  expect(refuseListening(NO_FORWARDING, true)).toBe('no role allows port forwarding from a socket of the node');
  expect(refuseSocket(NO_FORWARDING)).toBe('no role allows port forwarding to a socket of the node');
  // A name on a node that does not check: an address would do.
  expect(refuseConnecting(rulesOf({ port_forwarding: closed }), { host: 'db', port: 80 }, false)).toMatch(/use an address$/);
});

test('a node that checks names is sent every name that no rule is against', () => {
  const passes = (host: string, ...roles: readonly object[]): boolean =>
    refuseConnecting(rulesOf(...roles), { host, port: 80 }, true) === null;
  expect(passes('db', {})).toBe(true);
  expect(passes('db', { port_forwarding: { to: ['10.0.0.0/8'] } })).toBe(true);
  expect(passes('db', { port_forwarding: { local: false } })).toBe(false);
  expect(passes('db', { port_forwarding: false })).toBe(false);
  expect(passes('db', {}, { deny: { port_forwarding: { to: ['db'] } } })).toBe(false);
  expect(passes('db', {}, { deny: { port_forwarding: { to: ['db:81'] } } })).toBe(true);
  expect(passes('db', {}, { deny: { port_forwarding: { local: true } } })).toBe(false);
  expect(passes('db', {}, { deny: { port_forwarding: { remote: true } } })).toBe(true);
});

test('an address that no machine has is none to connect to', () => {
  expect(permittedAddresses(rulesOf({}), { host: 'db', port: 80 }, ['10.1.1.1', '256.1.1.1', 'db', ''], ['no address'])).toEqual([
    '10.1.1.1',
  ]);
});

test('listening is denied by itself, and for sockets by themselves', () => {
  const [remote, sockets, local] = [{ remote: true }, { sockets: true }, { local: true }].map((port_forwarding) =>
    rulesOf({}, { deny: { port_forwarding } }),
  ) as [Forwarding, Forwarding, Forwarding];
  expect([remote, sockets, local].map((rules) => refuseListening(rules, false) === null)).toEqual([false, true, true]);
  expect([remote, sockets, local].map((rules) => refuseListening(rules, true) === null)).toEqual([false, false, true]);
  expect([remote, sockets, local].map((rules) => refuseSocket(rules) === null)).toEqual([true, false, false]);
  expect([remote, sockets, local].map(isAnyForwarding)).toEqual([true, true, true]);
});

describe('what a role says of forwarding', () => {
  const grant = (more: object = {}) => forwardSettings.parse(more);
  const denial = (more: object) => forwardDenial.parse(more);

  test('grants the usual where it says nothing, and nothing where neither direction is granted', () => {
    const usual = { local: true, remote: true, sockets: true, loopback: true, metadata: false };
    expect(grantOf(true)).toEqual(usual);
    expect(USUAL_FORWARDING).toEqual({ allow: [usual], deny: [] });
    expect([grantOf(false), grantOf(grant({ local: false, remote: false }))]).toEqual([null, null]);
    for (const one of [grant({ local: false }), grant({ remote: false })]) expect(grantOf(one)).toEqual(one);
  });

  test('denies everything, nothing, or what it names', () => {
    expect(denialOf(true)).toEqual({ local: true, remote: true, sockets: true, loopback: true, metadata: true });
    expect([denialOf(false), denialOf(denial({}))]).toEqual([null, null]);
    for (const one of [denial({ sockets: true }), denial({ to: ['db'] })]) expect(denialOf(one)).toEqual(one);
  });

  test.each<[string, object, object, boolean]>([
    ['the same', {}, {}, true],
    ['less', { remote: false }, {}, true],
    ['another direction', {}, { remote: false }, false],
    ['metadata', { metadata: true }, {}, false],
    ['some of anywhere', { to: ['db'] }, {}, true],
    ['some of some', { to: ['db'] }, { to: ['db', '10.0.0.0/8'] }, true],
    ['more than some', { to: ['db', 'x'] }, { to: ['db'] }, false],
    ['anywhere', {}, { to: ['*'] }, false],
  ])('a grant of %s lies within another: %j in %j', (_claim, inner, outer, within) => {
    expect(isGrantWithin(grant(inner), grant(outer))).toBe(within);
  });

  test.each<[string, object, object, boolean]>([
    ['nothing', {}, {}, true],
    ['the same', { loopback: true, to: ['db'] }, { loopback: true, to: ['db'] }, true],
    ['less', { loopback: true }, { loopback: true, metadata: true, to: ['db'] }, true],
    ['another flag', { loopback: true }, { metadata: true }, false],
    ['a destination more', { to: ['db', 'x'] }, { to: ['db'] }, false],
    ['a destination, where there are none', { to: ['db'] }, { loopback: true }, false],
    ['anything, in both directions', { loopback: true, to: ['db'] }, { local: true, remote: true }, true],
    ['a flag, in one direction', { loopback: true }, { local: true }, false],
    ['a flag, in the other', { loopback: true }, { remote: true }, false],
  ])('a denial of %s lies within another: %j in %j', (_claim, inner, outer, within) => {
    expect(isDenialWithin(denial(inner), denial(outer))).toBe(within);
  });

  test('is put together without doubles, the same however the roles came', () => {
    const [a, b] = [grant({ to: ['a'] }), grant({ to: ['b', 'c'] })];
    const no = denial({ to: ['x'] });
    expect(forwardingOf([], [no])).toBe(NO_FORWARDING);
    expect(forwardingOf([a], [])).toEqual({ allow: [a], deny: [] });
    const all = forwardingOf([b, a, grant({ to: ['a'] })], [no, denial({ to: ['x'] })]);
    expect(all).toEqual({ allow: [a, b], deny: [no] });
    expect(forwardingOf([a, a, b], [no])).toEqual(all);
    expect(forwardingOf([a], [no, no])).toEqual({ allow: [a], deny: [no] });
    expect(destinationsIn(all)).toBe(4);
    expect(destinationsIn(USUAL_FORWARDING)).toBe(0);
  });

  test('counts as forwarding while one direction is left', () => {
    const left = (allowed: object, ...denied: object[]): boolean => isAnyForwarding({ allow: [grant(allowed)], deny: denied.map(denial) });
    expect([left({}), left({ local: false }), left({ remote: false }), left({ local: false, remote: false })]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect([left({}, { local: true }), left({}, { remote: true }), left({}, { local: true }, { remote: true })]).toEqual([
      true,
      true,
      false,
    ]);
    expect([left({ local: false }, { remote: true }), left({ remote: false }, { local: true })]).toEqual([false, false]);
  });

  test('of one role is sent, and of more than 64 destinations is no rule', () => {
    const many = (count: number) => ({ to: Array.from({ length: count }, (_, n) => `10.0.0.${n}`) });
    expect([0, 1, 64, 65].map((count) => forwardSettings.safeParse(many(count)).success)).toEqual([false, true, true, false]);
    expect(forwardDenial.safeParse({ to: ['127.1'] }).success).toBe(false);
    expect(forwardSettings.safeParse({ to: [`${'a'.repeat(60)}.`.repeat(5)] }).success).toBe(false);
    expect(decodeForwarding('{"allow":[],"deny":[{"local":true}]}')).toEqual({ allow: [], deny: [denial({ local: true })] });
  });
});

test.each([
  '',
  '{}',
  'null',
  '[]',
  '{"allow":[{"local":1}],"deny":[]}',
  '{"allow":[{}],"deny":[],"x":1}',
  '{"allow":[{"to":["127.1"]}],"deny":[]}',
])('malformed rules %j allow nothing', (text) => {
  expect(isAnyForwarding(decodeForwarding(text))).toBe(false);
});

describe('for any roles and spelling', () => {
  /** Spellings of an IPv4 address that some resolver accepts. */
  const spelled = (address: string): fc.Arbitrary<string> => {
    const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
    const number = (n: number): fc.Arbitrary<string> =>
      fc.constantFrom(String(n), `0x${n.toString(16)}`, `0${n.toString(8)}`, `0X${n.toString(16)}`, `00${n.toString(8)}`);
    const hex = (n: number): string => n.toString(16);
    return fc.oneof(
      number(a * 2 ** 24 + b * 65_536 + c * 256 + d),
      fc.tuple(number(a), number(b * 65_536 + c * 256 + d)).map((parts) => parts.join('.')),
      fc.tuple(number(a), number(b), number(c * 256 + d)).map((parts) => parts.join('.')),
      fc.tuple(number(a), number(b), number(c), number(d)).map((parts) => parts.join('.')),
      fc.constantFrom(
        `::ffff:${address}`,
        `::FFFF:${address}`,
        `0:0:0:0:0:ffff:${address}`,
        `::ffff:${hex(a * 256 + b)}:${hex(c * 256 + d)}`,
        `::${address}`,
        `64:ff9b::${address}`,
        `64:ff9b::${hex(a * 256 + b)}:${hex(c * 256 + d)}`,
        `::ffff:0:${address}`,
        `2002:${hex(a * 256 + b)}:${hex(c * 256 + d)}::1`,
        `64:ff9b:1::${address}`,
      ),
    );
  };
  const settings = fc.oneof(
    fc.boolean(),
    fc.record({
      local: fc.boolean(),
      loopback: fc.boolean(),
      to: fc.constantFrom(undefined, ['*'], ['169.254.0.0/16', '127.0.0.0/8'], ['10.0.0.0/8'], ['::/0', '0.0.0.0/0']),
    }),
  );
  const denials = fc.constantFrom({}, { port_forwarding: { loopback: true } }, { port_forwarding: { to: ['10.0.0.0/8'] } });
  const roles = fc.array(fc.record({ port_forwarding: settings, deny: denials }), { minLength: 1, maxLength: 3 });

  test('no spelling of a metadata address passes unless a role opens metadata', () => {
    fc.assert(
      fc.property(
        roles,
        fc.constantFrom('169.254.169.254', '169.254.170.2', '100.100.100.200', '192.0.0.192', '168.63.129.16').chain(spelled),
        fc.integer({ min: 1, max: 65_535 }),
        fc.boolean(),
        (given, host, port, checks) => {
          expect(refuseConnecting(rulesOf(...given), { host, port }, checks)).not.toBeNull();
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('no spelling of loopback passes if every role closes it', () => {
    fc.assert(
      fc.property(roles, fc.constantFrom('127.0.0.1', '127.8.9.10', '0.0.0.0').chain(spelled), fc.boolean(), (given, host, checks) => {
        const rules = rulesOf(
          ...given.map((one) => ({
            ...one,
            port_forwarding: typeof one.port_forwarding === 'boolean' ? { loopback: false } : { ...one.port_forwarding, loopback: false },
          })),
        );
        expect(refuseConnecting(rules, { host, port: 80 }, checks)).not.toBeNull();
      }),
      { numRuns: 2_000 },
    );
  });

  test('a gateway passes no address to a non-checking node that a checking node would refuse', () => {
    fc.assert(
      fc.property(roles, fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('127.0.0.1', '::1', 'fe80::1')), (given, host) => {
        const rules = rulesOf(...given);
        if (refuseConnecting(rules, { host, port: 80 }, false) === null)
          expect(permittedAddresses(rules, { host, port: 80 }, [host])).toHaveLength(1);
      }),
      { numRuns: 1_000 },
    );
  });

  test('a denial, in an existing or an additional role, never opens anything', () => {
    fc.assert(
      fc.property(
        roles,
        fc.oneof(fc.ipV4(), fc.constantFrom('127.0.0.1', '169.254.1.1', 'db.example.com', 'localhost')),
        fc.boolean(),
        (given, host, checks) => {
          const before = refuseConnecting(rulesOf(...given), { host, port: 80 }, checks);
          const after = refuseConnecting(
            rulesOf(...given, { deny: { port_forwarding: { loopback: true, to: ['10.0.0.0/8'] } }, port_forwarding: false }),
            { host, port: 80 },
            checks,
          );
          if (before !== null) expect(after).not.toBeNull();
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
