/** OpenID Connect against a real provider. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oidcConnectorSchema } from '#schemas/documents/connector.js';
import type { OidcConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { AttemptFacts, LoginOutcome } from '../login/connector.js';
import { ProviderMetadata, beginOidc, finishOidc, oidcLogoutUrl } from './oidc.js';
import type { SsoMemory } from './saml.js';
import { CLIENT_ID, CLIENT_SECRET, openidProvider, walkThrough } from './testing/openid-provider.js';
import type { OpenidProvider } from './testing/openid-provider.js';

const callback = 'http://127.0.0.1:1/api/login/callback/idp';
const bound: [string, string][] = [];
const memory: SsoMemory = { firstUse: async () => true, bindSubject: async (_, subject, user) => void bound.push([subject, user]) };
let idp: OpenidProvider;

const claims = (name: string) => ({
  groups: name === 'nobody' ? [] : ['sre', 'staff'],
  email: `${name}@example.com`,
  email_verified: true,
  locale: 'en',
});

beforeAll(async () => {
  idp = await openidProvider({ callback: () => callback, claims });
});
afterAll(() => idp.close());

let count = 0;
const attemptOf = (): AttemptFacts => ({ state: `state-${(count += 1)}`.padEnd(43, 'x'), callback });
const connector = (more: Partial<OidcConnector> = {}): OidcConnector => ({
  ...oidcConnectorSchema.parse({
    kind: 'oidc',
    name: 'idp',
    issuer: idp.issuer,
    client_id: CLIENT_ID,
    scopes: ['openid', 'profile', 'groups', 'email'],
    claims_to_roles: [{ claim: 'groups', value: 'sre', roles: ['sre'] }],
    traits: { team: 'groups' },
  }),
  ...more,
});

async function logIn(
  name: string,
  options: { readonly connector?: OidcConnector; readonly providers?: ProviderMetadata; readonly alter?: (url: URL) => void } = {},
): Promise<{ readonly outcome: LoginOutcome; readonly again: () => Promise<LoginOutcome> }> {
  const [document, providers, attempt] = [
    options.connector ?? connector(),
    options.providers ?? new ProviderMetadata(Date.now),
    attemptOf(),
  ];
  const { url, kept } = await beginOidc(document, CLIENT_SECRET, providers, attempt);
  const back = await walkThrough(url, name, callback);
  options.alter?.(back);
  const finish = () =>
    finishOidc(
      document,
      CLIENT_SECRET,
      providers,
      { method: 'GET', query: Object.fromEntries(back.searchParams), form: {} },
      kept,
      attempt,
      memory,
    );
  return { outcome: await finish(), again: finish };
}

const refusal = (act: Promise<unknown>): Promise<string> =>
  act.then(
    () => 'accepted',
    (error: unknown) => (error instanceof StenoError ? `${error.code} ${error.detail ?? ''}` : `not a refusal: ${String(error)}`),
  );

describe('a login', () => {
  test('ends with the user that the provider knows, bound to its sub', async () => {
    expect((await logIn('ann')).outcome).toEqual({ user: 'ann', roles: ['sre'], traits: { team: ['sre', 'staff'] }, mfa: null });
    expect(bound.at(-1)).toEqual([`${idp.issuer} sub ann`, 'ann']);
  });

  test('by a mail address that the provider has verified', async () => {
    const document = connector({ user: { claim: 'email', strip_domain: true }, email: { claim: 'email', domains: ['example.com'] } });
    expect((await logIn('bob', { connector: document })).outcome.user).toBe('bob');
  });

  test('reads claims from userinfo where the connector says so', async () => {
    const reticent = await openidProvider({ callback: () => callback, claims, byUserinfo: true });
    try {
      const document = { ...connector(), issuer: reticent.issuer };
      expect(await refusal(logIn('ann', { connector: document }))).toBe('SSO_NAME the provider sends no preferred_username');
      expect((await logIn('ann', { connector: { ...document, userinfo: true, client_auth: 'post' } })).outcome.roles).toEqual(['sre']);
    } finally {
      await reticent.close();
    }
  });

  test('goes on when the provider has changed its keys a moment ago', async () => {
    const providers = new ProviderMetadata(Date.now);
    await logIn('ann', { providers });
    idp.rotate();
    expect((await logIn('ann', { providers })).outcome.user).toBe('ann');
  });

  test('asks with PKCE, state and nonce, each new', async () => {
    const begun = await Promise.all([1, 2].map(() => beginOidc(connector(), CLIENT_SECRET, new ProviderMetadata(Date.now), attemptOf())));
    const [one, two] = begun.map(({ url }) => new URL(url).searchParams);
    expect(one!.get('code_challenge_method')).toBe('S256');
    for (const name of ['code_challenge', 'state', 'nonce']) {
      expect(one!.get(name)!.length).toBeGreaterThanOrEqual(43);
      expect(one!.get(name)).not.toBe(two!.get(name));
    }
    expect(begun[0]!.url).not.toContain(begun[0]!.kept.verifier);
  });
});

describe('an answer is refused', () => {
  test.each<[string, Parameters<typeof logIn>[1], string]>([
    ['with another state', { alter: (url) => url.searchParams.set('state', 'x') }, 'state'],
    ['without state', { alter: (url) => url.searchParams.delete('state') }, 'state'],
    ['that names another issuer', { alter: (url) => url.searchParams.set('iss', 'https://evil.example.com') }, 'iss'],
    ['that names none where the provider always does', { alter: (url) => url.searchParams.delete('iss') }, 'iss'],
    ['with another code', { alter: (url) => url.searchParams.set('code', 'x') }, 'invalid_grant'],
    ['without code', { alter: (url) => url.searchParams.delete('code') }, 'code'],
    [
      'of an error',
      {
        alter: (url) => {
          url.searchParams.delete('code');
          url.searchParams.set('error', 'access_denied');
        },
      },
      'access_denied',
    ],
    ['with an ID token of its own', { alter: (url) => url.searchParams.set('id_token', 'x.y.z') }, 'implicit'],
  ])('%s', async (_, options, reason) => expect(await refusal(logIn('ann', options))).toMatch(new RegExp(`^SSO_REFUSED .*${reason}`)));

  test('when its code was used', async () => {
    const { again } = await logIn('ann');
    expect(await refusal(again())).toBe('SSO_REFUSED the provider refused: invalid_grant');
  });

  test('for another nonce, or another verifier', async () => {
    for (const spoil of [{ nonce: 'x'.repeat(43) }, { verifier: 'x'.repeat(43) }, { nonce: undefined }, { verifier: undefined }]) {
      const [document, providers, attempt] = [connector(), new ProviderMetadata(Date.now), attemptOf()];
      const { url, kept } = await beginOidc(document, CLIENT_SECRET, providers, attempt);
      const query = Object.fromEntries((await walkThrough(url, 'ann', callback)).searchParams);
      const spoilt = JSON.parse(JSON.stringify({ ...kept, ...spoil })) as Record<string, string>;
      expect(
        await refusal(finishOidc(document, CLIENT_SECRET, providers, { method: 'GET', query, form: {} }, spoilt, attempt, memory)),
      ).toMatch(/^SSO_REFUSED /);
    }
  });

  test('by form', async () => {
    expect(
      await refusal(
        finishOidc(
          connector(),
          CLIENT_SECRET,
          new ProviderMetadata(Date.now),
          { method: 'POST', query: {}, form: {} },
          {},
          attemptOf(),
          memory,
        ),
      ),
    ).toMatch(/^SSO_REFUSED /);
  });

  test('when nothing gives a role, and when the secret is wrong', async () => {
    expect(await refusal(logIn('nobody'))).toBe('SSO_NO_ROLE nobody');
    expect(await refusal(beginOidc(connector(), undefined, new ProviderMetadata(Date.now), attemptOf()))).toContain('SSO_PROVIDER');
  });

  test('when it is signed with another algorithm than the connector names', async () => {
    expect(await refusal(logIn('ann', { connector: connector({ id_token_algorithm: 'ES256' }) }))).toMatch(/^SSO_REFUSED .*alg/);
  });
});

test('signing out leads to the provider where the connector says so', async () => {
  const providers = new ProviderMetadata(Date.now);
  const url = new URL((await oidcLogoutUrl(connector({ logout: true }), CLIENT_SECRET, providers, 'http://127.0.0.1:1/'))!);
  expect(url.origin).toBe(idp.issuer);
  expect(Object.fromEntries(url.searchParams)).toEqual({ client_id: CLIENT_ID, post_logout_redirect_uri: 'http://127.0.0.1:1/' });
  expect(await oidcLogoutUrl(connector(), CLIENT_SECRET, providers, 'http://127.0.0.1:1/')).toBeNull();
});
