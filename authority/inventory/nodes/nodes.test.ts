import { X509Certificate, generateKeyPairSync, randomBytes } from 'node:crypto';
import { join as pathOf } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JoinResult, NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { JoinTokenCreated, JoinTokenInfo } from '#schemas/api/inventory/join-tokens.js';
import { formatJoinToken, nodeText, parseJoinToken } from '#schemas/join.js';
import type { JoinRequest, SignedJoin } from '#schemas/join.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { serviceSigner, signJoin, signNodeRequest, signRenewal } from '#runtime/service/joining.js';
import type { NodeKeys } from '#runtime/service/joining.js';
import { Agent } from 'node:https';
import { callAuthority } from '#runtime/service/authority-http.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, clientOf, identityOf, temporaryFolder } from '../../testing/authority.js';
import type { Administrator } from '../../testing/authority.js';
import type { RunningAuthority } from '../../app.js';

const cleanup = new Cleanup();
let authority: RunningAuthority;
let admin: Administrator;
let gateway: (method: 'GET' | 'POST' | 'PUT', target: string, body?: unknown) => Promise<unknown>;
let now = Date.now();
let dataDir: string;

beforeAll(async () => {
  dataDir = temporaryFolder(cleanup);
  authority = await authorityIn(dataDir, cleanup, {}, () => now);
  admin = await administrator(authority, cleanup, () => now);
  const identity = await identityOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
  const agent = new Agent({ ...identity.tlsClientOptions(['authority']), keepAlive: true });
  cleanup.add(() => agent.destroy());
  gateway = (method, target, body) =>
    callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method, target, ...(body === undefined ? {} : { body }) });
});
afterAll(() => cleanup.run());

const newKeys = (): NodeKeys => ({
  service: serviceSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
  host: generateKey(),
});
const withPublic = (keys: NodeKeys, other: NodeKeys): NodeKeys => ({
  ...keys,
  service: { publicPem: other.service.publicPem, sign: (data) => keys.service.sign(data) },
});
const newToken = async (wish: object = {}): Promise<JoinTokenCreated> =>
  (await admin.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels: {}, node_labels: [], ...wish })) as JoinTokenCreated;
const nonce = async (): Promise<string> => ((await gateway('POST', '/v1/nodes/challenge', {})) as { nonce: string }).nonce;

async function sign(token: string, keys: NodeKeys, change: Partial<JoinRequest> = {}): Promise<SignedJoin> {
  return signJoin(token, keys, {
    nonce: await nonce(),
    channel: randomBytes(32).toString('base64'),
    name: 'web-1',
    labels: {},
    ssh: 'service',
    ...change,
  });
}
const join = async (signed: SignedJoin): Promise<JoinResult> =>
  (await gateway('POST', '/v1/nodes/join', { signed, source: '192.0.2.7' })) as JoinResult;
const names = async (): Promise<readonly NodeStatus[]> => (await admin.call('GET', '/v1/nodes')) as NodeStatus[];
const refused = (code: string): unknown => expect.objectContaining({ kind: 'refused', code });

describe('joining', () => {
  it('gives a node certificates for its keys, with the labels of the token', async () => {
    const keys = newKeys();
    const { token } = await newToken({ labels: { env: 'prod' }, node_labels: ['team', 'rack-*'] });
    const result = await join(await sign(token, keys, { labels: { 'node/os': 'linux', team: 'db', 'rack-row': '7', env: 'prod' } }));
    expect(result).toMatchObject({ kind: 'joined', labels: { env: 'prod', team: 'db', 'node/os': 'linux', 'rack-row': '7' } });
    if (result.kind !== 'joined') throw new Error('not joined');
    const host = parseCertificate(parseAuthorizedLine(result.enrolment.host_certificate!).blob);
    expect(host.principals).toEqual(['web-1', 'web-1.steno']);
    expect(await names()).toEqual([
      expect.objectContaining({
        name: 'web-1',
        kind: 'agent',
        address: '',
        state: 'gone',
        labels: result.labels,
        tunnel_key: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      }),
    ]);
  });

  it('stores nothing of a token that would let its reader join', async () => {
    const { token, id } = await newToken();
    const listed = (await admin.call('GET', '/v1/tokens')) as JoinTokenInfo[];
    expect(listed.find((one) => one.id === id)).toMatchObject({ uses_left: 1, created_by: admin.login.user });
    expect(JSON.stringify(listed)).not.toContain(parseJoinToken(token)!.seed);
  });

  it('of twelve machines that join at once with a token of five uses, five get in', async () => {
    const { token } = await newToken({ uses: 5 });
    const all = await Promise.all(Array.from({ length: 12 }, async (_, i) => join(await sign(token, newKeys(), { name: `race-${i}` }))));
    expect(all.filter(({ kind }) => kind === 'joined')).toHaveLength(5);
    expect((await names()).filter(({ name }) => name.startsWith('race-'))).toHaveLength(5);
  });

  it('whose answer was lost joins again with the same keys; nobody else does', async () => {
    const keys = newKeys();
    const { token } = await newToken();
    expect(await join(await sign(token, keys, { name: 'lost' }))).toMatchObject({ kind: 'joined' });
    expect(await join(await sign(token, keys, { name: 'lost' }))).toMatchObject({ kind: 'joined' });
    expect(await join(await sign(token, newKeys(), { name: 'lost' }))).toEqual(refused('JOIN_REFUSED'));
    expect(await join(await sign(token, keys, { name: 'lost-2' }))).toEqual(refused('JOIN_REFUSED'));
  });

  const cases: readonly [string, string, () => Promise<SignedJoin>][] = [
    [
      'a token that never was',
      'JOIN_REFUSED',
      async () => sign(formatJoinToken({ id: 'aaaaaaaaaaaa', seed: randomBytes(32).toString('base64url') }), newKeys(), { name: 'x' }),
    ],
    [
      'the id of a good token with another secret',
      'JOIN_REFUSED',
      async () =>
        sign(formatJoinToken({ id: (await newToken()).id, seed: randomBytes(32).toString('base64url') }), newKeys(), { name: 'x' }),
    ],
    [
      'an expired token',
      'JOIN_REFUSED',
      async () => {
        const { token } = await newToken({ ttl_ms: 10_000 });
        now += 11_000;
        return sign(token, newKeys(), { name: 'x' });
      },
    ],
    [
      'a removed token',
      'JOIN_REFUSED',
      async () => {
        const { token, id } = await newToken();
        await admin.call('DELETE', `/v1/tokens/${id}`);
        return sign(token, newKeys(), { name: 'x' });
      },
    ],
    [
      'a replayed join',
      'JOIN_REFUSED',
      async () => {
        const { token } = await newToken({ uses: 9 });
        const signed = await sign(token, newKeys(), { name: 'once' });
        await join(signed);
        return signed;
      },
    ],
    [
      'a nonce that is not ours',
      'JOIN_REFUSED',
      async () => sign((await newToken()).token, newKeys(), { name: 'x', nonce: randomBytes(32).toString('base64') }),
    ],
    [
      'a nonce too old',
      'JOIN_REFUSED',
      async () => {
        const { token } = await newToken({ ttl_ms: 600_000 });
        const signed = await sign(token, newKeys(), { name: 'x' });
        now += 61_000;
        return signed;
      },
    ],
    [
      'a request changed after it was signed',
      'JOIN_REFUSED',
      async () => {
        const signed = await sign((await newToken()).token, newKeys(), { name: 'x' });
        return { ...signed, request: signed.request.replace('"name":"x"', '"name":"y"') };
      },
    ],
    [
      'a service key that it does not hold',
      'JOIN_REFUSED',
      async () => sign((await newToken()).token, withPublic(newKeys(), newKeys()), { name: 'x' }),
    ],
    [
      'a host key that it does not hold',
      'JOIN_REFUSED',
      async () => {
        const keys = newKeys();
        const other = generateKey();
        return sign(
          (await newToken()).token,
          { ...keys, host: { publicBlob: other.publicBlob, sign: (data) => keys.host.sign(data) } },
          { name: 'x' },
        );
      },
    ],
    ['the name of another node', 'NODE_NAME_TAKEN', async () => sign((await newToken()).token, newKeys(), { name: 'web-1' })],
    [
      'a label that decides access',
      'LABEL_NOT_ALLOWED',
      async () => sign((await newToken({ labels: { env: 'dev' } })).token, newKeys(), { name: 'x', labels: { env: 'prod' } }),
    ],
    [
      'a label nobody allowed',
      'LABEL_NOT_ALLOWED',
      async () => sign((await newToken()).token, newKeys(), { name: 'x', labels: { role: 'db' } }),
    ],
    ['a name with a path in it', 'BAD_REQUEST', async () => sign((await newToken()).token, newKeys(), { name: '../x' })],
  ];
  for (const [what, code, make] of cases) {
    it(`refuses ${what}`, async () => {
      const result = await join(await make());
      expect(result).toEqual(refused(code));
      if (code === 'JOIN_REFUSED') expect(result).toEqual({ kind: 'refused', code, detail: '' });
      expect((await names()).map(({ name }) => name)).not.toContain('x');
    });
  }

  it('only a gateway may bring a join, and only who may make tokens makes them', async () => {
    const agent = await clientOf(authority, { kind: 'agent', name: 'local', hostNames: [] }, cleanup);
    const https = new Agent(agent.identity.tlsClientOptions(['authority']));
    cleanup.add(() => https.destroy());
    const as = (method: 'GET' | 'POST', target: string) =>
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent: https }, { method, target });
    await expect(as('POST', '/v1/nodes/challenge')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(as('GET', '/v1/nodes')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(as('GET', '/v1/tokens')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect(agent.current()).toMatchObject({ roles: [], nodes: [], locks: [] });
  });
});

describe('a node that has joined', () => {
  const keys = newKeys();
  const report = (labels: Record<string, string>, time = now, by = keys) =>
    gateway('POST', '/v1/nodes/signed', signNodeRequest(by.service, { kind: 'report', node: 'self', time, labels, ssh: 'service' }));
  const labelsOf = async (): Promise<unknown> => (await names()).find(({ name }) => name === 'self')?.labels;
  beforeAll(async () => {
    const { token } = await newToken({ labels: { env: 'prod' }, node_labels: ['team'] });
    expect(await join(await sign(token, keys, { name: 'self' }))).toMatchObject({ kind: 'joined' });
  });

  it('says labels of its own, and cannot widen what its token gave it', async () => {
    expect(await report({ 'node/load': 'low', team: 'db', env: 'dev', root: 'yes' })).toEqual({ refused_labels: ['env', 'root'] });
    expect(await labelsOf()).toEqual({ env: 'prod', 'node/load': 'low', team: 'db' });
  });

  it('a report again, an old one, or one that another key signed changes nothing', async () => {
    now += 1000;
    await report({ 'node/load': 'high' });
    await expect(report({ 'node/load': 'low' })).rejects.toMatchObject({ code: 'REQUEST_REPLAYED' });
    await expect(report({ 'node/load': 'low' }, now - 400_000)).rejects.toMatchObject({ code: 'REQUEST_REPLAYED' });
    await expect(report({ 'node/load': 'low' }, now + 1, newKeys())).rejects.toMatchObject({ code: 'CERT_BAD_SIGNATURE' });
    expect(await labelsOf()).toEqual({ env: 'prod', 'node/load': 'high' });
  });

  it('renews for the key it joined with and for no other', async () => {
    const renewed = (await gateway('POST', '/v1/nodes/signed', signRenewal(keys, 'self', now))) as { host_certificate: string };
    expect(parseCertificate(parseAuthorizedLine(renewed.host_certificate).blob).principals).toEqual(['self', 'self.steno']);
    await expect(gateway('POST', '/v1/nodes/signed', signRenewal(withPublic(keys, newKeys()), 'self', now))).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
    });
  });

  it('shortly before its certificates end, and after, gets new ones for the same key', async () => {
    const renew = async (): Promise<number> => {
      const { service_certificate: pem } = (await gateway('POST', '/v1/nodes/signed', signRenewal(keys, 'self', now))) as {
        service_certificate: string;
      };
      return Date.parse(new X509Certificate(pem).validTo);
    };
    now += 1000;
    const before = now;
    const end = await renew();
    now = end - 60_000;
    const next = await renew();
    expect(next).toBeGreaterThan(now + 20 * 3_600_000);
    now = next + 3_600_000;
    expect(await renew()).toBeGreaterThan(now);
    // The administrator of these tests has a certificate from the day before.
    now = before;
  });

  it('a renewal again, an old one, of another node or of nobody is refused, and the audit names the node', async () => {
    now += 1000;
    const renewal = signRenewal(keys, 'self', now);
    const send = (body: unknown): Promise<unknown> => gateway('POST', '/v1/nodes/signed', body);
    await send(renewal);
    const refusals: readonly [string, unknown][] = [
      ['REQUEST_REPLAYED', renewal],
      // A different signature of the same text is the same renewal.
      ['REQUEST_REPLAYED', { ...renewal, signature: keys.service.sign(Buffer.from(nodeText(renewal.request))).toString('base64') }],
      ['REQUEST_REPLAYED', signRenewal(keys, 'self', now - 400_000)],
      ['CERT_BAD_SIGNATURE', signRenewal(newKeys(), 'self', now)],
      ['CERT_BAD_SIGNATURE', { ...renewal, request: renewal.request.replace('"self"', '"web-1"') }],
      ['NODE_UNKNOWN', signRenewal(keys, 'nobody-here', now)],
    ];
    for (const [code, body] of refusals) await expect(send(body), code).rejects.toMatchObject({ code });
    const state = await openState({ kind: 'sqlite', file: pathOf(dataDir, 'authority', 'state.sqlite') });
    const rows = (await state.selectFrom('audit_outbox').select('row').execute())
      .map(({ row }) => JSON.parse(row) as AuditRow)
      .filter(({ event, outcome }) => event === 'node.request' && outcome === 'failure');
    await state.destroy();
    expect(rows.slice(-refusals.length).map(({ code, target }) => [code, target])).toEqual([
      ['REQUEST_REPLAYED', 'self'],
      ['REQUEST_REPLAYED', 'self'],
      ['REQUEST_REPLAYED', 'self'],
      ['CERT_BAD_SIGNATURE', 'self'],
      ['CERT_BAD_SIGNATURE', 'web-1'],
      ['NODE_UNKNOWN', 'nobody-here'],
    ]);
  });

  it('is there while a gateway holds it, and gone when that falls silent or begins anew', async () => {
    const state = async (): Promise<unknown> => (await names()).find(({ name }) => name === 'self')?.state;
    const held = (epoch: string, more: object) =>
      gateway('PUT', '/v1/nodes/held', { epoch: epoch.repeat(16), address: '192.0.2.1:8024', up: [], down: [], ...more });
    expect(await held('a', {})).toEqual({ known: false, gateways: [] });
    expect(await held('a', { all: ['self'] })).toEqual({ known: true, gateways: ['192.0.2.1:8024'] });
    // The addresses that nodes dial come from the authority's signed document, not from a gateway.
    expect(JSON.parse(((await gateway('GET', '/v1/nodes/trust')) as { document: string }).document)).toMatchObject({
      gateways: ['192.0.2.1:8024'],
    });
    expect(await state()).toBe('live');
    await held('a', { down: ['self'] });
    expect(await state()).toBe('gone');
    await held('a', { up: ['self'] });
    now += 8_001;
    expect(await state()).toBe('gone');
    await held('a', {});
    expect(await state()).toBe('live');
    await held('b', { all: [] });
    expect(await state()).toBe('gone');
    expect((await newToken()).gateways).toEqual(['192.0.2.1:8024']);
  });

  it('that was removed gets nothing any more', async () => {
    await admin.call('DELETE', '/v1/nodes/self');
    now += 1000;
    await expect(report({})).rejects.toMatchObject({ code: 'NODE_UNKNOWN' });
    await expect(gateway('POST', '/v1/nodes/signed', signRenewal(keys, 'self', now))).rejects.toMatchObject({ code: 'NODE_UNKNOWN' });
  });

  it('users see what they may reach, reviewers what others may', async () => {
    const listed = (await admin.call('GET', `/v1/users/${admin.login.user}/nodes`)) as NodeStatus[];
    expect(listed.map(({ name }) => name)).toEqual((await names()).map(({ name }) => name));
    await expect(admin.call('GET', '/v1/users/nobody-here/nodes')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
