/** PuTTY's and paramiko's clients, each with its own windows, through a real SSH server with the observer in between. */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import ssh2 from 'ssh2';
import type { FileFact } from '#schemas/recording/line.js';
import { observeStream } from '../protocols.js';
import { Bench, pattern, sha256Of } from '../../testing/transcript.js';

const bench = new Bench();
const big = bench.path('big');
let facts: FileFact[] = [];
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
});
const server = new ssh2.Server({ hostKeys: [privateKey] }, (connection) => {
  connection.on('error', () => undefined);
  connection.on('authentication', (context) => context.accept());
  connection.on('session', (accept) => {
    accept().on(
      'subsystem' as 'sftp',
      ((acceptSubsystem: () => ssh2.ServerChannel) => {
        const channel = acceptSubsystem();
        const child = spawn('/usr/lib/openssh/sftp-server', { stdio: ['pipe', 'pipe', 'inherit'] });
        const observer = observeStream({ subsystem: 'sftp', tty: false }, (fact) => {
          if (!('gap' in fact)) facts.push(fact);
        })!;
        channel.on('data', (bytes: Buffer) => {
          observer.input(bytes);
          // As sshd does: psftp sends as much as it may, however many replies are outstanding.
          if (child.stdin.write(bytes)) return;
          channel.pause();
          child.stdin.once('drain', () => channel.resume());
        });
        child.stdout.on('data', (bytes: Buffer) => {
          observer.output(bytes);
          channel.write(bytes);
        });
        channel.on('end', () => child.stdin.end());
        channel.on('close', () => child.stdin.end());
        channel.on('error', () => undefined);
        child.on('close', () => {
          observer.end();
          channel.exit(0);
          channel.end();
        });
      }) as never,
    );
  });
});
let port = 0;
let fingerprint = '';
beforeAll(async () => {
  writeFileSync(big, pattern(5_000_011));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  const key = ssh2.utils.parseKey(privateKey) as ssh2.ParsedKey;
  writeFileSync(bench.path('key.pub'), `ssh-rsa ${key.getPublicSSH().toString('base64')}\n`);
  fingerprint = execFileSync('ssh-keygen', ['-lf', bench.path('key.pub')], { encoding: 'utf8' }).split(' ')[1]!;
});
afterAll(() => {
  server.close();
  bench.remove();
});

function run(program: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { env: { ...process.env, HOME: bench.folder } }, (error, stdout, stderr) =>
      resolve(`${error?.message ?? ''}${stdout}${stderr}`),
    );
    child.stdin?.end(input);
  });
}
function expectBothWays(output: string): void {
  const digest = sha256Of(big);
  expect(
    facts
      .filter((fact) => fact.operation !== 'stat' && fact.operation !== 'list')
      .map(({ operation, path, size, sha256 }) => [operation, path, size, sha256]),
    output,
  ).toEqual([
    ['write', bench.path('up'), 5_000_011, digest],
    ['read', bench.path('up'), 5_000_011, digest],
  ]);
}

test.skipIf(spawnSync('psftp', ['-V']).error !== undefined)('psftp', async () => {
  facts = [];
  expectBothWays(
    await run(
      'psftp',
      ['-batch', '-P', String(port), '-hostkey', fingerprint, 'x@127.0.0.1'],
      `put ${big} ${bench.path('up')}\nget ${bench.path('up')} ${bench.path('down')}\nquit\n`,
    ),
  );
});

test('paramiko', async () => {
  facts = [];
  expectBothWays(
    await run(
      '/usr/bin/python3',
      ['-'],
      `
import paramiko
t = paramiko.Transport(('127.0.0.1', ${port}))
t.connect()
t.auth_none('x')
s = paramiko.SFTPClient.from_transport(t)
s.put('${big}', '${bench.path('up')}')
s.get('${bench.path('up')}', '${bench.path('down')}')
t.close()
`,
    ),
  );
});
