/** `steno services rm`: a removed service loses every connection immediately, at both ends, and gets no new one. */
import { once } from 'node:events';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import type { JoiningKind } from '#schemas/service-join.js';
import { openMember } from '#runtime/service/member.js';
import type { Member } from '#runtime/service/member.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, authorityIn, onSocket, silent, temporaryFolder } from '../testing/authority.js';
import type { RunningAuthority } from '../app.js';
import { Records } from '../records/records.js';
import { purgeRemovedServices, putRemovedService, removedServices } from './removed.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const HOUR = 3_600_000;

async function member(
  authority: RunningAuthority,
  kind: JoiningKind,
  name: string,
  dir: string,
  token?: ServiceTokenCreated,
): Promise<Member> {
  const opened = await openMember(
    kind,
    {
      name,
      data: dir,
      fips: false,
      authorities: [authority.addresses.tls],
      join: { ca_pins: [...(token?.ca_pins ?? [])] },
      ...(token === undefined ? {} : { token: token.token }),
    },
    { dir, ...(kind === 'gateway' ? { hostNames: [], records: true } : {}) },
    { log: silent, clock: Date.now },
  );
  cleanup.add(() => opened.close());
  return opened;
}

const tokenFor = (authority: RunningAuthority, kind: JoiningKind): Promise<ServiceTokenCreated> =>
  onSocket(authority, { method: 'POST', target: '/v1/service-tokens', body: { kind, ttl_ms: 600_000 } }) as Promise<ServiceTokenCreated>;
const remove = (authority: RunningAuthority, service: string): Promise<unknown> =>
  onSocket(authority, { method: 'DELETE', target: `/v1/services/${service}` });

async function listening(identity: ServiceIdentity): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer(identity.tlsServerOptions(), (socket) => socket.on('error', () => undefined).write('hello'));
  identity.guard(server, ['gateway', 'viewer']);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(() => void server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

/** Connects and reads the greeting; null if none came. */
async function greeted(identity: ServiceIdentity, port: number): Promise<TLSSocket | null> {
  const socket = connect({ ...identity.tlsClientOptions(['ingest']), host: '127.0.0.1', port });
  cleanup.add(() => void socket.destroy());
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('data', () => resolve(socket));
    socket.once('close', () => resolve(null));
  });
}

async function scene() {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const dir = temporaryFolder(cleanup);
  const gateway = await member(authority, 'gateway', 'edge', dir, await tokenFor(authority, 'gateway'));
  const ingest = await member(authority, 'ingest', 'one', temporaryFolder(cleanup), await tokenFor(authority, 'ingest'));
  return { authority, gateway, ingest, dir };
}

test('a gateway that is removed is cut off by ingest and authority, is told so, and comes in nowhere', async () => {
  const { authority, gateway, ingest } = await scene();
  const viewer = await member(authority, 'viewer', 'one', temporaryFolder(cleanup), await tokenFor(authority, 'viewer'));
  const { port } = await listening(ingest.identity);
  const [ours, theirs] = [(await greeted(viewer.identity, port))!, (await greeted(gateway.identity, port))!];
  await gateway.authority.nodes.held({
    epoch: '0'.repeat(16),
    address: '',
    ingest: '',
    all: [],
    up: [],
    down: [],
    sessions: { up: ['01hf7yat0000000000000000ab'], down: [] },
  });
  expect(await viewer.authority.liveSession('01hf7yat0000000000000000ab')).toMatchObject({ gateway: 'edge' });

  const cut = once(theirs, 'close');
  await remove(authority, 'gateway/edge');
  await cut;
  expect(await gateway.authority.removed).toEqual(refusal('SERVICE_REMOVED'));
  await expect(gateway.authority.clusterStatement()).rejects.toEqual(refusal('SERVICE_REMOVED'));
  await expect(gateway.authority.lockEffects([])).rejects.toEqual(refusal('SERVICE_REMOVED'));
  expect(await greeted(gateway.identity, port)).toBeNull();
  // It holds no session any more, and no other service was disconnected.
  expect(await viewer.authority.liveSession('01hf7yat0000000000000000ab')).toBeNull();
  expect(ours.destroyed).toBe(false);
});

test('an ingest that is removed is no server for anybody, and who was connected to it hears of it', async () => {
  const { authority, gateway, ingest } = await scene();
  const { port } = await listening(ingest.identity);
  expect(await greeted(gateway.identity, port)).not.toBeNull();
  const heard = new Promise((resolve) => gateway.identity.removed.onChange(resolve));
  await remove(authority, 'ingest/one');
  expect(await heard).toEqual(new Set(['ingest']));
  expect(await greeted(gateway.identity, port)).toBeNull();
  expect(await ingest.authority.removed).toEqual(refusal('SERVICE_REMOVED'));
});

test('it starts no more with what it kept, and does with a new token, under the same key or another', async () => {
  const { authority, dir, gateway } = await scene();
  await remove(authority, 'gateway/edge');
  await gateway.authority.removed;
  gateway.close();
  await expect(member(authority, 'gateway', 'edge', dir)).rejects.toEqual(refusal('SERVICE_REMOVED'));
  const token = await tokenFor(authority, 'gateway');
  const again = await member(authority, 'gateway', 'edge', dir, token);
  expect(again.authority.current().removed_services).toEqual([]);
  await remove(authority, 'gateway/edge');
  await again.authority.removed;
  const used = member(authority, 'gateway', 'edge', dir, token);
  await expect(used).rejects.toEqual(refusal('SERVICE_REMOVED'));
  const other = await member(authority, 'gateway', 'edge', temporaryFolder(cleanup), await tokenFor(authority, 'gateway'));
  expect(other.authority.current().removed_services).toMatchObject([{ service: 'gateway/edge' }]);
});

test('its key is published until its certificates have run out, and then forgotten', async () => {
  const records = new Records(await openState({ kind: 'sqlite', file: join(temporaryFolder(cleanup), 'state.sqlite') }));
  cleanup.add(() => records.close());
  const now = 1_700_000_000_000;
  const published = (at: number): Promise<readonly string[]> =>
    records.read(async (db) => (await removedServices(db, at)).map(({ service }) => service));
  await records.act([], (tx) => putRemovedService(tx, 'gateway/edge', 'k1', now + 25 * HOUR));
  await records.act([], (tx) => purgeRemovedServices(tx, now + 24 * HOUR));
  expect([await published(now + 24 * HOUR), await published(now + 25 * HOUR)]).toEqual([['gateway/edge'], []]);
  await records.act([], (tx) => purgeRemovedServices(tx, now + 25 * HOUR));
  expect(await published(now)).toEqual([]);
});
