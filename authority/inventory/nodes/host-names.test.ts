import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JoinResult } from '#schemas/api/inventory/nodes.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { canonicalHost } from '#schemas/base/host-name.js';
import { isName } from '#schemas/base/identity.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { serviceSigner, signJoin } from '#runtime/service/joining.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, clientOf, onSocket, temporaryFolder } from '../../testing/authority.js';
import type { Administrator } from '../../testing/authority.js';
import type { RunningAuthority } from '../../app.js';

const cleanup = new Cleanup();
const refused = (code: string): unknown => expect.objectContaining({ code });
const key = (): string => formatPublicLine(generateKey().publicBlob);
const tlsKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
const nodeOf = (name: string, more: object = {}): object => ({
  name,
  kind: 'openssh',
  address: 'h:22',
  labels: {},
  host_keys: [],
  ...more,
});

let dir: string;
let authority: RunningAuthority;
let admin: Administrator;
let gateway: AuthorityClient;

beforeAll(async () => {
  dir = temporaryFolder(cleanup);
  mkdirSync(join(dir, 'authority'), { mode: 0o700 });
  // Nodes of a version that allowed any name.
  const state = await openState({ kind: 'sqlite', file: join(dir, 'authority', 'state.sqlite') });
  for (const name of ['localhost', 'taken.example.com']) {
    await state
      .insertInto('nodes')
      .values({ name, kind: 'openssh', address: 'h:22', host_keys: '[]', labels: '{}', created_at: 1, last_seen_at: null })
      .execute();
  }
  await state.destroy();
  authority = await authorityIn(dir, cleanup);
  admin = await administrator(authority, cleanup);
  gateway = await clientOf(
    authority,
    { kind: 'gateway', name: 'gw-1', hostNames: ['gw.example.com', '192.0.2.7', '2001:db8::7', 'bastion.steno'] },
    cleanup,
  );
});
afterAll(() => cleanup.run());

async function joinAs(name: string): Promise<JoinResult> {
  const identity = (
    await clientOf(
      authority,
      { kind: 'gateway', name: 'gw-1', hostNames: ['gw.example.com', '192.0.2.7', '2001:db8::7', 'bastion.steno'] },
      cleanup,
    )
  ).identity;
  const agent = new Agent(identity.tlsClientOptions(['authority']));
  const call = (target: string, body: unknown): Promise<unknown> =>
    callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'POST', target, body });
  const { token } = (await admin.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels: {}, node_labels: [] })) as JoinTokenCreated;
  const { nonce } = (await call('/v1/nodes/challenge', {})) as { nonce: string };
  const keys = {
    service: serviceSigner(
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ),
    host: generateKey(),
  };
  const signed = signJoin(token, keys, { nonce, channel: randomBytes(32).toString('base64'), name, labels: {}, ssh: 'service' });
  const result = (await call('/v1/nodes/join', { signed, source: '192.0.2.1' })) as JoinResult;
  agent.destroy();
  return result;
}

describe('a name of a gateway', () => {
  const ways: readonly (readonly [string, (name: string) => Promise<unknown>])[] = [
    ['PUT of a node', (name) => admin.call('PUT', `/v1/nodes/${name}`, nodeOf(name))],
    [
      'a join token',
      async (name) => {
        const result = await joinAs(name);
        if (result.kind === 'refused') throw Object.assign(new Error(), { code: result.code });
        return result;
      },
    ],
    [
      'enrolling a node on the machine',
      (name) =>
        onSocket(authority, {
          method: 'POST',
          target: '/v1/enroll',
          body: { kind: 'agent', name, service_key: tlsKey(), host_key: key() },
        }),
    ],
    ['a host certificate by an administrator', (name) => admin.call('POST', '/v1/host-certificate', { public_key: key(), name })],
  ];
  for (const [way, give] of ways) {
    it.each([
      'localhost',
      '127.0.0.1',
      '127.1',
      '0x7f.1',
      'gw.example.com',
      'gw.example.com.',
      '192.0.2.7',
      '3221225991',
      '0300.0.519',
      'bastion',
      'bastion.steno',
    ])(`is given to no node by ${way}: %s`, async (name) => {
      await expect(give(name)).rejects.toEqual(refused('NODE_NAME_RESERVED'));
    });
  }

  it.each(['LOCALHOST', '::1', '0:0::1', '::ffff:127.0.0.1', 'GW.example.com', '2001:DB8:0::7', '::ffff:192.0.2.7'])(
    'is no further name of a node: %s',
    async (name) => {
      const body = { kind: 'agent', name: 'web-7', service_key: tlsKey(), host_key: key(), host_names: [name] };
      await expect(onSocket(authority, { method: 'POST', target: '/v1/enroll', body })).rejects.toEqual(refused('NODE_NAME_RESERVED'));
    },
  );

  it('is none of a node in any spelling, and every other name is', async () => {
    const names = ['localhost', 'gw.example.com', '192.0.2.7', '127.0.0.1', 'bastion.steno'];
    const spelled = fc
      .constantFrom(...names)
      .chain((name) =>
        fc.tuple(fc.constantFrom(name, ...numbers(name)), fc.constantFrom('', '.', '.steno')).map((parts) => parts.join('')),
      );
    const any = fc.oneof(spelled, fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,8}(\.[a-z0-9]{1,4})?$/));
    const reserved = new Set(names.map(canonicalHost));
    await fc.assert(
      fc.asyncProperty(any, async (name) => {
        fc.pre(isName(name));
        const given = await admin.call('PUT', `/v1/nodes/${name}`, nodeOf(name)).then(
          () => true,
          () => false,
        );
        const certified = await admin.call('POST', '/v1/host-certificate', { public_key: key(), name }).then(
          (answer) => parseCertificate(parseAuthorizedLine((answer as { certificate: string }).certificate).blob).principals,
          () => null,
        );
        expect(certified === null).toBe(!given);
        // For any input, none of its names leads a client to a gateway.
        for (const principal of certified ?? []) expect(reserved.has(canonicalHost(principal)), principal).toBe(false);
        if (!given)
          expect(
            [name, `${name}.steno`, name.replace(/\.steno$/, '')].some(
              (one) => reserved.has(canonicalHost(one)) || canonicalHost(one).startsWith('127.') || canonicalHost(one).startsWith('0.'),
            ) ||
              name.endsWith('.steno') ||
              name.endsWith('localhost'),
          ).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  it('is in its certificates after every renewal, beside the mark, which no node has', async () => {
    const own = { public_key: key(), name: 'gw-1' };
    for (const certificate of [
      await gateway.hostCertificate({
        ...own,
        host_certificate: formatPublicLine(
          (
            await clientOf(
              authority,
              { kind: 'gateway', name: 'gw-1', hostNames: ['gw.example.com', '192.0.2.7', '2001:db8::7', 'bastion.steno'] },
              cleanup,
            )
          ).identity.hostCertificate(),
        ),
      }),
    ]) {
      expect(parseCertificate(certificate).principals).toEqual(
        expect.arrayContaining(['gw.example.com', 'localhost', 'steno-gateway@main']),
      );
    }
    await admin.call('PUT', '/v1/nodes/web-1', nodeOf('web-1'));
    expect(parseCertificate(await gateway.hostCertificate({ public_key: key(), name: 'web-1' })).principals).toEqual([
      'web-1',
      'web-1.steno',
    ]);
    await expect(
      onSocket(authority, {
        method: 'POST',
        target: '/v1/enroll',
        body: { kind: 'agent', name: 'web-8', service_key: tlsKey(), host_key: key(), host_names: ['steno-gateway@main'] },
      }),
    ).rejects.toEqual(refused('BAD_REQUEST'));
  });
});

describe('a gateway', () => {
  it.each([
    ['whose address a node has', { name: 'gw-2', hostNames: ['WEB-2'] }],
    ['whose name a node has with the domain', { name: 'gw-2', hostNames: ['web-2.steno'] }],
  ])('%s is refused, clearly', async (_what, { name, hostNames }) => {
    await admin.call('PUT', '/v1/nodes/web-2', nodeOf('web-2'));
    await expect(clientOf(authority, { kind: 'gateway', name, hostNames }, cleanup)).rejects.toEqual(
      expect.objectContaining({ code: 'GATEWAY_NAME_TAKEN', detail: expect.stringContaining('web-2') }),
    );
  });

  it('may have the name of a node for itself, which it is not dialled by, and is not that node', async () => {
    await admin.call('PUT', '/v1/nodes/web-3', nodeOf('web-3'));
    const twin = await clientOf(authority, { kind: 'gateway', name: 'web-3', hostNames: [] }, cleanup);
    expect(parseCertificate(twin.identity.hostCertificate()).principals).toEqual(['localhost', '127.0.0.1', '::1', 'steno-gateway@main']);
    expect(parseCertificate(await twin.hostCertificate({ public_key: key(), name: 'web-3' })).principals).toEqual(['web-3', 'web-3.steno']);
  });

  it('that other clusters are told of has a name of its own too', async () => {
    await expect(admin.call('POST', '/v1/cluster-statement', { gateways: ['taken.example.com:8022'], updates: null })).rejects.toEqual(
      refused('GATEWAY_NAME_TAKEN'),
    );
    await admin.call('POST', '/v1/cluster-statement', { gateways: ['far.example.com:8022', '[2001:db8::9]:22'], updates: null });
    await expect(admin.call('PUT', '/v1/nodes/far.example.com', nodeOf('far.example.com'))).rejects.toEqual(refused('NODE_NAME_RESERVED'));
  });
});

describe('a node of a version that let it have such a name', () => {
  it('keeps no gateway from starting, gets no certificate, is not changed, and can be removed', async () => {
    await expect(admin.call('POST', '/v1/host-certificate', { public_key: key(), name: 'localhost' })).rejects.toEqual(
      refused('NODE_NAME_RESERVED'),
    );
    await expect(gateway.hostCertificate({ public_key: key(), name: 'localhost' })).rejects.toEqual(refused('NODE_NAME_RESERVED'));
    await expect(admin.call('PUT', '/v1/nodes/localhost', nodeOf('localhost'))).rejects.toEqual(refused('NODE_NAME_RESERVED'));
    await admin.call('DELETE', '/v1/nodes/localhost');
  });
});

/** The numbers of an IPv4 address, as inet_aton(3) parses it. */
function numbers(name: string): readonly string[] {
  const bytes = /^\d+\.\d+\.\d+\.\d+$/.test(name) ? name.split('.').map(Number) : [];
  if (bytes.length === 0) return [];
  const [a, b, c, d] = bytes as [number, number, number, number];
  const all = ((a * 256 + b) * 256 + c) * 256 + d;
  return [
    String(all),
    `0x${all.toString(16)}`,
    `0${all.toString(8)}`,
    `${a}.${b * 65_536 + c * 256 + d}`,
    `0x${a.toString(16)}.${b}.${c * 256 + d}`,
    `0${a.toString(8)}.0${b.toString(8)}.0${c.toString(8)}.0${d.toString(8)}`,
  ];
}
