/** Agents in network namespaces of their own, which can only dial out, and a whole Steno outside. */
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, connect as connectTcp } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { bin, Steno, eventually } from '../end-to-end/machine.js';
import { must, viewerOf } from '../end-to-end/client-tools.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';
import { Namespace, whyNoNamespace } from './namespace.js';

const why = whyNoNamespace();
if (why !== null) console.warn(`skipped: ${why}`);

describe.skipIf(why !== null)('an agent that can only dial out', () => {
  const steno = new Steno();
  let space: Namespace;
  let node: TunnelNode;
  const nodes = () => steno.json<NodeStatus[]>('nodes');
  const state = async (name = 'inner'): Promise<unknown> => (await nodes()).find((one) => one.name === name)?.state;
  const audit = async (event: string): Promise<readonly AuditRow[]> => (await viewerOf(steno).audit()).filter((row) => row.event === event);
  const host = (): string => `${steno.login}@inner.steno`;

  beforeAll(async () => {
    space = new Namespace(0);
    await steno.start('--tunnel-listen', `${space.outside}:0`);
    await steno.json('login', '--data', steno.data);
    node = await startTunnelNode(steno, 'inner', {
      token: ['--labels', 'env=prod'],
      agent: ['--labels', 'node/where=inside'],
      prefix: space.prefix,
    });
  });
  afterAll(async () => {
    await node?.stop();
    await steno.dispose();
    space?.dispose();
  });

  it('is live once it has joined, has no open port, and accepts sessions', async () => {
    await eventually(
      () => state(),
      (now) => now === 'live',
    );
    expect(execFileSync('ip', ['netns', 'exec', space.name, 'ss', '-Hltn'], { encoding: 'utf8' })).toBe('');
    const { status, stdout } = await steno.ssh(host(), 'cat /proc/net/fib_trie; exit 5');
    expect(status).toBe(5);
    expect(stdout).toContain(space.inside);
    expect((await nodes()).find(({ name }) => name === 'inner')?.labels).toEqual({ env: 'prod', 'node/where': 'inside' });
  });

  it('transfers large files intact in many concurrent sessions', async () => {
    const bytes = randomBytes(8 << 20);
    const file = join(steno.folder, 'large');
    writeFileSync(file, bytes);
    await Promise.all(
      [1, 2, 3].map(async (n) => {
        await must(steno.exec('scp', ['-q', '-F', steno.config, file, `${host()}:${file}.${n}`]));
        const { stdout } = await must(steno.ssh(host(), `sha256sum < ${file}.${n}`));
        expect(stdout.split(' ')[0]).toBe(createHash('sha256').update(bytes).digest('hex'));
      }),
    );
  });

  it('a client that stops reading blocks no other', async () => {
    const stalled = spawn('ssh', ['-F', steno.config, host(), 'cat /dev/zero'], { env: steno.env, stdio: ['ignore', 'pipe', 'ignore'] });
    await once(stalled.stdout, 'readable');
    stalled.kill('SIGSTOP');
    const { stdout } = await must(steno.ssh(host(), 'seq 1 100000 | tail -1'));
    expect(stdout).toBe('100000\n');
    stalled.kill('SIGKILL');
    await once(stalled, 'exit');
  });

  it('reconnects without a token after it was killed and after the gateway was', async () => {
    await node.stop('SIGKILL');
    await eventually(
      () => state(),
      (now) => now === 'gone',
    );
    await node.start();
    await eventually(
      () => state(),
      (now) => now === 'live',
    );
    process.kill(steno.run.processes['gateway']!, 'SIGKILL');
    await node.until(/no tunnel/);
    await eventually(
      () => steno.ssh(host(), 'echo back'),
      ({ stdout }) => stdout === 'back\n',
    );
  });

  it('is gone when its network is cut, and back when its network is', async () => {
    await eventually(
      () => state(),
      (now) => now === 'live',
    );
    space.cut();
    await eventually(
      () => state(),
      (now) => now === 'gone',
    );
    expect(await steno.ssh(host(), 'true')).toMatchObject({ status: 255, stderr: expect.stringContaining('NODE_UNREACHABLE') as string });
    space.heal();
    await eventually(
      () => state(),
      (now) => now === 'live',
      60_000,
    );
    expect((await steno.ssh(host(), 'echo again')).stdout).toBe('again\n');
  });

  const agent = (args: readonly string[], token: string) =>
    steno.exec('ip', [...space.prefix.slice(1), process.execPath, bin, 'agent', '--token-file', '-', ...args], { input: token });
  const newToken = (...more: readonly string[]) => steno.json<JoinTokenCreated>('tokens', 'add', '--type', 'node', ...more);

  it('does not join if the pin does not match, and sends the gateway nothing', async () => {
    const { token, gateways } = await newToken();
    const { status, stderr } = await agent(
      ['--gateway', gateways[0]!, '--ca-pin', `sha256:${'0'.repeat(64)}`, '--name', 'wrong-pin', '--data', join(steno.folder, 'wrong-pin')],
      token,
    );
    expect({ status, said: stderr.includes('GATEWAY_UNTRUSTED') }).toEqual({ status: 77, said: true });
    expect((await nodes()).map(({ name }) => name)).not.toContain('wrong-pin');
  });

  it('does not join through a server that presents our CA without a certificate from it', async () => {
    const { token, ca_pins: pins } = await newToken();
    const key = join(steno.folder, 'evil.key');
    await must(
      steno.exec('openssl', [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        key,
        '-out',
        `${key}.crt`,
        '-subj',
        '/CN=gateway\\/local',
        '-days',
        '1',
      ]),
    );
    const ca = JSON.parse(readFileSync(join(steno.folder, 'home', 'profile.json'), 'utf8')) as { service_ca: string };
    const server = (await import('node:tls')).createServer({
      key: readFileSync(key),
      cert: `${readFileSync(`${key}.crt`, 'utf8')}${ca.service_ca}`,
      minVersion: 'TLSv1.3',
    });
    const heard: Buffer[] = [];
    server.on('secureConnection', (socket) => socket.on('data', (chunk: Buffer) => heard.push(chunk)).on('error', () => undefined));
    server.on('tlsClientError', () => undefined);
    server.listen(0, space.outside);
    await once(server, 'listening');
    const { status, stderr } = await agent(
      [
        '--gateway',
        `${space.outside}:${(server.address() as AddressInfo).port}`,
        '--ca-pin',
        pins.join(','),
        '--name',
        'evil',
        '--data',
        join(steno.folder, 'evil'),
      ],
      token,
    );
    server.close();
    expect(stderr).toContain('GATEWAY_UNTRUSTED');
    expect(status).toBe(77);
    expect(Buffer.concat(heard).length).toBe(0);
  });

  it('a used token is refused without a reason; the audit log has the reason', async () => {
    const { token, gateways, ca_pins: pins } = await newToken();
    const common = ['--gateway', gateways[0]!, '--ca-pin', pins.join(',')];
    const second = await startTunnelNode(steno, 'second', { prefix: space.prefix });
    const child = agent(
      [...common, '--name', 'thief', '--data', join(steno.folder, 'thief')],
      token.replace(/.$/, (last) => (last === 'A' ? 'E' : 'A')),
    );
    const { status, stderr } = await child;
    expect(status).toBe(77);
    expect(stderr).toContain('JOIN_REFUSED');
    expect(stderr).not.toMatch(/used|expired|signed with/);
    const rows = await eventually(
      () => audit('node.join'),
      (all) => all.some(({ target }) => target === 'thief'),
    );
    expect(rows.find(({ target }) => target === 'thief')).toMatchObject({
      outcome: 'failure',
      code: 'JOIN_REFUSED',
      source_address: space.inside,
      reason: expect.stringMatching(/not signed with the token/) as string,
    });
    await steno.steno('nodes', 'rm', 'second');
    await second.until(/NODE_UNKNOWN/);
    await second.stop();
  });

  it('random bytes, strangers and oversize frames at the tunnel port are refused, audited and forgotten', async () => {
    const { gateways } = await newToken();
    const [address, port] = gateways[0]!.split(':') as [string, string];
    const raw = connectTcp({ host: address, port: Number(port) });
    raw.on('error', () => undefined);
    raw.write(randomBytes(2_000));
    await once(raw, 'close');
    const stranger = connectTls({ host: address, port: Number(port), rejectUnauthorized: false });
    stranger.on('error', () => undefined);
    await once(stranger, 'secureConnect');
    stranger.write(
      'GET /v1/tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    const [answer] = (await once(stranger, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 401 /);
    stranger.destroy();
    const rows = await eventually(
      () => audit('tunnel.refused'),
      (all) => all.some(({ code }) => code === 'TUNNEL_MALFORMED') && all.some(({ code }) => code === 'CERT_UNKNOWN_CA'),
    );
    expect(rows.every(({ source_address }) => source_address !== '')).toBe(true);
    expect((await steno.ssh(host(), 'echo well')).stdout).toBe('well\n');
  });

  it('holds a tunnel to each gateway it is given, even if another one is down', async () => {
    const nobody = createServer();
    nobody.listen(0, space.outside);
    await once(nobody, 'listening');
    const { port } = nobody.address() as AddressInfo;
    nobody.close();
    await node.stop();
    await node.start(['--gateway', `${space.outside}:${port},${(await newToken()).gateways[0]!}`]);
    await eventually(
      () => steno.ssh(host(), 'echo second'),
      ({ stdout }) => stdout === 'second\n',
    );
  });
});
