import { describe, expect, test } from 'vitest';
import { Access } from './access.js';
import { Identities, clearedCookie, cookieToken } from './identity.js';

const token = '0123456789abcdef0123456789abcdef';
const identitiesOf = (secure: boolean): Identities =>
  new Identities(undefined as never, undefined as never, new Access(() => ({})), () => 0, secure);
const web = { token, user: 'alice', traits: {}, roles: [], expires_at: 60_000, via: 'local', mfa: null, since: 0 };

describe('the cookie of a web session', () => {
  test('is, over TLS, one that no neighbour of this host can plant', () => {
    const { cookie } = identitiesOf(true).begin(web);
    expect(cookie).toBe(`__Host-steno_session=${token}; Max-Age=60; Path=/; HttpOnly; Secure; SameSite=Strict`);
    expect(clearedCookie(true)).toMatch(/^__Host-steno_session=; .*Secure/);
    expect(cookieToken(`steno_session=${token}`, true)).toBeNull();
    expect(cookieToken(`steno_session=x${token}; __Host-steno_session=${token}`, true)).toBe(token);
  });

  test('without TLS, which is loopback alone, is the plain one', () => {
    expect(identitiesOf(false).begin(web).cookie).toBe(`steno_session=${token}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict`);
    expect(cookieToken(`__Host-steno_session=${token}`, false)).toBeNull();
    expect(cookieToken(`steno_session=${token}`, false)).toBe(token);
  });
});
