import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  EXTENSION_MFA,
  EXTENSION_REQUESTS,
  EXTENSION_ROLES,
  EXTENSION_TRAITS,
  EXTENSION_USER,
  PRINCIPAL_ANY,
  gatewayPrincipal,
  isGatewayPrincipal,
  loginPrincipal,
  namesLogin,
  nodePrincipal,
  formatServiceName,
  identityExtensions,
  identityOf,
  isLogin,
  isName,
  parseServiceName,
  parseTarget,
  serviceKinds,
  stripDomain,
} from './identity.js';

describe('names', () => {
  test.each(['web-1', 'a', '0', 'gw_1.example', 'x'.repeat(63)])('%s is one', (name) => expect(isName(name)).toBe(true));
  test.each(['', '-x', '.x', '_x', 'A', 'a/b', 'a b', 'a..b', '../etc', 'a\n', 'a\0', 'é', 'x'.repeat(64), 'a@b', 'a,b', '*'])(
    '%j is none',
    (name) => expect(isName(name)).toBe(false),
  );
});

describe('logins', () => {
  test.each(['root', '_apt', 'a.b-c', 'u'.repeat(32)])('%s is one', (login) => expect(isLogin(login)).toBe(true));
  test.each(['', '-root', 'Root', '1a', 'a b', 'u'.repeat(33), '*', '{user}', 'a\n', PRINCIPAL_ANY])('%j is none', (login) =>
    expect(isLogin(login)).toBe(false),
  );
});

describe('the user name of a direct connection', () => {
  test.each([
    ['root@web-1', { login: 'root', node: 'web-1' }],
    ['root@WEB-1.steno', { login: 'root', node: 'web-1' }],
    ['a.b@web.example.org', { login: 'a.b', node: 'web.example.org' }],
  ])('%s is a login and a node', (text, target) => expect(parseTarget(text)).toEqual(target));
  test.each(['', 'root', '@web-1', 'root@', 'root@-x', 'a@b@c', '-x@web-1', 'root@a..b', 'root@web-1\n', 'root@.steno'])(
    '%j is not',
    (text) => expect(parseTarget(text)).toBeNull(),
  );
  test('the pseudo domain is removed once', () => expect(stripDomain('a.steno.steno')).toBe('a.steno'));
});

describe('service names', () => {
  test.each(serviceKinds)('of kind %s are formatted and parsed', (kind) =>
    expect(parseServiceName(formatServiceName({ kind, name: 'x-1' }))).toEqual({ kind, name: 'x-1' }),
  );
  test.each([
    '',
    'gateway',
    'gateway/',
    '/x',
    'Gateway/x',
    'gateway/x/y',
    'gateway//x',
    'gateway/../x',
    ' gateway/x',
    'toString/x',
    'root/x',
  ])('%j is none', (text) => expect(parseServiceName(text)).toBeNull());
});

describe('the identity in a certificate', () => {
  const certificate = (extensions: Record<string, string>) => ({
    serial: 2n ** 63n,
    keyId: 'k',
    validBefore: 10n,
    extensions: new Map(Object.entries(extensions)),
  });
  test('is user and roles', () => {
    expect(identityOf(certificate({ [EXTENSION_USER]: 'ann', [EXTENSION_ROLES]: 'dev,ops' }))).toEqual({
      user: 'ann',
      roles: ['dev', 'ops'],
      traits: {},
      mfa: null,
      requests: [],
      cluster: null,
      serial: '9223372036854775808',
      keyId: 'k',
      validBefore: 10,
    });
  });
  test.each([
    { user: 'ann', roles: ['dev'], traits: {}, mfa: null, requests: [] },
    { user: 'ann', roles: ['dev', 'ops'], traits: { logins: ['ann', 'é,"'], 'https://x/y': [] }, mfa: 'totp-1', requests: ['r-1', 'r-2'] },
  ])('is encoded and decoded: %j', (identity) => {
    expect(identityOf({ serial: 1n, keyId: 'k', validBefore: 10n, extensions: identityExtensions(identity) })).toEqual({
      ...identity,
      cluster: null,
      serial: '1',
      keyId: 'k',
      validBefore: 10,
    });
  });
  test.each([
    ['traits that are not JSON', { [EXTENSION_TRAITS]: '{' }],
    ['traits of another shape', { [EXTENSION_TRAITS]: '{"a":"b"}' }],
    ['too many values', { [EXTENSION_TRAITS]: JSON.stringify({ a: Array(65).fill('x') }) }],
    ['an invalid device name', { [EXTENSION_MFA]: '' }],
    ['an invalid request id', { [EXTENSION_REQUESTS]: 'r-1,' }],
  ])('is null with %s', (_name, more) =>
    expect(identityOf(certificate({ [EXTENSION_USER]: 'ann', [EXTENSION_ROLES]: 'dev', ...more } as Record<string, string>))).toBeNull(),
  );
  test('is null without a user, and with an invalid name', () => {
    expect(identityOf(certificate({ [EXTENSION_ROLES]: 'dev' }))).toBeNull();
    expect(identityOf(certificate({ [EXTENSION_USER]: '../ann', [EXTENSION_ROLES]: 'dev' }))).toBeNull();
    for (const roles of ['', 'dev,', ',', 'dev,*', 'dev ops', Array(257).fill('r').join(',')])
      expect(identityOf(certificate({ [EXTENSION_USER]: 'ann', [EXTENSION_ROLES]: roles }))).toBeNull();
  });
});

describe('the principals of a user certificate', () => {
  test('name logins in a form that is not itself a login', () => {
    for (const login of ['root', 'deploy'])
      expect([isLogin(loginPrincipal(login)), namesLogin([loginPrincipal(login)], login)]).toEqual([false, true]);
  });
  test.each([
    [['-steno-login:www'], 'root', false],
    [['-steno-any'], 'www', true],
    [['-steno-any'], 'root', false],
    [['-steno-any', '-steno-login:root'], 'root', true],
    [['-steno-none'], 'www', false],
    [['www'], 'www', true],
    [['www'], 'ww', false],
    [[], 'root', false],
    [['-steno-any'], '-steno-any', false],
    [['-steno-login:a'], '-steno-login:a', false],
  ] as const)('%j: %s is named, %s', (principals, login, named) => {
    expect(namesLogin(principals, login)).toBe(named);
  });
});

describe('principals', () => {
  const name = fc.stringMatching(/^[a-z0-9][a-z0-9_.-]{0,20}$/).filter(isName);
  const login = fc.stringMatching(/^[a-z_][a-z0-9_.-]{0,20}$/);
  test('of gateways are not names of nodes, with or without the domain', () => {
    fc.assert(
      fc.property(name, name, (node, cluster) => {
        expect([node, `${node}.steno`].some(isGatewayPrincipal)).toBe(false);
        expect(isName(gatewayPrincipal(cluster))).toBe(false);
      }),
    );
  });

  test('of a login on a node are valid for that pair only, and are not logins themselves', () => {
    fc.assert(
      fc.property(login, name, login, name, (one, at, other, elsewhere) => {
        expect(nodePrincipal(one, at) === nodePrincipal(other, elsewhere)).toBe(one === other && at === elsewhere);
        expect(isLogin(nodePrincipal(one, at))).toBe(false);
        expect(namesLogin([nodePrincipal(one, at)], nodePrincipal(one, at), at)).toBe(false);
      }),
    );
  });

  test('of a certificate that names nodes count only on those; one without nodes counts everywhere', () => {
    fc.assert(
      fc.property(login, name, name, (one, at, elsewhere) => {
        expect(namesLogin([one, nodePrincipal(one, at)], one, elsewhere)).toBe(at === elsewhere);
        expect(namesLogin([loginPrincipal(one)], one, elsewhere)).toBe(true);
      }),
    );
  });
});
