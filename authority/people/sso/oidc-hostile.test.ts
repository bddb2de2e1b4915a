/** A hostile provider: it answers every call, and each answer may be corrupted. */
import 'reflect-metadata';
import { createHmac, createPublicKey, generateKeyPairSync, sign, webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { afterEach, describe, expect, test } from 'vitest';
import { oidcConnectorSchema } from '#schemas/documents/connector.js';
import type { OidcConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { LoginOutcome } from '../login/connector.js';
import { ProviderMetadata, beginOidc, finishOidc } from './oidc.js';
import { isPublicAddress } from './provider-http.js';
import type { SsoMemory } from './saml.js';

const callback = 'http://127.0.0.1:1/api/login/callback/idp';
const state = 's'.repeat(43);
const secret = 'the secret of the client';
const memory: SsoMemory = { firstUse: async () => true, bindSubject: async () => undefined };
const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });

interface Lies {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Makes the signature, by default with the right key. */
  readonly sign?: (text: string) => Buffer;
  readonly metadata?: (issuer: string) => Readonly<Record<string, unknown>>;
  readonly userinfo?: Readonly<Record<string, unknown>>;
  /** Answers a path in the provider's place. */
  readonly answer?: Readonly<Record<string, (response: ServerResponse) => void>>;
}

const open: Server[] = [];
afterEach(async () => {
  for (const server of open.splice(0))
    await new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
});

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const rs256 =
  (by: KeyObject) =>
  (text: string): Buffer =>
    sign('sha256', Buffer.from(text), by);

async function provider(
  lies: Lies,
  nonce: () => string,
  tls?: { readonly key: string; readonly cert: string },
): Promise<{ readonly issuer: string; readonly asked: string[] }> {
  const asked: string[] = [];
  let issuer = '';
  const server = (tls === undefined ? createServer() : createTlsServer(tls)) as Server;
  server.on('request', (request, response: ServerResponse) => {
    const path = new URL(request.url ?? '/', issuer).pathname;
    asked.push(path);
    const json = (value: unknown): void => void response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    if (lies.answer?.[path] !== undefined) return lies.answer[path](response);
    const now = Math.floor(Date.now() / 1000);
    switch (path) {
      case '/.well-known/openid-configuration':
        return json({
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/jwks`,
          userinfo_endpoint: `${issuer}/me`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
          ...lies.metadata?.(issuer),
        });
      case '/jwks':
        return json({ keys: [{ ...key.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'RS256', use: 'sig' }] });
      case '/me':
        return json({ sub: 'ann', ...lies.userinfo });
      default: {
        const claims = {
          iss: issuer,
          aud: 'steno',
          sub: 'ann',
          iat: now,
          exp: now + 300,
          nonce: nonce(),
          preferred_username: 'ann',
          groups: ['sre'],
          ...lies.claims,
        };
        const text = `${b64({ alg: 'RS256', kid: 'k', ...lies.header })}.${b64(claims)}`;
        return json({
          access_token: 'x',
          token_type: 'Bearer',
          id_token: `${text}.${(lies.sign ?? rs256(key.privateKey))(text).toString('base64url')}`,
        });
      }
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  open.push(server);
  issuer = `${tls === undefined ? 'http://127.0.0.1' : 'https://localhost'}:${(server.address() as AddressInfo).port}`;
  return { issuer, asked };
}

async function logIn(
  lies: Lies,
  more: Partial<OidcConnector> = {},
  tls?: { readonly key: string; readonly cert: string },
): Promise<string> {
  return outcome(lies, more, tls).then(
    ({ user }) => user,
    (error: unknown) => (error instanceof StenoError ? `${error.code} ${error.detail ?? ''}` : `not a refusal: ${String(error)}`),
  );
}

async function outcome(
  lies: Lies,
  more: Partial<OidcConnector> = {},
  tls?: { readonly key: string; readonly cert: string },
): Promise<LoginOutcome> {
  let nonce = '';
  const { issuer } = await provider(lies, () => nonce, tls);
  const connector = {
    ...oidcConnectorSchema.parse({
      kind: 'oidc',
      name: 'idp',
      issuer,
      client_id: 'steno',
      claims_to_roles: [{ claim: 'groups', value: 'sre', roles: ['sre'] }],
    }),
    ...more,
  };
  const providers = new ProviderMetadata(Date.now);
  const { kept } = await beginOidc(connector, secret, providers, { state, callback });
  nonce = kept.nonce;
  return finishOidc(
    connector,
    secret,
    providers,
    { method: 'GET', query: { code: 'c', state }, form: {} },
    kept,
    { state, callback },
    memory,
  );
}

const now = (): number => Math.floor(Date.now() / 1000);

describe('an ID token', () => {
  test('that is true is taken, also with a minute between the clocks', async () => {
    expect(await logIn({})).toBe('ann');
    expect(await logIn({ claims: { iat: now() - 400, exp: now() - 40 } })).toBe('ann');
  });

  test.each<[string, Lies, RegExp]>([
    ['without signature (alg none)', { header: { alg: 'none', kid: undefined }, sign: () => Buffer.alloc(0) }, /alg/],
    ['with an empty signature', { sign: () => Buffer.alloc(0) }, /signature/],
    [
      'signed with the client secret (HS256)',
      { header: { alg: 'HS256' }, sign: (text) => createHmac('sha256', secret).update(text).digest() },
      /alg/,
    ],
    [
      'signed with the public key as if it were a secret',
      {
        header: { alg: 'HS256' },
        sign: (text) =>
          createHmac('sha256', createPublicKey(key.privateKey).export({ type: 'spki', format: 'pem' }))
            .update(text)
            .digest(),
      },
      /alg/,
    ],
    ['signed by another key under the same name', { sign: rs256(other.privateKey) }, /signature/],
    [
      'that brings its own key',
      { header: { jwk: other.publicKey.export({ format: 'jwk' }), kid: undefined }, sign: rs256(other.privateKey) },
      /signature/,
    ],
    ['of a key nobody knows', { header: { kid: 'other' } }, /key/],
    ['with a critical header', { header: { crit: ['x'], x: 1 } }, /crit/],
    ['from another issuer', { claims: { iss: 'https://evil.example.com' } }, /iss/],
    ['for another audience', { claims: { aud: 'other' } }, /aud/],
    ['for two, without a word on which', { claims: { aud: ['steno', 'other'] } }, /audiences/],
    ['issued to another party', { claims: { azp: 'other' } }, /azp/],
    ['that is over', { claims: { exp: now() - 120 } }, /timestamp/],
    ['without end', { claims: { exp: undefined } }, /exp/],
    ['without beginning', { claims: { iat: undefined } }, /iat/],
    ['that begins later', { claims: { nbf: now() + 120 } }, /timestamp/],
    ['from the future', { claims: { iat: now() + 120 } }, /future/],
    ['that is stale', { claims: { iat: now() - 900 } }, /stale/],
    ['with another nonce', { claims: { nonce: 'x' } }, /nonce/],
    ['without nonce', { claims: { nonce: undefined } }, /nonce/],
    ['without subject', { claims: { sub: undefined } }, /sub/],
    ['with an endless subject', { claims: { sub: 'x'.repeat(300) } }, /sub/],
  ])('%s is refused', async (_, lies, reason) => expect(await logIn(lies)).toMatch(new RegExp(`^SSO_REFUSED .*${reason.source}`)));

  test('of an old sign-in is refused where the connector wants a fresh one', async () => {
    expect(await logIn({ claims: { auth_time: now() - 3600 } }, { max_age: 600 })).toMatch(/^SSO_REFUSED .*timestamp/);
    expect(await logIn({}, { max_age: 600 })).toMatch(/^SSO_REFUSED .*auth_time/);
    expect(await logIn({ claims: { auth_time: now() - 60 } }, { max_age: 600 })).toBe('ann');
  });
});

test('a second factor counts where the connector trusts what the ID token says of it', async () => {
  for (const [claims, mfa] of [
    [{ amr: ['pwd', 'otp'] }, 'sso.idp'],
    [{ acr: 'phr' }, 'sso.idp'],
    [{ amr: ['pwd'] }, null],
    [{ amr: 'otp' }, null],
    [{}, null],
  ] as const) {
    expect(
      (await outcome({ claims, userinfo: { amr: ['otp'] } }, { userinfo: true, trust_mfa: { amr: ['otp', 'hwk'], acr: ['phr'] } })).mfa,
    ).toBe(mfa);
  }
});

test('userinfo of somebody else is refused', async () => {
  expect(await logIn({ userinfo: { sub: 'root' } }, { userinfo: true })).toMatch(/^SSO_REFUSED .*sub/);
});

describe('a provider', () => {
  const redirect = (response: ServerResponse): void => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
  const flood = (response: ServerResponse): void =>
    void response.setHeader('content-type', 'application/json').end(`{"x":"${'y'.repeat(600_000)}"}`);
  const html = (response: ServerResponse): void => void response.setHeader('content-type', 'text/html').end('<p>');
  test.each<[string, Lies, RegExp]>([
    ['that calls itself something else', { metadata: () => ({ issuer: 'https://evil.example.com' }) }, /issuer/],
    [
      'whose tokens come by plain http from elsewhere',
      { metadata: () => ({ token_endpoint: 'http://evil.example.com/token' }) },
      /not https/,
    ],
    ['that points at metadata of the cloud', { metadata: () => ({ jwks_uri: 'https://169.254.169.254/jwks' }) }, /internal address/],
    ['that points into the network', { metadata: () => ({ token_endpoint: 'https://10.0.0.1/token' }) }, /internal address/],
    ['that points at this machine by IPv6', { metadata: () => ({ token_endpoint: 'https://[::1]:1/token' }) }, /internal address/],
    [
      'that points at this machine in other clothes',
      { metadata: () => ({ token_endpoint: 'https://[::ffff:127.0.0.1]:1/token' }) },
      /internal address/,
    ],
    [
      'that points at this machine by another name',
      { metadata: (issuer) => ({ token_endpoint: `${issuer.replace('127.0.0.1', 'localhost')}/token` }) },
      /internal address/,
    ],
    ['that sends browsers to a script', { metadata: () => ({ authorization_endpoint: 'javascript:alert(1)' }) }, /not https/],
    ['that hides credentials in a URL', { metadata: (issuer) => ({ token_endpoint: issuer.replace('//', '//a:b@') }) }, /credentials/],
    ['without a token endpoint', { metadata: () => ({ token_endpoint: undefined }) }, /lacks/],
    ['whose metadata redirect', { answer: { '/.well-known/openid-configuration': redirect } }, /redirects/],
    ['whose tokens redirect', { answer: { '/token': redirect } }, /redirects/],
    ['that floods', { answer: { '/.well-known/openid-configuration': flood } }, /bytes/],
    ['whose keys flood', { answer: { '/jwks': flood } }, /bytes/],
    ['that answers in HTML', { answer: { '/token': html } }, /content-type/],
    ['that hangs up', { answer: { '/token': (response) => void response.destroy() } }, /127\.0\.0\.1/],
    [
      'that compresses unasked',
      {
        answer: {
          '/jwks': (response) => void response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'application/json' }).end('x'),
        },
      },
      /encoding/,
    ],
  ])('%s is refused', async (_, lies, reason) =>
    expect(await logIn(lies)).toMatch(new RegExp(`^SSO_(PROVIDER|REFUSED) .*${reason.source}`)),
  );

  test('is asked over TLS with the CAs of the connector, or public ones', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=localhost',
      signingAlgorithm: algorithm,
      keys,
      extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
    });
    const pem = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64')}\n-----END PRIVATE KEY-----\n`;
    const tls = { key: pem, cert: certificate.toString('pem') };
    expect(await logIn({}, { tls_ca: tls.cert }, tls)).toBe('ann');
    expect(await logIn({}, {}, tls)).toMatch(/^SSO_PROVIDER .*self-signed/);
    expect(await logIn({ metadata: (issuer) => ({ token_endpoint: issuer.replace('https', 'http') }) }, { tls_ca: tls.cert }, tls)).toMatch(
      /^SSO_PROVIDER .*https/,
    );
  });
});

test.each([
  ['8.8.8.8', true],
  ['2606:4700:4700::1111', true],
  ['127.0.0.1', false],
  ['10.1.2.3', false],
  ['172.31.0.1', false],
  ['192.168.1.1', false],
  ['169.254.169.254', false],
  ['100.64.0.1', false],
  ['0.0.0.0', false],
  ['224.0.0.1', false],
  ['255.255.255.255', false],
  ['::', false],
  ['::1', false],
  ['fe80::1', false],
  ['fd00::1', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:a00:1', false],
  ['64:ff9b::a00:1', false],
  ['2002:a00:1::', false],
  ['localhost', false],
  ['', false],
])('the address %s is public: %s', (address, yes) => expect(isPublicAddress(address)).toBe(yes));
