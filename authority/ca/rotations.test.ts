import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { CaReport, TrustReport } from '#schemas/api/services/ca.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openState } from '#stores/state/open.js';
import { administrator, authorityIn, Cleanup, clientOf, onSocket, temporaryFolder } from '../testing/authority.js';
import type { Administrator } from '../testing/authority.js';
import { caNames } from './names.js';
import type { CaName } from './names.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const steps = ['init', 'update-clients', 'update-servers', 'standby'] as const;
const rotate = (admin: Administrator, name: CaName, body: object): Promise<CaReport> =>
  admin.call('PUT', `/v1/ca/${name}/rotation`, body) as Promise<CaReport>;
const gatewayConfig = { kind: 'gateway', name: 'gw-1', hostNames: [], records: true } as const;

/** Resolves with the first snapshot or renewal after which `holds` is true. */
function until(
  client: AuthorityClient & { readonly identity: { onRenewed(callback: () => void): () => void } },
  holds: () => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (holds()) resolve();
    };
    client.onChange(look);
    client.identity.onRenewed(look);
    look();
  });
}
const signerOf = (certificate: Uint8Array): string => formatPublicLine(parseCertificate(certificate).signatureKey);
const plain = (line: string): string => formatPublicLine(parseAuthorizedLine(line).blob);

describe('a rotation', () => {
  test.each(['ssh-host', 'recording', 'x509-service'] as const)(
    'of %s gives a running service certificates of the new key, by itself, and waits for it',
    async (name) => {
      const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
      const admin = await administrator(authority, cleanup);
      const gateway = await clientOf(authority, gatewayConfig, cleanup);
      const held = (): string => {
        if (name === 'x509-service') return String(new X509Certificate(String(gateway.identity.tlsServerOptions().cert)).issuer);
        return signerOf(name === 'ssh-host' ? gateway.identity.hostCertificate() : gateway.identity.recordingCertificate());
      };
      const trusted = (): readonly string[] =>
        ({
          'ssh-host': gateway.current().ssh_host_ca,
          recording: gateway.current().recording_ca,
          'x509-service': gateway.current().service_ca,
        })[name];
      const before = held();
      await rotate(admin, name, { phase: 'init' });
      await until(gateway, () => trusted().length === 2);
      expect(held()).toBe(before);
      await rotate(admin, name, { phase: 'update-clients' });
      if (name === 'x509-service') await until(gateway, () => held() !== before);
      else expect(held()).toBe(before);
      await rotate(admin, name, { phase: 'update-servers' });
      await until(gateway, () => held() !== before);
      const report = await rotate(admin, name, { phase: 'standby' });
      await until(gateway, () => trusted().length === 1);
      expect(report.keys.map(({ generation, state }) => [generation, state])).toEqual([
        [2, 'active'],
        [1, 'retired'],
      ]);
      if (name !== 'x509-service') expect(held()).toBe(plain(trusted()[0]!));
      expect(gateway.current().recording_ca_retired).toHaveLength(name === 'recording' ? 1 : 0);
      // Services that enrol and users that log in now get the new keys, and both sides still accept each other.
      await clientOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
      await administrator(authority, cleanup);
    },
  );

  test('of the CAs of users certifies logins with the new key from the first phase in which everybody knows it', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const signers: string[][] = [];
    let admin = await administrator(authority, cleanup);
    for (const phase of [undefined, ...steps]) {
      if (phase !== undefined) {
        await rotate(admin, 'ssh-user', { phase });
        await rotate(admin, 'x509-user', { phase });
        // The caller's own certificate may be from the retired key.
        admin = await administrator(authority, cleanup);
      }
      const { login } = admin;
      const ca = signerOf(parseAuthorizedLine(login.certificate).blob);
      const x509 = new X509Certificate(login.x509_certificate!);
      const roots = login.x509_user_ca_pem.split(/(?<=-----END CERTIFICATE-----\n)/).filter((pem) => pem !== '');
      expect(login.ssh_user_ca.map(plain)).toContain(ca);
      expect(roots.filter((pem) => x509.verify(new X509Certificate(pem).publicKey))).toHaveLength(1);
      signers.push([ca, x509.issuer]);
    }
    expect(signers[1]).toEqual(signers[0]);
    expect(signers[2]).not.toEqual(signers[0]);
    expect(signers[3]).toEqual(signers[2]);
    expect(signers[4]).toEqual(signers[2]);
    expect(((await admin.call('GET', '/v1/trust')) as TrustReport).ssh_user_ca).toHaveLength(1);
  });

  test('goes back: what the new key has signed counts until it is dropped', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    for (const phase of ['init', 'update-clients'] as const) await rotate(admin, 'ssh-user', { phase });
    const second = await administrator(authority, cleanup);
    await rotate(admin, 'ssh-user', { phase: 'rollback' });
    await expect(second.call('GET', '/v1/nodes')).resolves.toEqual([]);
    await rotate(second, 'ssh-user', { phase: 'standby' });
    await expect(second.call('GET', '/v1/nodes')).rejects.toEqual(refusal('CERT_UNKNOWN_CA'));
    await expect(admin.call('GET', '/v1/nodes')).resolves.toEqual([]);
    expect((await rotate(admin, 'ssh-user', { phase: 'init' })).keys.map(({ generation, state }) => `${generation} ${state}`)).toEqual([
      '3 next',
      '2 retired',
      '1 active',
    ]);
  });

  test('leaves who slept through it with an error that says what to do', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const { login } = await administrator(authority, cleanup);
    for (const phase of steps) {
      await onSocket(authority, { method: 'PUT', target: '/v1/ca/x509-service/rotation', body: { phase } });
      await expect((await administrator(authority, cleanup)).call('GET', '/v1/nodes')).resolves.toEqual([]);
    }
    const agent = new Agent({ ca: login.service_ca_pem, checkServerIdentity: () => undefined });
    cleanup.add(() => agent.destroy());
    await expect(
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'GET', target: '/v1/nodes' }),
    ).rejects.toEqual(refusal('AUTHORITY_UNTRUSTED'));
  });

  test('does not drop a key while a connected service holds a certificate of it', async () => {
    let now = Date.now();
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup, {}, () => now);
    const admin = await administrator(authority, cleanup);
    const gateway = await clientOf(authority, gatewayConfig, cleanup);
    // A service that cannot renew: the authority would not accept its keys.
    gateway.identity.renewWith(() => Promise.reject(new Error('on purpose')));
    for (const phase of steps.slice(0, 3)) {
      now += 1_000;
      await rotate(admin, 'ssh-host', { phase });
    }
    await expect(rotate(admin, 'ssh-host', { phase: 'standby' })).rejects.toEqual(refusal('CA_ROTATION_EARLY'));
    expect(((await admin.call('GET', '/v1/ca')) as CaReport[]).find(({ name }) => name === 'ssh-host')!.waits_for).toEqual([
      'gateway/gw-1',
    ]);
    await expect(rotate(admin, 'ssh-host', { phase: 'standby', force: true })).resolves.toMatchObject({ phase: 'standby' });
  });

  test('by the clock goes through all phases in its grace period, over a restart in the middle', async () => {
    const dir = temporaryFolder(cleanup);
    let now = Date.now();
    const first = await authorityIn(dir, cleanup, {}, () => now);
    // Over the socket: TLS and signed requests use the real time, for which certificates from a clock that is ahead are not valid yet.
    const begun = (await onSocket(first, {
      method: 'PUT',
      target: '/v1/ca/x509-user/rotation',
      body: { grace_ms: 3 * 3_600_000 },
    })) as CaReport;
    expect(begun).toMatchObject({ phase: 'init', next_at: now + 3_600_000 });
    await first.close();
    const phaseAt = async (hours: number): Promise<string> => {
      now += hours * 3_600_000;
      const authority = await authorityIn(dir, cleanup, {}, () => now);
      const report = async (): Promise<CaReport> =>
        ((await onSocket(authority, { method: 'GET', target: '/v1/ca' })) as CaReport[]).find(({ name }) => name === 'x509-user')!;
      // Steps that are due at the start are performed right after it.
      let latest = await report();
      while (latest.next_at !== null && latest.next_at <= now) latest = await report();
      await authority.close();
      return latest.phase;
    };
    expect(await phaseAt(0.5)).toBe('init');
    expect(await phaseAt(0.6)).toBe('update-clients');
    expect(await phaseAt(1)).toBe('update-servers');
    expect(await phaseAt(1)).toBe('standby');
  });

  test('of strangers, of unknown CAs and to odd phases is refused, and every step and refusal is told', async () => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(dir, cleanup);
    const admin = await administrator(authority, cleanup);
    await expect(rotate(admin, 'ssh-user', { phase: 'update-servers' })).rejects.toEqual(refusal('CA_PHASE'));
    await expect(rotate(admin, 'nobody' as CaName, { phase: 'init' })).rejects.toEqual(refusal('NOT_FOUND'));
    await expect(rotate(admin, 'ssh-user', { phase: 'somewhere' })).rejects.toEqual(refusal('BAD_REQUEST'));
    await expect(rotate(admin, 'ssh-user', { grace_ms: 10 })).rejects.toEqual(refusal('BAD_REQUEST'));
    await rotate(admin, 'ssh-user', { phase: 'init' });
    await rotate(admin, 'ssh-user', { phase: 'init' });
    const state = await openState({ kind: 'sqlite', file: join(dir, 'authority', 'state.sqlite') });
    cleanup.add(() => state.destroy());
    const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(
      ({ row }) => JSON.parse(row) as { event: string; outcome: string; target: string; data: string },
    );
    const told = rows.filter(({ event }) => event === 'ca.rotate').map(({ outcome, target }) => `${outcome} ${target}`);
    expect(told.sort()).toEqual(['failure nobody', 'failure ssh-user', 'failure ssh-user', 'failure ssh-user', 'success ssh-user']);
    expect(JSON.parse(rows.find(({ event, outcome }) => event === 'ca.rotate' && outcome === 'success')!.data)).toMatchObject({
      from: 'standby',
      phase: 'init',
      generation: 2,
    });
  });

  test('of two at once moves a CA once', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    await Promise.all(caNames.flatMap((name) => [rotate(admin, name, { phase: 'init' }), rotate(admin, name, { phase: 'init' })]));
    const reports = (await admin.call('GET', '/v1/ca')) as CaReport[];
    expect(reports.map(({ keys }) => keys.length)).toEqual([2, 2, 2, 2, 2]);
    expect((await clientOf(authority, gatewayConfig, cleanup)).current() satisfies Snapshot).toMatchObject({
      ssh_user_ca: expect.objectContaining({ length: 2 }),
    });
  });
});
