/** A second factor before streams and writes: the request is refused with the address for confirmation, and passes when repeated. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import type { KubeConfirmation, KubeConfirmationRequest } from '#schemas/api/people/confirmations.js';
import { certifiedUser } from '#runtime/http/x509-user.js';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

const PODS = '/east/api/v1/namespaces/shop/pods';
const EXEC = `${PODS}/web/exec?command=true&stdout=true`;
const URL = 'https://steno.example.com/confirm#abc';
const waiting = { state: 'waiting', token: 't'.repeat(43), url: URL, expires_at: Date.now() + 300_000 } as const;
const approved = { state: 'approved', mfa: 'mfa-1', until: Date.now() + 300_000 } as const;

let world: KubeWorld;
let ann: Pair;
let asked: KubeConfirmationRequest[];
let says: KubeConfirmation;

beforeEach(async () => {
  world = await openKubeWorld();
  ann = await world.user();
  asked = [];
  says = waiting;
  world.confirmation = async (request) => {
    asked.push(request);
    return says;
  };
  world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'] }], { require_session_mfa: true })] };
});
afterEach(() => world.close());
const writesAsk = (): void => {
  world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'] }], { require_write_mfa: true })] };
};
const post = (path: string): ReturnType<KubeWorld['ask']> =>
  world.ask(ann, path, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });

describe('where a role demands a second factor for each session', () => {
  it('a stream is refused with the address, over WebSocket and SPDY, and nothing reaches the API server', async () => {
    await expect(world.connect(ann, EXEC)).rejects.toThrow(
      new RegExp(`^403 .*${URL} \\(within \\d+\\w\\) \\[KUBE_UNCONFIRMED\\].*run the command again`),
    );
    for (const [path, protocol] of [
      [EXEC, 'v4.channel.k8s.io'],
      [`${PODS}/web/portforward`, 'portforward.k8s.io'],
    ] as const) {
      const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol };
      expect(await world.ask(ann, path, { method: 'POST', headers })).toMatchObject({
        status: 403,
        body: expect.stringContaining(URL) as string,
      });
    }
    expect(world.seen).toEqual([]);
    expect(world.audits.filter(({ event }) => event === 'kube.refused').map(({ code }) => code)).toContain('KUBE_UNCONFIRMED');
    // Calls carry the user's own certificate and, once an address is waiting, its token.
    expect(certifiedUser(Buffer.from(asked[0]!.user_certificate, 'base64')).identity.user).toBe('ann');
    expect(asked.map(({ cluster, source_address, token }) => [cluster, source_address, token])).toEqual([
      ['east', '127.0.0.1', undefined],
      ['east', '127.0.0.1', waiting.token],
      ['east', '127.0.0.1', waiting.token],
    ]);
  });

  it('a stream passes after confirmation, and so do others, without a new question until the confirmation expires', async () => {
    says = approved;
    for (let i = 0; i < 3; i += 1) (await world.connect(ann, EXEC)).close();
    expect(asked).toHaveLength(1);
    await world.recorded();
    expect(world.recorder.events.map(({ data }) => (JSON.parse(data ?? '{}') as { mfa?: string }).mfa)).toContain('mfa-1');
    says = { ...approved, until: Date.now() - 1 };
    const bob = await world.user({ user: 'bob' });
    for (let i = 0; i < 2; i += 1) (await world.connect(bob, EXEC)).close();
    expect(asked).toHaveLength(3);
  });

  it('reading, writing and discovery need no confirmation', async () => {
    for (const path of [PODS, '/east/api']) expect((await world.ask(ann, path)).status).toBe(200);
    expect((await post(PODS)).status).toBe(200);
    expect(asked).toEqual([]);
  });

  it('a user who denied it in the browser is told so, and is asked again the next time', async () => {
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/KUBE_UNCONFIRMED/);
    says = { state: 'denied' };
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/denied in the browser/);
    says = waiting;
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/confirm#abc/);
    expect(asked.map(({ token }) => token)).toEqual([undefined, waiting.token, undefined]);
  });

  it('a lock on the device ends the confirmation; an authority that does not answer lets nobody in', async () => {
    says = approved;
    (await world.connect(ann, EXEC)).close();
    world.snapshot = {
      ...world.snapshot,
      locks: [{ id: 'l', target_kind: 'mfa-device', target: 'mfa-1', reason: 'lost', expires_at: null }],
    };
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/lost.*LOCKED/);
    world.snapshot = { ...world.snapshot, locks: [] };
    world.confirmation = () => Promise.reject(new StenoError('AUTHORITY_UNREACHABLE'));
    await expect(world.connect(await world.user({ user: 'bob' }), EXEC)).rejects.toThrow(/AUTHORITY_UNREACHABLE/);
  });
});

describe('where a role demands a second factor for writes', () => {
  it.each([
    ['POST', PODS],
    ['PUT', `${PODS}/web`],
    ['PATCH', `${PODS}/web`],
    ['DELETE', `${PODS}/web`],
    ['DELETE', PODS],
    ['POST', '/east/api/v1/namespaces/shop/serviceaccounts/robot/token'],
    ['PATCH', `${PODS}/web/ephemeralcontainers`],
  ])('%s %s is refused with the address until it is confirmed', async (method, path) => {
    writesAsk();
    const ask = (): ReturnType<KubeWorld['ask']> =>
      world.ask(ann, path, { method, headers: { 'content-type': 'application/json' }, ...(method === 'DELETE' ? {} : { body: '{}' }) });
    const refused = await ask();
    expect(refused.status).toBe(403);
    expect(JSON.parse(refused.body)).toMatchObject({
      kind: 'Status',
      reason: 'Forbidden',
      message: expect.stringContaining(URL) as string,
    });
    expect(world.seen).toEqual([]);
    says = approved;
    expect((await ask()).status).toBe(200);
  });

  it('streams count as writes; reading and access reviews do not', async () => {
    writesAsk();
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/KUBE_UNCONFIRMED/);
    expect((await world.ask(ann, PODS)).status).toBe(200);
    expect((await post('/east/apis/authorization.k8s.io/v1/selfsubjectaccessreviews')).status).toBe(200);
    expect((await post('/east/apis/authentication.k8s.io/v1/selfsubjectreviews')).status).toBe(200);
  });

  it('many requests at once lead to one question', async () => {
    writesAsk();
    says = approved;
    const all = Promise.all(Array.from({ length: 10 }, () => post(PODS)));
    expect((await all).map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(asked).toHaveLength(1);
  });
});
