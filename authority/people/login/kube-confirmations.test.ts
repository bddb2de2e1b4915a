import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConfirmationFacts, KubeConfirmation } from '#schemas/api/people/confirmations.js';
import type { DeviceLogin, DeviceLoginAnswer } from '#schemas/api/people/logins.js';
import { roleSchema } from '#schemas/policy/role.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { Cleanup, clientOf } from '../../testing/authority.js';
import { people } from '../../testing/people.js';
import type { Enrolled, People } from '../../testing/people.js';

const cleanup = new Cleanup();
let world: People;
let ann: Enrolled;
let eve: Enrolled;
let gateways: AuthorityClient[];
let certificate: string;
const refusal = (code: string): unknown => expect.objectContaining({ code });

/** The x509 certificate from a login of this user, as kubectl presents it: base64 of DER. */
async function certified(session: string): Promise<string> {
  const { publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const { device_code, user_code } = await world.relay<DeviceLogin>('POST', '/v1/login/device', {
    public_key: formatPublicLine(generateKey().publicBlob),
    tls_key: publicKey,
    client: 'test',
  });
  await world.relay('POST', '/v1/login/device/decision', { user_code, approve: true }, { session });
  const answer = await world.relay<DeviceLoginAnswer>('POST', '/v1/login/device/token', { device_code });
  if (answer.state !== 'approved') throw new Error(answer.state);
  return new X509Certificate(answer.login.x509_certificate!).raw.toString('base64');
}

beforeAll(async () => {
  world = await people(cleanup);
  await world.admin.call(
    'PUT',
    '/v1/roles/kube',
    roleSchema.parse({ kind: 'role', name: 'kube', allow: { kubernetes: [{ groups: ['devs'] }] }, require_session_mfa: true }),
  );
  for (const name of ['east', 'west'])
    await world.admin.call('PUT', `/v1/kube-clusters/${name}`, {
      labels: {},
      upstream: { url: 'https://k8s.example.com', credential: { kind: 'token', token: 'x' } },
    });
  ann = await world.enrol('ann', ['kube']);
  eve = await world.enrol('eve', ['kube']);
  gateways = await Promise.all(['gw-1', 'gw-2'].map((name) => clientOf(world.authority, { kind: 'gateway', name }, cleanup)));
  certificate = await certified(ann.session);
});
afterAll(() => cleanup.run());

const ask = (
  more: { readonly cluster?: string; readonly source_address?: string; readonly token?: string } = {},
  gateway = gateways[0]!,
): Promise<KubeConfirmation> =>
  gateway.confirmKube({ cluster: 'east', user_certificate: certificate, source_address: '198.51.100.4', ...more });
async function waits(more: Parameters<typeof ask>[0] = {}): Promise<Extract<KubeConfirmation, { state: 'waiting' }>> {
  const answer = await ask(more);
  if (answer.state !== 'waiting') throw new Error(answer.state);
  return answer;
}
async function whileLocked(target_kind: string, target: string, claim: () => Promise<unknown>): Promise<void> {
  await world.admin.call('PUT', '/v1/locks/l1', { id: 'l1', target_kind, target, reason: 'incident', expires_at: null });
  await claim();
  await world.admin.call('DELETE', '/v1/locks/l1');
}
const decide = (token: string, body: object, session = ann.session): Promise<unknown> =>
  world.relay('POST', '/v1/confirm/decision', { token, approve: true, ...body }, { session });

const elsewhere = { source_address: '203.0.113.9' };

describe('where kubectl needs a second factor', () => {
  test('the address is asked for once, and its page says for what', async () => {
    const first = await waits();
    expect(first.url).toBe(`http://localhost:8090/confirm#${first.token}`);
    expect(await ask({ token: first.token })).toEqual(first);
    expect(
      await world.relay<ConfirmationFacts>('POST', '/v1/confirm/facts', { token: first.token }, { session: ann.session }),
    ).toMatchObject({
      kind: 'kubernetes',
      node: 'east',
      login: 'steno:ann',
      user: 'ann',
      source_address: '198.51.100.4',
    });
    // A request pending for one cluster does not apply to another.
    expect(await ask({ token: first.token, cluster: 'west' })).not.toMatchObject({ token: first.token });
    expect(await ask({ token: first.token, source_address: '203.0.113.1' })).not.toMatchObject({ token: first.token });
  });

  test('a code at the browser is good for five minutes: this user, cluster and address, by every gateway', async () => {
    const { token } = await waits();
    await expect(decide(token, { code: '000000' })).rejects.toEqual(refusal('LOGIN_FAILED'));
    await decide(token, { code: ann.code(1) });
    const approved = await ask();
    expect(approved).toMatchObject({ state: 'approved', mfa: expect.stringMatching(/^mfa-/) as string });
    expect(await ask({}, gateways[1]!)).toEqual(approved);
    expect(await ask({ cluster: 'west' })).toMatchObject({ state: 'waiting' });
    expect(await ask({ source_address: '203.0.113.1' })).toMatchObject({ state: 'waiting' });
    const events = (await world.audit()).filter(({ event }) => event.startsWith('session_mfa.'));
    expect(events.map(({ event, outcome, target }) => `${event} ${outcome} ${target}`)).toEqual(
      expect.arrayContaining(['session_mfa.ask success east', 'session_mfa.approve success east']),
    );
    expect(events.every(({ node }) => (node ?? '') === '')).toBe(true);
    const { mfa } = approved as Extract<KubeConfirmation, { state: 'approved' }>;
    await whileLocked('mfa-device', mfa, () => expect(ask()).rejects.toEqual(refusal('LOCKED')));
  });

  test('denying it is told to the gateway that asked', async () => {
    const { token } = await waits(elsewhere);
    await world.relay('POST', '/v1/confirm/decision', { token, approve: false }, { session: ann.session });
    expect(await ask({ ...elsewhere, token })).toEqual({ state: 'denied' });
  });

  test('no other user sees or confirms it', async () => {
    const { token } = await waits(elsewhere);
    await expect(decide(token, { code: eve.code(1) }, eve.session)).rejects.toEqual(refusal('NOT_FOUND'));
  });

  test('nothing is asked for a certificate that does not count, or a cluster that is not there; at most twenty wait', async () => {
    await expect(ask({ cluster: 'north' })).rejects.toEqual(refusal('KUBE_CLUSTER_UNKNOWN'));
    await expect(gateways[0]!.confirmKube({ cluster: 'east', user_certificate: 'AAAA', source_address: '::1' })).rejects.toEqual(
      refusal('CERT_GARBLED'),
    );
    await expect(async () => {
      for (let i = 0; i < 21; i += 1) await ask({ source_address: `198.51.100.${100 + i}` });
    }).rejects.toEqual(refusal('TOO_MANY'));
    await whileLocked('user', 'ann', () => expect(ask()).rejects.toEqual(refusal('LOCKED')));
  });

  test('an approval is over after five minutes, and a certificate when it ends', async () => {
    expect(await ask()).toMatchObject({ state: 'approved' });
    world.pass(300_001);
    expect(await ask()).toMatchObject({ state: 'waiting' });
    world.pass(86_400_000);
    await expect(ask()).rejects.toEqual(refusal('CERT_EXPIRED'));
  });
});
