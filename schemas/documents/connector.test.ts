import { describe, expect, test } from 'vitest';
import { connectorSchema, isProviderUrl, matchesGlob } from './connector.js';

const oidc = {
  kind: 'oidc',
  name: 'okta',
  issuer: 'https://example.okta.com',
  client_id: 'steno',
  claims_to_roles: [{ claim: 'groups', value: 'sre-*', roles: ['sre'] }],
};

describe('a connector', () => {
  test('has safe defaults', () => {
    expect(connectorSchema.parse(oidc)).toMatchObject({
      id_token_algorithm: 'RS256',
      client_auth: 'basic',
      userinfo: false,
      logout: false,
      traits: {},
    });
  });

  test.each<[string, object]>([
    ['an unknown field', { ...oidc, groups: [] }],
    ['a path in its name', { ...oidc, name: '../roles' }],
    ['the name of another way of signing in', { ...oidc, name: 'local' }],
    ['plain http', { ...oidc, issuer: 'http://idp.example.com' }],
    ['credentials in a URL', { ...oidc, issuer: 'https://a:b@idp.example.com' }],
    ['a fragment in a URL', { ...oidc, issuer: 'https://idp.example.com/#x' }],
    ['the algorithm none', { ...oidc, id_token_algorithm: 'none' }],
    ['a shared-secret algorithm', { ...oidc, id_token_algorithm: 'HS256' }],
    ['no mapping', { ...oidc, claims_to_roles: [] }],
    ['a mapping to no role', { ...oidc, claims_to_roles: [{ claim: 'groups', value: '*', roles: [] }] }],
    [
      'an invalid certificate',
      {
        kind: 'saml',
        name: 'adfs',
        entity_id: 'x',
        sso_url: 'https://idp.example.com',
        certificates: ['x'],
        claims_to_roles: oidc.claims_to_roles,
      },
    ],
    ['names stripped of any domain', { ...oidc, user: { claim: 'email', strip_domain: true } }],
    ['another kind', { ...oidc, kind: 'ldap' }],
  ])('with %s is refused', (_, document) => expect(connectorSchema.safeParse(document).success).toBe(false));
});

test.each([
  ['https://idp.example.com/x', true],
  ['http://127.0.0.1:80', true],
  ['http://localhost:3000', true],
  ['http://[::1]:1', true],
  ['http://127.0.0.1.example.com', false],
  ['http://localhost.example.com', false],
  ['ftp://127.0.0.1', false],
  ['javascript:alert(1)', false],
  ['//idp', false],
])('%s as the URL of a provider: %s', (url, good) => expect(isProviderUrl(url)).toBe(good));

test.each([
  ['sre', 'sre', true],
  ['sre', 'sre-1', false],
  ['sre-*', 'sre-1', true],
  ['*', '', true],
  ['*-admin', 'x-admin-y-admin', true],
  ['a*b*c', 'abbc', true],
  ['a*b*c', 'acb', false],
  ['a.c', 'abc', false],
  ['', '', true],
  ['', 'a', false],
  [`${'*a'.repeat(40)}b`, 'a'.repeat(255), false],
])('the pattern %s against %s: %s', (pattern, value, matches) => expect(matchesGlob(pattern, value)).toBe(matches));
