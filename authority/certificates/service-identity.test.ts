import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { ServiceKind } from '#schemas/base/identity.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import type { IdentityConfig, ServiceIdentity } from '#runtime/service/identity.js';
import { authorityIn, Cleanup, clientOf, identityOf, onSocket, silent, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });

/** What a client of `kinds` receives from a server that admits `admitted`: its greeting, or nothing. */
async function greeting(
  server: ServiceIdentity,
  admitted: readonly ServiceKind[],
  client: ServiceIdentity,
  kinds: readonly ServiceKind[],
): Promise<string> {
  const listener = createServer(server.tlsServerOptions(), (socket) => socket.end('hello'));
  server.guard(listener, admitted);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  cleanup.add(() => void listener.close());
  const socket = connect({ ...client.tlsClientOptions(kinds), host: '127.0.0.1', port: (listener.address() as AddressInfo).port });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => undefined);
  await once(socket, 'close').catch(() => undefined);
  return Buffer.concat(chunks).toString();
}

describe('two services', () => {
  test('meet when each is of the kind that the other expects', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const [ingest, gateway, agent] = [
      await identityOf(authority, { kind: 'ingest', name: 'local' }, cleanup),
      await identityOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup),
      await identityOf(authority, { kind: 'agent', name: 'web-1' }, cleanup),
    ];
    expect(await greeting(ingest, ['gateway'], gateway, ['ingest'])).toBe('hello');
    expect(await greeting(ingest, ['gateway'], agent, ['ingest'])).toBe('');
    expect(await greeting(agent, ['gateway'], gateway, ['ingest'])).toBe('');
  });

  test('of two different Stenos do not', async () => {
    const [one, other] = [await authorityIn(temporaryFolder(cleanup), cleanup), await authorityIn(temporaryFolder(cleanup), cleanup)];
    const ingest = await identityOf(one, { kind: 'ingest', name: 'local' }, cleanup);
    const gateway = await identityOf(other, { kind: 'gateway', name: 'gw-1' }, cleanup);
    expect(await greeting(ingest, ['gateway'], gateway, ['ingest'])).toBe('');
    expect(await greeting(gateway, ['ingest'], ingest, ['gateway'])).toBe('');
  });
});

describe('an identity in a folder', () => {
  const config = (socket: string, dir: string): IdentityConfig => ({
    kind: 'gateway',
    name: 'gw-1',
    socket,
    dir,
    hostNames: ['gw.example.org'],
    records: true,
  });
  const context = { log: silent, clock: Date.now };

  test('keeps its keys over a restart, readable by its owner only', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = join(temporaryFolder(cleanup), 'identity');
    const first = await openServiceIdentity(config(authority.addresses.socket, dir), context);
    first.close();
    const second = await openServiceIdentity(config(authority.addresses.socket, dir), context);
    second.close();
    expect(second.hostKey?.publicBlob).toEqual(first.hostKey?.publicBlob);
    expect(second.recordingKey?.publicBlob).toEqual(first.recordingKey?.publicBlob);
    expect(parseCertificate(second.hostCertificate()).principals).toContain('gw.example.org');
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(dir)) expect(statSync(join(dir, file)).mode & 0o777).toBe(0o600);
  });

  test('goes on while the authority is away, as long as its certificates hold', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = join(temporaryFolder(cleanup), 'identity');
    (await openServiceIdentity(config(authority.addresses.socket, dir), context)).close();
    await authority.close();
    const alone = await openServiceIdentity(config(authority.addresses.socket, dir), context);
    alone.close();
    expect(parseCertificate(alone.recordingCertificate()).principals).toEqual(['gw-1']);
    const tomorrow = { log: silent, clock: () => Date.now() + 25 * 3_600_000 };
    await expect(openServiceIdentity(config(authority.addresses.socket, dir), tomorrow)).rejects.toEqual(refusal('NOT_RUNNING'));
  });

  test('refuses a damaged key and says nothing of its content', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const dir = join(temporaryFolder(cleanup), 'identity');
    (await openServiceIdentity(config(authority.addresses.socket, dir), context)).close();
    writeFileSync(join(dir, 'service.key'), readFileSync(join(dir, 'service.key'), 'utf8').slice(0, 90));
    await expect(openServiceIdentity(config(authority.addresses.socket, dir), context)).rejects.toEqual(refusal('KEY_GARBLED'));
  });
});

describe('renewal', () => {
  afterEach(() => vi.useRealTimers());

  test('begins by itself when half to two thirds of the life are gone, for each service at another time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let now = Date.now();
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
    const hours = 3_600_000;
    const begun = now;
    const renewals: number[] = [];
    let underWay = 0;
    for (let i = 0; i < 4; i += 1) {
      const identity = await openServiceIdentity(
        { kind: 'agent', name: `web-${i}`, hostNames: [], socket: authority.addresses.socket },
        { log: silent, clock: () => now },
      );
      cleanup.add(() => identity.close());
      const before = parseCertificate(identity.hostCertificate()).validBefore;
      identity.renewWith(async ({ host_certificate: _, ...keys }) => {
        underWay += 1;
        try {
          return (await onSocket(authority, {
            method: 'POST',
            target: '/v1/enroll',
            body: { kind: 'agent', name: `web-${i}`, host_names: [], ...keys },
          })) as Enrolment;
        } finally {
          underWay -= 1;
        }
      });
      identity.onRenewed(() => {
        renewals.push((now - begun) / hours);
        expect(parseCertificate(identity.hostCertificate()).validBefore).toBeGreaterThan(before);
      });
    }
    while (renewals.length < 4) {
      // Less than the time limit of a call to the authority, whose timer is paused too.
      now += 5_000;
      vi.advanceTimersByTime(5_000);
      while (underWay > 0) await new Promise((resolve) => setImmediate(resolve));
      expect(now - begun).toBeLessThan(16.1 * hours);
    }
    expect(Math.min(...renewals)).toBeGreaterThanOrEqual(11.9);
    expect(new Set(renewals).size).toBeGreaterThan(1);
  });

  test('that fails is tried again every minute, and what is held serves on', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let now = Date.now();
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
    const identity = await openServiceIdentity(
      { kind: 'agent', name: 'web-1', hostNames: [], socket: authority.addresses.socket },
      { log: silent, clock: () => now },
    );
    cleanup.add(() => identity.close());
    let asked = 0;
    const failed = (): Promise<void> =>
      new Promise((resolve) => {
        identity.renewWith(() => {
          asked += 1;
          resolve();
          return Promise.reject(new Error('on purpose'));
        });
      });
    const first = failed();
    const before = identity.hostCertificate();
    now += 17 * 3_600_000;
    vi.advanceTimersByTime(3_600_000);
    await first;
    for (let attempt = 2; attempt < 5; attempt += 1) {
      const next = failed();
      await new Promise((resolve) => setImmediate(resolve));
      now += 60_000;
      vi.advanceTimersByTime(60_000);
      await next;
      expect(asked).toBe(attempt);
    }
    expect(identity.hostCertificate()).toEqual(before);
    const renewed = new Promise<void>((resolve) => {
      identity.onRenewed(resolve);
    });
    identity.renewWith(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    now += 60_000;
    vi.advanceTimersByTime(60_000);
    await renewed;
    expect(identity.hostCertificate()).not.toEqual(before);
  });

  test('over mutual TLS gives new certificates for the same names, and running servers use them', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const { identity } = await clientOf(
      authority,
      { kind: 'gateway', name: 'gw-1', hostNames: ['gw.example.org'], records: true },
      cleanup,
    );
    const before = identity.hostCertificate();
    await identity.renew();
    expect(identity.hostCertificate()).not.toEqual(before);
    expect(parseCertificate(identity.hostCertificate()).principals).toEqual(parseCertificate(before).principals);
    expect(parseCertificate(identity.recordingCertificate()).principals).toEqual(['gw-1']);
    const ingest = await identityOf(authority, { kind: 'ingest', name: 'local' }, cleanup);
    expect(await greeting(ingest, ['gateway'], identity, ['ingest'])).toBe('hello');
  });

  test('does not give the names of another service', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const thief = await clientOf(authority, { kind: 'gateway', name: 'gw-2', hostNames: [] }, cleanup);
    const victim = await identityOf(authority, { kind: 'gateway', name: 'gw-1', hostNames: ['prize.example.org'] }, cleanup);
    const real = victim.hostCertificate();
    const agent = new Agent(thief.identity.tlsClientOptions(['authority']));
    cleanup.add(() => agent.destroy());
    const key = createPublicKey(String(thief.identity.tlsServerOptions().key)).export({ type: 'spki', format: 'pem' }).toString();
    const body = {
      service_key: key,
      host_key: formatPublicLine(thief.identity.hostKey!.publicBlob),
      host_certificate: formatPublicLine(real),
    };
    await expect(
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'POST', target: '/v1/renew', body }),
    ).rejects.toEqual(refusal('ACCESS_DENIED'));
  });
});
