import { afterEach, describe, expect, test } from 'vitest';
import type { JoinedServiceInfo, ServiceTokenCreated } from '#schemas/api/services/services.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { tokenKinds } from '#schemas/service-join.js';
import type { TokenKind } from '#schemas/service-join.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { connectAuthority } from '#runtime/service/authority-client.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { PinnedAgent, pinnedCa } from '#runtime/service/pinned-tls.js';
import { Cleanup, administrator, authorityIn, onSocket, silent, temporaryFolder } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const HOUR = 3_600_000;

function tokenFor(authority: RunningAuthority, kind: TokenKind, more: object = {}): Promise<ServiceTokenCreated> {
  const body = { kind, ttl_ms: 600_000, ...more };
  return onSocket(authority, { method: 'POST', target: '/v1/service-tokens', body }) as Promise<ServiceTokenCreated>;
}

interface Wish {
  readonly kind: TokenKind;
  readonly name: string;
  readonly dir: string;
  readonly token?: ServiceTokenCreated | undefined;
  readonly pins?: readonly string[];
  readonly clock?: () => number;
  readonly hostNames?: readonly string[];
}

async function joined(
  authority: RunningAuthority,
  { kind, name, dir, token, pins, clock = Date.now, hostNames }: Wish,
): Promise<ServiceIdentity> {
  const gateway =
    kind === 'gateway' ? { hostNames: hostNames ?? [], everyHostKey: true, records: true } : kind === 'agent' ? { hostNames: [] } : {};
  const identity = await openServiceIdentity(
    {
      kind,
      name,
      dir,
      ...gateway,
      join: { authorities: [authority.addresses.tls], token: () => token?.token, pins: pins ?? token?.ca_pins ?? [] },
    },
    { log: silent, clock },
  );
  cleanup.add(() => identity.close());
  return identity;
}

describe('a service', () => {
  test.each(tokenKinds)('of kind %s joins with a token of its kind, and watches the authority', async (kind) => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const identity = await joined(authority, {
      kind,
      name: 'one',
      dir: temporaryFolder(cleanup),
      token: await tokenFor(authority, kind),
    });
    const client = connectAuthority({ url: authority.addresses.tls, identity }, { log: silent });
    cleanup.add(() => client.close());
    await client.ready();
    const services = (await onSocket(authority, { method: 'GET', target: '/v1/services' })) as JoinedServiceInfo[];
    expect(services).toMatchObject([{ kind, name: 'one', removed_at: null }]);
  });

  test('of kind agent is the node of its name and nothing else, by a token that only the owner of the machine makes', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    await expect(admin.call('POST', '/v1/service-tokens', { kind: 'agent', ttl_ms: 600_000 })).rejects.toEqual(refusal('ACCESS_DENIED'));
    const token = await tokenFor(authority, 'agent', { name: 'local' });
    await expect(joined(authority, { kind: 'agent', name: 'other', dir: temporaryFolder(cleanup), token })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
    const identity = await joined(authority, { kind: 'agent', name: 'local', dir: temporaryFolder(cleanup), token });
    const { principals } = parseCertificate(identity.hostCertificate());
    expect(principals).toContain('local');
    expect(principals.every((principal) => /^local(\.|$)/.test(principal))).toBe(true);
  });

  test('needs neither token nor authority again as long as its certificates hold', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = temporaryFolder(cleanup);
    const first = await joined(authority, { kind: 'gateway', name: 'one', dir, token: await tokenFor(authority, 'gateway') });
    await authority.close();
    const second = await joined(authority, { kind: 'gateway', name: 'one', dir });
    expect(second.hostCertificate()).toEqual(first.hostCertificate());
  });

  test('comes back by its key when they have expired, and when its host names are others', async () => {
    let now = Date.now();
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
    const dir = temporaryFolder(cleanup);
    const wish = { kind: 'gateway', name: 'one', dir, clock: () => now } as const;
    const first = await joined(authority, { ...wish, token: await tokenFor(authority, 'gateway') });
    const renamed = await joined(authority, { ...wish, hostNames: ['edge.example.org'] });
    expect(renamed.hostCertificate()).not.toEqual(first.hostCertificate());
    expect(Buffer.from(renamed.hostCertificate()).includes('edge.example.org')).toBe(true);
    now += 48 * HOUR;
    const later = await joined(authority, wish);
    expect(later.hostCertificate()).not.toEqual(first.hostCertificate());
  });

  test('without a token does not join', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    await expect(joined(authority, { kind: 'viewer', name: 'one', dir: temporaryFolder(cleanup) })).rejects.toEqual(
      refusal('SERVICE_NOT_JOINED'),
    );
  });

  test('that was removed gets no certificates, by its key or by mutual TLS; a new token lets it in again', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = temporaryFolder(cleanup);
    const identity = await joined(authority, { kind: 'gateway', name: 'one', dir, token: await tokenFor(authority, 'gateway') });
    const client = connectAuthority({ url: authority.addresses.tls, identity }, { log: silent });
    cleanup.add(() => client.close());
    await client.ready();
    await identity.renew();
    await onSocket(authority, { method: 'DELETE', target: '/v1/services/gateway/one' });
    await expect(identity.renew()).rejects.toEqual(refusal('SERVICE_REMOVED'));
    const wish = { kind: 'gateway', name: 'one', dir, hostNames: ['other.example.org'] } as const;
    await expect(joined(authority, wish)).rejects.toEqual(refusal('SERVICE_JOIN_REFUSED'));
    await joined(authority, { ...wish, token: await tokenFor(authority, 'gateway') });
    await identity.renew();
  });
});

describe('a token', () => {
  test('counts as often as it says, and not after its time', async () => {
    let now = Date.now();
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
    const token = await tokenFor(authority, 'ingest', { uses: 2 });
    for (const name of ['one', 'two']) await joined(authority, { kind: 'ingest', name, dir: temporaryFolder(cleanup), token });
    await expect(joined(authority, { kind: 'ingest', name: 'three', dir: temporaryFolder(cleanup), token })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
    const late = await tokenFor(authority, 'ingest');
    now += HOUR;
    await expect(joined(authority, { kind: 'ingest', name: 'four', dir: temporaryFolder(cleanup), token: late })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
  });

  test('is of one kind, of one name where it has one, and takes nobody else out of their name', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = (): string => temporaryFolder(cleanup);
    const ingest = await tokenFor(authority, 'ingest');
    await expect(joined(authority, { kind: 'viewer', name: 'one', dir: dir(), token: ingest })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
    const named = await tokenFor(authority, 'gateway', { name: 'one' });
    await expect(joined(authority, { kind: 'gateway', name: 'two', dir: dir(), token: named })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
    await joined(authority, { kind: 'gateway', name: 'one', dir: dir(), token: named });
    await expect(
      joined(authority, { kind: 'gateway', name: 'one', dir: dir(), token: await tokenFor(authority, 'gateway') }),
    ).rejects.toEqual(refusal('SERVICE_NAME_TAKEN'));
  });

  test('of nodes lets no service in, and is made by nobody but who administers everything', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    const node = (await admin.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels: {}, node_labels: [] })) as ServiceTokenCreated;
    await expect(joined(authority, { kind: 'gateway', name: 'one', dir: temporaryFolder(cleanup), token: node })).rejects.toEqual(
      refusal('SERVICE_JOIN_REFUSED'),
    );
    await expect(admin.call('POST', '/v1/service-tokens', { kind: 'authority', ttl_ms: 60_000 })).rejects.toEqual(refusal('BAD_REQUEST'));
    expect(await admin.call('POST', '/v1/service-tokens', { kind: 'viewer', ttl_ms: 60_000 })).toMatchObject({ uses_left: 1 });
  });

  test('is never sent, and is not shown to an authority without the pin', async () => {
    const [own, foreign] = [await authorityIn(temporaryFolder(cleanup), cleanup), await authorityIn(temporaryFolder(cleanup), cleanup)];
    const token = await tokenFor(own, 'viewer');
    await expect(joined(foreign, { kind: 'viewer', name: 'one', dir: temporaryFolder(cleanup), token })).rejects.toEqual(
      refusal('AUTHORITY_UNTRUSTED'),
    );
    await joined(own, { kind: 'viewer', name: 'one', dir: temporaryFolder(cleanup), token });
  });
});

test('a request that was signed for one connection counts on no other', async () => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const url = authority.addresses.tls;
  const token = await tokenFor(authority, 'viewer');
  const ca = await pinnedCa(new URL(url).host, token.ca_pins);
  const agent = new PinnedAgent(ca!, 'authority');
  cleanup.add(() => agent.destroy());
  const place = { kind: 'tls', url, agent } as const;
  await callAuthority(place, { method: 'GET', target: '/healthz' });
  const request = JSON.stringify({
    token: token.id,
    version: 1,
    channel: Buffer.alloc(32, 1).toString('base64'),
    kind: 'viewer',
    name: 'one',
    service_key: 'x',
    more_host_keys: [],
    host_names: [],
  });
  const body = { request, token_signature: 'AAAA', service_signature: 'AAAA', key_signatures: [] };
  await expect(callAuthority(place, { method: 'POST', target: '/v1/services/join', body })).rejects.toEqual(
    refusal('SERVICE_JOIN_REFUSED'),
  );
});
