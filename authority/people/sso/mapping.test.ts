import { describe, expect, test } from 'vitest';
import { connectorSchema } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import { jsonClaims, mapClaims } from './mapping.js';

const base = {
  kind: 'oidc',
  name: 'okta',
  issuer: 'https://idp.example.com',
  client_id: 'x',
  claims_to_roles: [
    { claim: 'groups', value: 'sre-*', roles: ['sre', 'view'] },
    { claim: 'realm_access.roles', value: 'boss', roles: ['admin'] },
    { claim: 'email', value: '*@example.com', roles: ['view'] },
  ],
  traits: { team: 'groups', place: 'locale' },
};
const mail = { ...base, user: { claim: 'email', strip_domain: true }, email: { domains: ['example.com', 'example.org'] } };

function outcome(document: object, claims: Readonly<Record<string, unknown>>): unknown {
  try {
    return mapClaims(connectorSchema.parse(document), jsonClaims(claims), {
      userClaim: 'preferred_username',
      emailVerified: claims['email_verified'] === true,
    });
  } catch (error) {
    return error instanceof StenoError ? `${error.code}: ${error.detail}` : error;
  }
}

describe('claims become a user', () => {
  test.each<[string, object, Readonly<Record<string, unknown>>, object]>([
    [
      'roles of every rule that matches, each once',
      base,
      { preferred_username: 'ann', groups: ['sre-eu', 'sre-us', 'x'], email: 'ann@example.com' },
      { user: 'ann', roles: ['sre', 'view'], traits: { team: ['sre-eu', 'sre-us', 'x'] } },
    ],
    [
      'a claim that is one text',
      base,
      { preferred_username: 'ann', groups: 'sre-eu' },
      { user: 'ann', roles: ['sre', 'view'], traits: { team: ['sre-eu'] } },
    ],
    [
      'a claim inside another',
      base,
      { preferred_username: 'Ann', realm_access: { roles: ['boss'] }, locale: 'en' },
      { user: 'ann', roles: ['admin'], traits: { place: ['en'] } },
    ],
    [
      'a claim whose name has dots',
      base,
      { preferred_username: 'ann', 'realm_access.roles': ['boss'] },
      { user: 'ann', roles: ['admin'], traits: {} },
    ],
    [
      'a name without its domain',
      mail,
      { email: 'Ann@Example.com', email_verified: true, groups: ['sre-1'] },
      { user: 'ann', roles: ['sre', 'view'], traits: { team: ['sre-1'] } },
    ],
  ])('%s', (_, document, claims, expected) => expect(outcome(document, claims)).toEqual(expected));
});

describe('claims are refused', () => {
  const ok = { preferred_username: 'ann', groups: ['sre-1'] };
  test.each<[string, object, Readonly<Record<string, unknown>>, string]>([
    ['without a name', base, { groups: ['sre-1'] }, 'SSO_NAME'],
    ['with two names', base, { ...ok, preferred_username: ['ann', 'bob'] }, 'SSO_NAME'],
    ['with a name that is a path', base, { ...ok, preferred_username: '../ann' }, 'SSO_NAME'],
    ['with dots in a row', base, { ...ok, preferred_username: 'a..b' }, 'SSO_NAME'],
    ['with a letter that folds to another (K)', base, { ...ok, preferred_username: '\u212aate' }, 'SSO_NAME'],
    ['with a mail address as name', base, { ...ok, preferred_username: 'ann@example.com' }, 'SSO_NAME'],
    ['with a name that is an object', base, { ...ok, preferred_username: { toString: 'x' } }, 'SSO_NAME'],
    ['with a very long name', base, { ...ok, preferred_username: 'a'.repeat(300) }, 'SSO_NAME'],
    ['without a role', base, { ...ok, groups: ['dev', 'xsre-1'] }, 'SSO_NO_ROLE'],
    ['with a group that is nested', base, { ...ok, groups: [['sre-1']] }, 'SSO_NO_ROLE'],
    [
      'with what every object has',
      { ...base, claims_to_roles: [{ claim: 'constructor.name', value: '*', roles: ['admin'] }] },
      ok,
      'SSO_NO_ROLE',
    ],
    ['with too many values of a trait', base, { ...ok, groups: Array.from({ length: 65 }, (_, i) => `sre-${i}`) }, 'SSO_REFUSED'],
    ['with a flood of values', base, { ...ok, groups: Array.from({ length: 2_001 }, (_, i) => `x-${i}`) }, 'SSO_REFUSED'],
    ['of another domain', mail, { email: 'ann@evil.com', email_verified: true, groups: ['sre-1'] }, 'SSO_REFUSED'],
    [
      'of a domain in front of another',
      mail,
      { email: 'ann@example.com@evil.com', email_verified: true, groups: ['sre-1'] },
      'SSO_REFUSED',
    ],
    ['of a subdomain', mail, { email: 'ann@x.example.com', email_verified: true, groups: ['sre-1'] }, 'SSO_REFUSED'],
    ['with a mail address nobody verified', mail, { email: 'ann@example.com', groups: ['sre-1'] }, 'SSO_REFUSED'],
    [
      'with one that is verified in word only',
      mail,
      { email: 'ann@example.com', email_verified: 'true', groups: ['sre-1'] },
      'SSO_REFUSED',
    ],
  ])('%s', (_, document, claims, code) => expect(outcome(document, claims)).toMatch(new RegExp(`^${code}: `)));
});
