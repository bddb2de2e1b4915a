/** Everything that a viewer's certificate permits at the authority: a route that admits a viewer and is not listed here fails this test. */
import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { Cleanup, authorityIn, clientOf, temporaryFolder } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';

const p256 = (): string => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
const token = 'A'.repeat(43);
/** Acts for the user of a web session, whose token only the user's browser has; each with an acceptable body. */
const bySession: Readonly<Record<string, unknown>> = {
  'GET /v1/web-session': undefined,
  'GET /v1/account': undefined,
  'POST /v1/account/totp': undefined,
  'POST /v1/account/passkey': undefined,
  'POST /v1/account/recovery-codes': undefined,
  'POST /v1/account/devices': { device: { kind: 'totp', ceremony: token, label: 'x', code: '000000' } },
  'DELETE /v1/account/devices/:name': undefined,
  'PUT /v1/account/password': { password: 'a long and new password' },
  'POST /v1/findings/:name/triage': { state: 'acknowledged' },
  'POST /v1/notes': { session: '01jdv3k5m8q2w7x9y4z6a0b1c2', offset: 1, ticket: token },
  'GET /v1/saved-searches': undefined,
  'POST /v1/saved-searches': { name: 'x', query: 'x' },
  'DELETE /v1/saved-searches/:name': undefined,
  'DELETE /v1/notes/:name': undefined,
  'POST /v1/cases': { title: 'x' },
  'POST /v1/cases/:name': { title: 'x' },
  'POST /v1/cases/:name/state': { act: 'investigate' },
  'POST /v1/cases/:name/items': { items: [{ kind: 'finding', finding: 'f' }] },
  'POST /v1/cases/:name/items/:item/removal': {},
  'POST /v1/requests': { reason: 'x', roles: ['x'] },
  'GET /v1/session-invitations': undefined,
  'POST /v1/session-invitations': {
    ...{ session: '01hf7yat0000000000000000ab', user: 'x', mode: 'observer', duration: 60_000, reason: 'x' },
  },
  'GET /v1/session-invitations/:name': undefined,
  'POST /v1/session-invitations/:name/revoke': {},
  'GET /v1/requests': undefined,
  'GET /v1/request-options': undefined,
  'GET /v1/requests/:name': undefined,
  'POST /v1/requests/:name/review': { decision: 'approve' },
  'POST /v1/requests/:name/cancel': {},
  'POST /v1/login/device/facts': { user_code: 'BBBB-BBBB' },
  'POST /v1/login/device/decision': { user_code: 'BBBB-BBBB', approve: true },
  'POST /v1/confirm/facts': { token },
  'POST /v1/confirm/decision': { token, approve: true },
  'GET /v1/rule-catalogue': undefined,
  'GET /v1/terminal/nodes': undefined,
  'POST /v1/terminal/certificate': { public_key: formatPublicLine(generateKey().publicBlob), node: 'n', login: 'l' },
};
/**
 * Routes that take a secret from the user: a password with a code, a passkey's answer, a link, a token, a provider's answer, a
 * signature.
 */
const bySecret = [
  'POST /v1/sign-in',
  'POST /v1/login/local',
  'POST /v1/login/passkey',
  'POST /v1/login/parked/:name',
  'POST /v1/login/callback/:name',
  'POST /v1/login/device/token',
  'POST /v1/invitation',
  'POST /v1/invitation/password',
  'POST /v1/invitation/totp',
  'POST /v1/invitation/passkey',
  'POST /v1/invitation/accept',
  'POST /v1/bots/join',
  'POST /v1/cluster-nodes',
  'POST /v1/webhooks/:name/answer',
  'DELETE /v1/web-session',
];
/** Routes that anybody who reaches the page may call, and those that the viewer itself needs. */
const open = [
  'GET /v1/login/methods',
  'POST /v1/login/passkey-options',
  'POST /v1/login/connectors/:name',
  'POST /v1/login/device',
  'GET /v1/connectors/:name/metadata',
  'GET /v1/connectors/:name/unasked',
  'GET /v1/connectors/:name/logout',
  'GET /v1/cluster-statement',
  'GET /v1/nodes',
  'GET /v1/gateways',
  'GET /v1/locks',
  'GET /v1/live-sessions/:session',
  'GET /v1/roles',
  'GET /v1/case-heads',
  'GET /v1/case-books/:name',
  'POST /v1/session-notes',
  'POST /v1/note-tickets',
  'POST /v1/saved-search-runs',
  'POST /v1/saved-search-results',
  'POST /v1/live-sessions/read',
  'POST /v1/disclosures',
  'POST /v1/renew',
];

const cleanup = new Cleanup();
let authority: RunningAuthority;
let viewer: Awaited<ReturnType<typeof clientOf>>;
beforeAll(async () => {
  authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  viewer = await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
});
afterAll(() => cleanup.run());

test('is this and no more', () => {
  const admitted = authority.routes
    .filter(({ admits }) => admits.includes('viewer') || admits.includes('service'))
    .map(({ method, path }) => `${method} ${path}`);
  expect([...admitted].sort()).toEqual([...Object.keys(bySession), ...bySecret, ...open].sort());
});

test('is nothing that issues certificates to services, ends or locks anybody, or writes roles, users or nodes by itself', () => {
  const forbidden = /enroll|session-certificate|host-certificate|\/users|\/roles\/|\/nodes\/|\/locks\/|\/ca(\/|$)|\/tokens/;
  expect([...Object.keys(bySession), ...bySecret, ...open].filter((route) => forbidden.test(route))).toEqual([]);
});

test('renews itself alone, and gets no certificate of a host or for recordings by that', async () => {
  const call = (more: object): Promise<unknown> =>
    viewer.relaying({ client: '192.0.2.7' })('POST', '/v1/renew', { service_key: p256(), ...more });
  await expect(call({ host_key: formatPublicLine(generateKey().publicBlob) })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(call({ recording_key: formatPublicLine(generateKey().publicBlob) })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  expect(Object.keys((await call({})) as object).sort()).toEqual(['service_ca', 'service_certificate']);
});

describe('without the web session of a user it does not', () => {
  test.each(Object.entries(bySession))('%s', async (route, body) => {
    const [method, path] = route.split(' ') as ['GET' | 'POST' | 'PUT' | 'DELETE', string];
    const id = path.includes('/notes/')
      ? 'n-000000000000'
      : path.includes('/saved-searches/')
        ? 'q-000000000000'
        : path.includes('/cases/')
          ? 'c-0000000000'
          : 'some-name';
    const target = path.replace(':name', id).replace(':item', 'i-000000000000');
    const call = (session?: string): Promise<unknown> => viewer.relaying({ session, client: '192.0.2.7' })(method, target, body);
    await expect(call()).rejects.toMatchObject({ code: 'NOT_SIGNED_IN' });
    await expect(call(token)).rejects.toMatchObject({ code: 'NOT_SIGNED_IN' });
  });
});
