/** Stock `ssh` with the configuration of `steno login`, before servers that hold certificates of Steno's host CA. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayPrincipal } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { knownHosts, openHome, sshConfig } from './home.js';
import type { Home, Profile } from './home.js';

let folder: string;
let home: Home;
const hostCa = generateKey();
const stops: (() => Promise<unknown>)[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-mark-'));
  home = openHome({ STENO_HOME: join(folder, 'home') });
  mkdirSync(home.dir);
  writeFileSync(home.key, generateKey().toOpenSsh(), { mode: 0o600 });
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Where a server with a certificate of these names answers, to SSH and to SSH behind HTTP CONNECT. */
async function server(principals: readonly string[]): Promise<number> {
  const dir = mkdtempSync(join(folder, 'sshd-'));
  const key = generateKey();
  const seconds = BigInt(Math.floor(Date.now() / 1000));
  const certificate = issueCertificate(hostCa, {
    publicKey: key.publicBlob,
    serial: 1n,
    kind: 'host',
    keyId: 'x',
    principals,
    validAfter: seconds - 60n,
    validBefore: seconds + 3600n,
    criticalOptions: new Map(),
    extensions: new Map(),
  });
  writeFileSync(join(dir, 'key'), key.toOpenSsh(), { mode: 0o600 });
  writeFileSync(join(dir, 'key-cert.pub'), `${formatPublicLine(certificate)}\n`);
  writeFileSync(
    join(dir, 'config'),
    [
      `HostKey ${dir}/key`,
      `HostCertificate ${dir}/key-cert.pub`,
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'AuthorizedKeysFile none',
      'PidFile none',
      '',
    ].join('\n'),
  );
  if (!existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 });
  const running = new Set<ChildProcess>();
  const front: Server = createServer((socket) =>
    socket.once('data', (first: Buffer) => {
      const asked = first.toString('latin1').startsWith('CONNECT ');
      socket.pause();
      if (asked) socket.write('HTTP/1.1 200 OK\r\n\r\n');
      else socket.unshift(first);
      serve(socket, join(dir, 'config'), running);
    }),
  );
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  stops.push(async () => {
    front.close();
    for (const child of running) child.kill('SIGKILL');
  });
  return (front.address() as AddressInfo).port;
}

/** One connection by an sshd of its own (`-i`). */
function serve(socket: Socket, config: string, running: Set<ChildProcess>): void {
  const child = spawn('/usr/sbin/sshd', ['-i', '-e', '-f', config], { stdio: ['pipe', 'pipe', 'ignore'] });
  running.add(child);
  child.once('close', () => {
    running.delete(child);
    socket.destroy();
  });
  socket.on('error', () => child.kill('SIGKILL'));
  child.stdin!.on('error', () => socket.destroy());
  socket.pipe(child.stdin!);
  child.stdout!.pipe(socket);
}

/** What `ssh` says on every way to the gateway at this port, each with a login that nobody lets in. */
async function ways(port: number, cluster: string | undefined): Promise<readonly string[]> {
  const profile: Profile = {
    version: 1,
    user: 'ada',
    roles: [],
    logins: [],
    ssh: `127.0.0.1:${port}`,
    web: 'http://x',
    authority: 'https://x',
    service_ca: '',
    ssh_user_ca: [],
    recording_ca: [],
    x509_user_ca: '',
    ...(cluster === undefined ? {} : { cluster }),
    ssh_host_ca: [formatPublicLine(hostCa.publicBlob)],
    valid_before: 0,
  };
  writeFileSync(home.knownHosts, knownHosts(profile));
  writeFileSync(home.sshConfig, sshConfig(home, profile));
  const typed: readonly (readonly string[])[] = [
    ['steno-gateway'],
    ['root@web-1.steno'],
    ['-J', 'steno-gateway', 'root@web-1'],
    ['-l', 'root@web-1', 'steno-gateway'],
    ['-J', `ada@127.0.0.1:${port}`, 'root@web-1'],
    ['-p', String(port), 'root@web-1@127.0.0.1'],
  ];
  return Promise.all(
    typed.map(async (args) => {
      const child = spawn('ssh', ['-F', home.sshConfig, '-o', 'BatchMode=yes', '-o', 'IdentityAgent=none', ...args, 'true'], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, HOME: folder },
      });
      let said = '';
      child.stderr!.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await once(child, 'close');
      return said;
    }),
  );
}

describe('a server with a certificate of the host CA', () => {
  it.each([
    ['named like the gateway', ['127.0.0.1', '127.0.0.1.steno']],
    [
      'named like every name there is of it',
      ['127.0.0.1', 'localhost', 'local', 'local.steno', 'web-1', 'web-1.steno', 'steno-gateway', 'steno-gateway.steno'],
    ],
    ['that is the gateway of another Steno', [gatewayPrincipal('other'), '127.0.0.1']],
  ])('%s is not taken for the gateway, on any way', async (_what, principals) => {
    const port = await server(principals);
    for (const said of await ways(port, 'main')) expect(said).toMatch(/Host key verification failed|No .* host key is known/);
  });

  it('that carries the mark is the gateway, whatever its address is', async () => {
    const port = await server([gatewayPrincipal('main')]);
    for (const said of await ways(port, 'main')) expect(said).toContain('Permission denied');
  });

  it('named like the gateway was taken for it by the configuration of before: what the mark is for', async () => {
    const port = await server(['127.0.0.1']);
    const said = await ways(port, undefined);
    for (const one of said.slice(0, 4)) expect(one).toContain('Permission denied');
    expect(readFileSync(home.sshConfig, 'utf8')).not.toContain('steno-gateway@');
  });
});
