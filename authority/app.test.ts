import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, rmSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { ownerName } from './first-administrator.js';
import { administrator, authorityIn, Cleanup, clientOf, identityOf, onSocket, temporaryFolder } from './testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const nodeOf = (name: string): Record<string, unknown> => ({
  name,
  kind: 'openssh',
  address: '127.0.0.1:22',
  labels: { env: 'prod' },
  host_keys: [],
});

describe('the owner of the machine', () => {
  test('logs in over the socket and gets a certificate that ssh-keygen reads', async () => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(dir, cleanup);
    const { login } = await administrator(authority, cleanup);
    const file = join(dir, 'user-cert.pub');
    writeFileSync(file, `${login.certificate}\n`);
    const text = execFileSync('ssh-keygen', ['-L', '-f', file], { encoding: 'utf8' });
    expect(text).toContain('ssh-ed25519-cert-v01@openssh.com user certificate');
    expect(text).toContain(`Key ID: "user=${login.user}"`);
    for (const word of [
      '-steno-any',
      '-steno-login:root',
      'roles@steno',
      'user@steno',
      'Critical Options: (none)',
      'permit-pty',
      'permit-port-forwarding',
    ])
      expect(text).toContain(word);
    expect(login.roles).toEqual(['admin']);
    expect(login.logins).toContain('root');
    expect(login.ssh_host_ca[0]).toMatch(/^ssh-ed25519 /);
  });

  test('has a socket that only they can open, in a folder that only they can enter', async () => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(join(dir, 'data'), cleanup);
    expect(statSync(authority.addresses.socket).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, 'data')).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, 'data', 'authority', 'seal.key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(dir, 'data', 'authority', 'seal.key')).length).toBe(32);
  });
});

describe('the name of the first administrator', () => {
  test.each([
    ['root', 'root'],
    ['Ann.Smith', 'ann.smith'],
    ['DOMAIN\\joe', 'domain-joe'],
    ['_apt', 'apt'],
    ['a..b', 'a.b'],
    ['ürsel', 'rsel'],
    ['山', 'owner'],
    ['x'.repeat(80), 'x'.repeat(63)],
  ])('is for %s %s', (osName, name) => expect(ownerName(osName)).toBe(name));
});

describe('a second start', () => {
  test('keeps the CAs, users, roles and nodes, and asks for nothing', async () => {
    const dir = temporaryFolder(cleanup);
    const first = await authorityIn(dir, cleanup);
    const before = await administrator(first, cleanup);
    await before.call('PUT', '/v1/nodes/web-1', nodeOf('web-1'));
    await first.close();
    const second = await authorityIn(dir, cleanup);
    const after = await administrator(second, cleanup);
    expect([after.login.ssh_user_ca, after.login.ssh_host_ca, after.login.recording_ca, after.login.service_ca_pem]).toEqual([
      before.login.ssh_user_ca,
      before.login.ssh_host_ca,
      before.login.recording_ca,
      before.login.service_ca_pem,
    ]);
    expect(await after.call('GET', '/v1/nodes')).toEqual([
      {
        ...nodeOf('web-1'),
        last_seen_at: null,
        owner_logins: [...new Set([userInfo().username, 'root'])],
        state: 'agentless',
        since: null,
      },
    ]);
  });

  test('without the seal key fails, clearly, and makes no new one', async () => {
    const dir = temporaryFolder(cleanup);
    await (await authorityIn(dir, cleanup)).close();
    const key = join(dir, 'authority', 'seal.key');
    rmSync(key);
    for (let attempt = 0; attempt < 2; attempt += 1) await expect(authorityIn(dir, cleanup)).rejects.toEqual(refusal('SEAL_KEY_MISSING'));
    writeFileSync(key, Buffer.alloc(32, 7), { mode: 0o600 });
    await expect(authorityIn(dir, cleanup)).rejects.toEqual(refusal('SEAL_KEY_WRONG'));
  });

  test('beside a running one is refused, and leaves its socket alone', async () => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(dir, cleanup);
    await expect(authorityIn(dir, cleanup)).rejects.toEqual(refusal('ALREADY_RUNNING'));
    await expect(onSocket(authority, { method: 'POST', target: '/v1/sign-in-link' })).resolves.toMatchObject({
      url_token: expect.stringMatching(/^[\w-]{43}$/),
    });
  });
});

describe('the watch', () => {
  test('tells of every change, and an agent that registers is a node', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw-1', hostNames: [], records: true }, cleanup);
    const agent = await clientOf(authority, { kind: 'agent', name: 'web-2', hostNames: [] }, cleanup);
    const seen: Snapshot[] = [];
    const until = (holds: (snapshot: Snapshot) => boolean): Promise<Snapshot> =>
      new Promise((resolve) => {
        if (holds(gateway.current())) resolve(gateway.current());
        gateway.onChange((snapshot) => {
          seen.push(snapshot);
          if (holds(snapshot)) resolve(snapshot);
        });
      });
    const lock = { id: 'lock-1', target_kind: 'user', target: 'mallory', reason: 'test', expires_at: null };
    await admin.call('PUT', '/v1/nodes/web-1', nodeOf('web-1'));
    await until(({ nodes }) => nodes.some(({ name }) => name === 'web-1'));
    await agent.registerNode({ address: '127.0.0.1:2022', labels: { os: 'linux' }, host_keys: [] });
    const withAgent = await until(({ nodes }) => nodes.length === 2);
    expect(withAgent.nodes.find(({ name }) => name === 'web-2')).toMatchObject({
      kind: 'agent',
      address: '127.0.0.1:2022',
      last_seen_at: expect.any(Number),
    });
    await admin.call('PUT', '/v1/locks/lock-1', lock);
    expect((await until(({ locks }) => locks.length === 1)).locks).toEqual([lock]);
    await admin.call('DELETE', '/v1/locks/lock-1');
    await until(({ locks }) => locks.length === 0);
    expect(seen.every((snapshot, i) => i === 0 || snapshot.version >= seen[i - 1]!.version)).toBe(true);
    const host = parseCertificate(gateway.identity.hostCertificate());
    expect(host.principals).toEqual(['localhost', '127.0.0.1', '::1', 'steno-gateway@main']);
    expect(parseCertificate(gateway.identity.recordingCertificate()).principals).toEqual(['gw-1']);
  });

  test('is for services only, and takes nothing', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const identity = await identityOf(authority, { kind: 'viewer', name: 'local' }, cleanup);
    const url = authority.addresses.tls.replace('https', 'wss');
    const outcome = (path: string, options: ConnectionOptions, say?: string): Promise<string> =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url}${path}`, options);
        socket.on('unexpected-response', (_request, response) => {
          resolve(`status ${response.statusCode ?? 0}`);
          socket.terminate();
        });
        socket.on('message', () => (say === undefined ? undefined : socket.send(say)));
        socket.on('error', () => undefined).on('close', () => resolve('closed'));
      });
    expect(await outcome('/v1/watch', { rejectUnauthorized: false })).toBe('status 401');
    expect(await outcome('/v1/elsewhere', identity.tlsClientOptions(['authority']))).toBe('status 404');
    expect(await outcome('/v1/watch', identity.tlsClientOptions(['authority']), 'hello?')).toBe('closed');
  });

  test('is what an agent is seen by', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const admin = await administrator(authority, cleanup);
    const agent = await clientOf(authority, { kind: 'agent', name: 'web-2' }, cleanup);
    await agent.registerNode({ address: '127.0.0.1:2022', labels: {}, host_keys: [] });
    const state = async (): Promise<unknown> => ((await admin.call('GET', '/v1/nodes')) as NodeStatus[])[0]?.state;
    await expect.poll(state).toBe('live');
    agent.close();
    await expect.poll(state).toBe('gone');
  });
});
