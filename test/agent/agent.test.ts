import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import * as pty from 'node-pty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import {
  administrator,
  authorityIn,
  casIn,
  Cleanup,
  clientOf,
  onSocket,
  silent,
  temporaryFolder,
} from '../../authority/testing/authority.js';
import { startAgent } from '../../agent/agent.js';

const cleanup = new Cleanup();
const login = userInfo().username;
let folder: string;
let port: number;
let common: string[];

function run(
  file: string,
  args: readonly string[],
  input: string | Buffer = '',
): Promise<{ status: number; stdout: Buffer; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(file, [...args], { encoding: 'buffer', maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr: stderr.toString('utf8') });
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(input);
  });
}
const ssh = (...args: readonly string[]) => run('ssh', [...common, `${login}@127.0.0.1`, ...args]);

/** Writes `id` with a session certificate, as a gateway gets it, and `id-user` with the user's own. */
async function writeIdentities(authority: Awaited<ReturnType<typeof authorityIn>>): Promise<string[]> {
  const { key, login: result, certificate, call } = await administrator(authority, cleanup);
  const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
  const session = (node: string) =>
    gateway.sessionCertificate({
      user: result.user,
      login,
      node,
      public_key: formatPublicLine(key.publicBlob),
      source_address: '127.0.0.1',
      user_certificate: Buffer.from(certificate).toString('base64'),
      proof: signUserProof(key, certificate, { userName: login }),
    });
  for (const node of ['other', 'local.b'])
    await call('PUT', `/v1/nodes/${node}`, { name: node, kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] });
  // A certificate of an earlier version, whose principal names no node.
  const seconds = BigInt(Math.floor(Date.now() / 1000));
  const before = await (
    await casIn(join(folder, 'steno'))
  ).issueSsh('ssh-user', {
    publicKey: key.publicBlob,
    serial: 1n,
    kind: 'user',
    keyId: 'x',
    principals: [login],
    validAfter: seconds - 60n,
    validBefore: seconds + 300n,
    criticalOptions: new Map(),
    extensions: new Map([
      ['via@steno', 'x'],
      ['permit-pty', ''],
    ]),
  });
  const lines = [
    ['id', formatPublicLine(await session('local'))],
    ['id-user', result.certificate],
    ['id-other', formatPublicLine(await session('other'))],
    ['id-longer', formatPublicLine(await session('local.b'))],
    ['id-before', formatPublicLine(before)],
  ] as const;
  for (const [name, line] of lines) {
    writeFileSync(join(folder, name), key.toOpenSsh(), { mode: 0o600 });
    writeFileSync(join(folder, `${name}-cert.pub`), line);
  }
  return [...result.ssh_host_ca];
}

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(join(folder, 'steno'), cleanup);
  mkdirSync(join(folder, 'agent'));
  const token = (await onSocket(authority, {
    method: 'POST',
    target: '/v1/service-tokens',
    body: { kind: 'agent', name: 'local', ttl_ms: 600_000 },
  })) as ServiceTokenCreated;
  const agent = await startAgent(
    {
      name: 'local',
      data: join(folder, 'agent'),
      fips: false,
      listen: '127.0.0.1:0',
      authorities: [authority.addresses.tls],
      join: { ca_pins: [...token.ca_pins] },
      token: token.token,
    },
    { log: silent },
  );
  cleanup.add(() => agent.close());
  port = Number(agent.addresses['ssh']!.split(':').at(-1));
  const hostCas = await writeIdentities(authority);
  writeFileSync(join(folder, 'known_hosts'), hostCas.map((line) => `@cert-authority local ${line}\n`).join(''));
  const identity = (name: string): string[] => ['-i', join(folder, name), '-o', `CertificateFile=${join(folder, `${name}-cert.pub`)}`];
  common = [
    '-F',
    '/dev/null',
    '-o',
    'BatchMode=yes',
    '-o',
    `UserKnownHostsFile=${join(folder, 'known_hosts')}`,
    '-o',
    'StrictHostKeyChecking=yes',
    '-o',
    'HostKeyAlias=local',
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    `Port=${port}`,
    ...identity('id'),
  ];
});
afterAll(() => cleanup.run());

describe('the node service', () => {
  it('runs a command as the login, with exit status, both streams and standard input', async () => {
    const { status, stdout, stderr } = await run(
      'ssh',
      [...common, `${login}@127.0.0.1`, 'id -un; cat; echo oops >&2; exit 9'],
      'from stdin\n',
    );
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 9, stdout: `${login}\nfrom stdin\n` });
    expect(stderr).toContain('oops');
  });

  it('reports the signal that ended a command', async () => {
    const { status } = await ssh('kill -TERM $$');
    expect(status).toBe(255);
  });

  it('passes on accepted environment variables and no others', async () => {
    const { stdout } = await run('env', [
      'LC_STENO=yes',
      'LC_TIME=C',
      'EVIL=1',
      'ssh',
      ...common,
      '-o',
      'SendEnv=LC_* EVIL',
      `${login}@127.0.0.1`,
      'echo "$LC_TIME-${EVIL:-none}"',
    ]);
    expect(stdout.toString()).toBe('C-none\n');
  });

  it('opens a login shell on a terminal that follows the window size', async () => {
    const child = pty.spawn('ssh', ['-tt', ...common, `${login}@127.0.0.1`], { cols: 90, rows: 20 });
    let text = '';
    const waiting: (() => void)[] = [];
    child.onData((data) => {
      text += data;
      for (const look of waiting) look();
    });
    const until = (pattern: RegExp): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (pattern.test(text)) resolve();
        };
        waiting.push(look);
        look();
      });
    const ended = new Promise<number>((resolve) => child.onExit(({ exitCode }) => resolve(exitCode)));
    await until(/[#$] $/);
    child.write('stty size\r');
    await until(/20 90/);
    child.resize(101, 33);
    // The client may send the new size only after the next input: it looks for signals before it waits.
    child.write('until stty size | grep "33 101"; do :; done; shopt -q login_shell && echo log""in\r');
    await until(/[\r\n]33 101/);
    await until(/login/);
    child.write('exit 4\r');
    expect(await ended).toBe(4);
  });

  it('delivers all output of a program that ends at once, terminal or not', async () => {
    const plain = await ssh('head -c 3000000 /dev/zero | tr "\\0" x');
    expect(plain.stdout.length).toBe(3_000_000);
    const terminal = await run('ssh', ['-tt', ...common, `${login}@127.0.0.1`, 'seq 1 20000']);
    expect(terminal.stdout.toString().trimEnd().split('\r\n').at(-1)).toBe('20000');
  });

  it('moves files by sftp', async () => {
    const content = randomBytes(1_500_000);
    writeFileSync(join(folder, 'sent'), content);
    const script = `put ${join(folder, 'sent')} ${join(folder, 'there')}\nget ${join(folder, 'there')} ${join(folder, 'back')}\n`;
    const { status, stderr } = await run(
      'sftp',
      ['-q', '-b', '-', ...common.map((word) => (word === '-p' ? '-P' : word)), `${login}@127.0.0.1`],
      script,
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const digest = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
    expect(digest(readFileSync(join(folder, 'back')))).toBe(digest(content));
  });

  it('forwards ports both ways', async () => {
    const echo = createServer((socket) => socket.pipe(socket));
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    cleanup.add(() => void echo.close());
    const target = (echo.address() as AddressInfo).port;
    const local = await run('ssh', [...common, '-W', `127.0.0.1:${target}`, `${login}@127.0.0.1`], 'through -W\n');
    expect(local.stdout.toString()).toBe('through -W\n');
    const nothing = await run('ssh', [...common, '-W', '127.0.0.1:1', `${login}@127.0.0.1`]);
    expect(nothing.stderr).toContain('open failed: connect failed: connection refused');
    const child = spawn('ssh', [...common, '-R', `0:127.0.0.1:${target}`, `${login}@127.0.0.1`, 'cat'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let notes = '';
    const chosen = await new Promise<number>((resolve) => {
      child.stderr.on('data', (chunk: Buffer) => {
        notes += chunk.toString();
        const match = /Allocated port (\d+)/.exec(notes);
        if (match !== null) resolve(Number(match[1]));
      });
    });
    const answer = await run(process.execPath, [
      '-e',
      `const s=require('net').connect(${chosen},'127.0.0.1',()=>s.write('back'));s.on('data',d=>{process.stdout.write(d);s.end()})`,
    ]);
    expect(answer.stdout.toString()).toBe('back');
    child.stdin.end();
    await once(child, 'exit');
  });

  it('forwards the agent only if asked', async () => {
    const socket = join(folder, 'ssh-agent.sock');
    const agent = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(agent.stdout, 'data');
    cleanup.add(() => void agent.kill());
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'in-the-agent', '-f', join(folder, 'extra')]);
    execFileSync('ssh-add', ['-q', join(folder, 'extra')], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    const withAgent = await run('env', [`SSH_AUTH_SOCK=${socket}`, 'ssh', '-A', ...common, `${login}@127.0.0.1`, 'ssh-add -l']);
    expect(withAgent.stdout.toString()).toContain('in-the-agent');
    const without = await run('env', [
      `SSH_AUTH_SOCK=${socket}`,
      'ssh',
      '-a',
      ...common,
      `${login}@127.0.0.1`,
      'echo "${SSH_AUTH_SOCK:-none}"',
    ]);
    expect(without.stdout.toString()).toBe('none\n');
  });

  const refused: readonly [string, (words: string[]) => string[]][] = [
    ...(['other', 'longer', 'before'] as const).map((name): (typeof refused)[number] => [
      {
        other: 'a certificate for another node',
        longer: 'a certificate for a node whose name begins like this one',
        before: 'a certificate that names no node',
      }[name],
      (words) => words.map((word) => word.replaceAll(join(folder, 'id'), join(folder, `id-${name}`))),
    ]),
    [
      "a user's own certificate, which would get around the gateway",
      (words) => words.map((word) => word.replaceAll(join(folder, 'id'), join(folder, 'id-user'))),
    ],
    ['another login than the certificate names', (words) => [...words, '-l', login === 'nobody' ? 'daemon' : 'nobody']],
    [
      'a bare key',
      (words) =>
        words.map((word) =>
          word.startsWith('CertificateFile=') ? 'CertificateFile=none' : word.endsWith('/id') ? join(folder, 'bare') : word,
        ),
    ],
  ];
  for (const [name, change] of refused) {
    it(`refuses ${name}`, async () => {
      if (name === 'a bare key') execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'bare')]);
      const { status, stderr } = await run('ssh', [...change(common), '127.0.0.1', 'true']);
      expect(status).toBe(255);
      expect(stderr).toContain('Permission denied');
    });
  }

  it('ends the program of a client that hangs up', async () => {
    const child = spawn('ssh', ['-tt', ...common, `${login}@127.0.0.1`, 'echo pid=$$; exec sleep 1000'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const pid = await new Promise<number>((resolve) => {
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const match = /pid=(\d+)/.exec(text);
        if (match !== null) resolve(Number(match[1]));
      });
    });
    child.kill('SIGKILL');
    await expect
      .poll(
        () => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('sleep');
          } catch {
            return false;
          }
        },
        { timeout: 60_000 },
      )
      .toBe(false);
  });
});
