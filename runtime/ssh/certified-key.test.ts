import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import ssh2 from 'ssh2';
import type { ConnectConfig } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { transportAlgorithms } from './algorithms.js';
import { certificateAuth, certifiedHostKeys, hostKeyAlgorithms, hostVerifier } from './certified-key.js';
import { issueCertificate } from './issue.js';
import { fingerprint, generateKey, loadPrivateKey, verify } from './keys.js';
import type { SshPrivateKey } from './keys.js';
import { sshBindingAvailable } from './native-binding.js';
import { makeKeyFiles, temporaryFolder, writePrivate } from './openssh-oracle.js';
import { offeredCertificate, provesPossession } from './possession.js';

const folder = temporaryFolder();
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(folder.remove);

const userCa = generateKey();
const hostCa = generateKey();
const now = (): number => Math.floor(Date.now() / 1000);
const file = (name: string): string => join(folder.path, name);
const keys: Readonly<Record<string, SshPrivateKey>> = {
  ed25519: generateKey(),
  'ecdsa-256': loadPrivateKey(makeKeyFiles(folder.path, 'ecdsa-256', 'ecdsa', 256).pem),
  'ecdsa-384': loadPrivateKey(makeKeyFiles(folder.path, 'ecdsa-384', 'ecdsa', 384).pem),
  'ecdsa-521': loadPrivateKey(makeKeyFiles(folder.path, 'ecdsa-521', 'ecdsa', 521).pem),
  rsa: loadPrivateKey(makeKeyFiles(folder.path, 'rsa', 'rsa', 2048).pem),
};
const keyNames = Object.keys(keys);
const keyNamed = (name: string): SshPrivateKey => keys[name] ?? expect.fail(name);

function certificate(ca: SshPrivateKey, key: SshPrivateKey, kind: 'user' | 'host', principals: readonly string[], keyId = 'test'): Buffer {
  return issueCertificate(ca, {
    publicKey: key.publicBlob,
    serial: 1n,
    kind,
    keyId,
    principals,
    validAfter: BigInt(now() - 60),
    validBefore: BigInt(now() + 600),
    criticalOptions: new Map(),
    extensions:
      kind === 'user'
        ? new Map([
            ['permit-pty', ''],
            ['permit-port-forwarding', ''],
          ])
        : new Map(),
  });
}

async function listen(server: NetServer | InstanceType<typeof ssh2.Server>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return (server.address() as AddressInfo).port;
}

/** Debian's sshd in inetd mode behind a listener of this test, so that nothing races for a port. */
async function startSshd(hostKey: SshPrivateKey, hostCertificate: Uint8Array | undefined): Promise<number> {
  mkdirSync('/run/sshd', { recursive: true });
  writePrivate(file('sshd_host'), hostKey.toOpenSsh());
  writeFileSync(file('sshd_host-cert.pub'), hostCertificate === undefined ? '' : formatPublicLine(hostCertificate));
  writeFileSync(file('user_ca.pub'), formatPublicLine(userCa.publicBlob));
  writeFileSync(
    file('sshd_config'),
    [
      `HostKey ${file('sshd_host')}`,
      ...(hostCertificate === undefined ? [] : [`HostCertificate ${file('sshd_host-cert.pub')}`]),
      `TrustedUserCAKeys ${file('user_ca.pub')}`,
      'AuthorizedKeysFile none',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'StrictModes no',
      'PermitRootLogin yes',
    ].join('\n'),
  );
  return listen(
    createServer((socket) => {
      const sshd = spawn('/usr/sbin/sshd', ['-i', '-e', '-f', file('sshd_config')], { stdio: ['pipe', 'pipe', 'ignore'] });
      socket.pipe(sshd.stdin);
      sshd.stdout.pipe(socket);
      for (const stream of [socket, sshd.stdin, sshd.stdout]) stream.on('error', () => socket.destroy());
      closers.push(() => sshd.kill());
    }),
  );
}

interface Reply {
  readonly output: string;
  readonly error: string | undefined;
}

/** Connects with ssh2, runs one command, and returns output or error. */
function runWithSsh2(config: ConnectConfig, command: string): Promise<Reply> {
  return new Promise((resolve) => {
    const client = new ssh2.Client();
    let output = '';
    let error: string | undefined;
    client.on('error', (problem) => {
      error ??= problem.message;
    });
    client.on('close', () => resolve({ output, error }));
    client.on('ready', () =>
      client.exec(command, (problem, channel) => {
        if (problem !== undefined) {
          error = problem.message;
          client.end();
          return;
        }
        channel
          .on('data', (data: Buffer) => {
            output += data.toString();
          })
          .on('close', () => client.end());
      }),
    );
    client.connect({ host: '127.0.0.1', ...config });
  });
}

interface Gateway {
  readonly port: number;
  /** The algorithm that the client named for each certificate, and the decision. */
  readonly decisions: string[];
  /** Key exchanges after the first, on all connections. */
  readonly rekeys: () => number;
}

/** An ssh2 server that works like the gateway: admits user certificates, presents a host certificate. */
async function startSsh2(hostKey: SshPrivateKey, source: () => Uint8Array, reply = 'hello\n'): Promise<Gateway> {
  const decisions: string[] = [];
  let rekeys = 0;
  const server = new ssh2.Server({ hostKeys: certifiedHostKeys(hostKey, source), algorithms: transportAlgorithms() }, (client) => {
    client
      .on('error', () => undefined)
      .on('rekey', () => {
        rekeys += 1;
      });
    client.on('authentication', (context) => {
      if (context.method !== 'publickey') return context.reject(['publickey']);
      const problem = refusal(context, context.username);
      decisions.push(`${context.key.algo} ${problem ?? 'ok'}`);
      return problem === undefined ? context.accept() : context.reject(['publickey']);
    });
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec) => {
        const channel = acceptExec();
        channel.write(reply, () => {
          channel.exit(0);
          channel.end();
        });
      });
    });
  });
  const port = await listen(server);
  return { port, decisions, rekeys: () => rekeys };
}

function refusal(
  context: { readonly key: { readonly algo: string; readonly data: Buffer }; readonly signature?: Buffer; readonly blob?: Buffer },
  principal: string,
): string | undefined {
  try {
    const offered = offeredCertificate(context.key);
    const admission = checkCertificate(offered, { kind: 'user', now: now(), trusted: [userCa.publicBlob], principal, verify });
    if (!admission.ok) return admission.code;
    return context.signature === undefined || provesPossession(offered, context) ? undefined : 'CERT_BAD_SIGNATURE';
  } catch (error) {
    if (error instanceof StenoError) return error.code;
    throw error;
  }
}

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(command: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { encoding: 'utf8', maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** Writes files as `steno login` does; returns the options that make `ssh` use nothing else. */
function sshArguments(port: number, key: SshPrivateKey, userCertificate: Uint8Array, knownHosts: string): string[] {
  writePrivate(file('id'), key.toOpenSsh());
  writeFileSync(file('id-cert.pub'), formatPublicLine(userCertificate));
  writeFileSync(file('known_hosts'), `${knownHosts}\n`);
  return [
    '-F',
    'none',
    '-p',
    String(port),
    '-i',
    file('id'),
    '-o',
    `CertificateFile=${file('id-cert.pub')}`,
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    'IdentityAgent=none',
    '-o',
    'BatchMode=yes',
    '-o',
    'StrictHostKeyChecking=yes',
    '-o',
    `UserKnownHostsFile=${file('known_hosts')}`,
    '-o',
    'GlobalKnownHostsFile=none',
    'root@127.0.0.1',
  ];
}
const authorityLine = (ca: SshPrivateKey): string => `@cert-authority * ${formatPublicLine(ca.publicBlob)}`;

const algorithms = { ...transportAlgorithms, serverHostKey: hostKeyAlgorithms };
const trust = { hostname: 'web-3', authorities: [hostCa.publicBlob], now };
const userCertificate = certificate(userCa, keyNamed('ed25519'), 'user', ['root']);
const rootAuth = () => certificateAuth('root', keyNamed('ed25519'), userCertificate);

it('the native binding of ssh2 is used if it was compiled', () => {
  const binding = new URL('../../node_modules/ssh2/lib/protocol/crypto/build/Release/sshcrypto.node', import.meta.url);
  expect(sshBindingAvailable()).toBe(existsSync(binding));
});

describe('an ssh2 client and stock sshd', () => {
  it.each(keyNames)('log in with a certificate of %s', async (name) => {
    const hostKey = generateKey();
    const port = await startSshd(hostKey, certificate(hostCa, hostKey, 'host', ['web-3']));
    const auth = certificateAuth('root', keyNamed(name), certificate(userCa, keyNamed(name), 'user', ['root']));
    const config = { port, username: 'root', authHandler: auth, algorithms, hostVerifier: hostVerifier(trust) };
    expect(await runWithSsh2(config, 'echo over sshd')).toEqual({ output: 'over sshd\n', error: undefined });
  });

  it.each(keyNames)('agree on a host certificate of %s', async (name) => {
    const port = await startSshd(keyNamed(name), certificate(hostCa, keyNamed(name), 'host', ['web-3']));
    const config = { port, username: 'root', authHandler: rootAuth(), algorithms, hostVerifier: hostVerifier(trust) };
    expect(await runWithSsh2(config, 'echo over sshd')).toEqual({ output: 'over sshd\n', error: undefined });
  });

  it('a user certificate for another login is refused', async () => {
    const hostKey = generateKey();
    const port = await startSshd(hostKey, certificate(hostCa, hostKey, 'host', ['web-3']));
    const authHandler = certificateAuth('root', keyNamed('ed25519'), certificate(userCa, keyNamed('ed25519'), 'user', ['alice']));
    const reply = await runWithSsh2({ port, username: 'root', authHandler, algorithms }, 'true');
    expect(reply.error).toBe('All configured authentication methods failed');
  });

  const hostKey = keyNamed('ed25519');
  const hosts = [
    { why: 'of another CA', presents: certificate(userCa, hostKey, 'host', ['web-3']), pinned: [], refused: /CERT_UNKNOWN_CA/ },
    { why: 'for another host', presents: certificate(hostCa, hostKey, 'host', ['web-4']), pinned: [], refused: /CERT_WRONG_PRINCIPAL/ },
    { why: 'of user kind', presents: certificate(hostCa, hostKey, 'user', ['web-3']), pinned: [], refused: /CERT_WRONG_KIND|is not known/ },
    { why: 'missing, with an unknown key', presents: undefined, pinned: [generateKey().publicBlob], refused: /is not known/ },
    { why: 'missing, with a pinned key', presents: undefined, pinned: [hostKey.publicBlob], refused: undefined },
    {
      why: 'of another CA, with a pinned key',
      presents: certificate(userCa, hostKey, 'host', ['web-3']),
      pinned: [hostKey.publicBlob],
      refused: undefined,
    },
  ];
  it.each(hosts)('a host certificate $why', async ({ presents, pinned, refused }) => {
    const port = await startSshd(hostKey, presents);
    const refusals: StenoError[] = [];
    const verifier = hostVerifier({ ...trust, pinned, onRefused: (error) => refusals.push(error) });
    const reply = await runWithSsh2({ port, username: 'root', authHandler: rootAuth(), algorithms, hostVerifier: verifier }, 'echo in');
    if (refused === undefined) {
      expect(reply).toEqual({ output: 'in\n', error: undefined });
      expect(refusals).toEqual([]);
    } else {
      expect(reply.error).toContain('Host denied');
      expect(refusals).toEqual([expect.objectContaining({ code: 'NODE_HOST_KEY', detail: expect.stringMatching(refused) as string })]);
    }
  });
});

describe('stock ssh and an ssh2 server', () => {
  it.each(keyNames)('agree on certificates of %s on both sides', async (name) => {
    const key = keyNamed(name);
    const gateway = await startSsh2(key, () => certificate(hostCa, key, 'host', ['127.0.0.1']));
    const args = sshArguments(gateway.port, key, certificate(userCa, key, 'user', ['root']), authorityLine(hostCa));
    expect(await run('ssh', [...args, 'anything'])).toMatchObject({ code: 0, stdout: 'hello\n' });
    expect(gateway.decisions.at(-1)).toMatch(/-cert-v01@openssh\.com ok$/);
  });

  it('a host certificate of another CA is refused by ssh', async () => {
    const key = keyNamed('ed25519');
    const gateway = await startSsh2(key, () => certificate(hostCa, key, 'host', ['127.0.0.1']));
    const result = await run('ssh', [...sshArguments(gateway.port, key, userCertificate, authorityLine(userCa)), 'anything']);
    expect(result).toMatchObject({ code: 255 });
    expect(result.stderr).toContain('Host key verification failed');
    expect(gateway.decisions).toEqual([]);
  });

  it('a user certificate of another CA, of host kind, or for another login is refused by us', async () => {
    const key = keyNamed('ed25519');
    const gateway = await startSsh2(key, () => certificate(hostCa, key, 'host', ['127.0.0.1']));
    for (const refused of [certificate(hostCa, key, 'user', ['root']), certificate(userCa, key, 'user', ['alice'])]) {
      const result = await run('ssh', [...sshArguments(gateway.port, key, refused, authorityLine(hostCa)), 'anything']);
      expect(result.code).toBe(255);
    }
    const codes = new Set(gateway.decisions.filter((decision) => decision.includes('cert')).map((decision) => decision.split(' ')[1]));
    expect(codes).toEqual(new Set(['CERT_UNKNOWN_CA', 'CERT_WRONG_PRINCIPAL']));
    // ssh also offers the bare key, which is not a certificate.
    expect(gateway.decisions).toContain('ssh-ed25519 CERT_REQUIRED');
  });

  it('a renewed host certificate is presented without a new server', async () => {
    const key = keyNamed('ed25519');
    let principals = ['elsewhere'];
    const gateway = await startSsh2(key, () => certificate(hostCa, key, 'host', principals));
    const args = [...sshArguments(gateway.port, key, userCertificate, authorityLine(hostCa)), 'anything'];
    expect((await run('ssh', args)).code).toBe(255);
    principals = ['127.0.0.1'];
    expect((await run('ssh', args)).code).toBe(0);
  });

  it('exchange keys again under the same certificate, although it was renewed meanwhile', async () => {
    const key = keyNamed('ed25519');
    let serial = 0;
    const reply = 'x'.repeat(4_000_000);
    const gateway = await startSsh2(key, () => certificate(hostCa, key, 'host', ['127.0.0.1'], `certificate ${(serial += 1)}`), reply);
    const args = ['-o', 'RekeyLimit=1M', ...sshArguments(gateway.port, key, userCertificate, authorityLine(hostCa)), 'anything'];
    const result = await run('ssh', args);
    expect({ code: result.code, length: result.stdout.length, stderr: result.stderr }).toEqual({
      code: 0,
      length: reply.length,
      stderr: '',
    });
    expect(gateway.rekeys()).toBeGreaterThan(0);
    expect(serial).toBe(1);
    // The next connection gets the renewed certificate.
    await run('ssh', args);
    expect(serial).toBe(2);
  });
});

describe('other clients and an ssh2 server', () => {
  const key = keyNamed('ed25519');
  const start = () => startSsh2(key, () => certificate(hostCa, key, 'host', ['127.0.0.1']));

  it.each(keyNames)('plink logs in with a certificate of %s', async (name) => {
    const gateway = await start();
    const userKey = keyNamed(name);
    const path = writePrivate(file('plink'), userKey.toOpenSsh());
    // PuTTY reads its own key files only.
    expect(await run('puttygen', [path, '-O', 'private', '-o', file('plink.ppk'), '--new-passphrase', '/dev/null'])).toMatchObject({
      code: 0,
    });
    writeFileSync(file('plink-cert.pub'), formatPublicLine(certificate(userCa, userKey, 'user', ['root'])));
    const result = await run('plink', [
      '-batch',
      '-ssh',
      '-noagent',
      '-P',
      String(gateway.port),
      '-l',
      'root',
      '-i',
      file('plink.ppk'),
      '-cert',
      file('plink-cert.pub'),
      '-hostkey',
      fingerprint(key.publicBlob),
      '127.0.0.1',
      'anything',
    ]);
    expect(result).toMatchObject({ code: 0, stdout: 'hello\n' });
    expect(gateway.decisions.at(-1)).toMatch(/-cert-v01@openssh\.com ok$/);
  });

  it.skipIf(!existsSync('/usr/lib/python3/dist-packages/paramiko'))('paramiko logs in with a certificate', async () => {
    const gateway = await start();
    writePrivate(file('paramiko'), key.toOpenSsh());
    writeFileSync(file('paramiko-cert.pub'), formatPublicLine(userCertificate));
    const script = `
import sys, paramiko
key = paramiko.Ed25519Key.from_private_key_file(sys.argv[1])
key.load_certificate(sys.argv[1] + '-cert.pub')
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect('127.0.0.1', int(sys.argv[2]), 'root', pkey=key, allow_agent=False, look_for_keys=False)
sys.stdout.write(client.exec_command('anything')[1].read().decode())
client.close()`;
    const result = await run('/usr/bin/python3', ['-c', script, file('paramiko'), String(gateway.port)]);
    expect(result).toMatchObject({ code: 0, stdout: 'hello\n' });
    expect(gateway.decisions.at(-1)).toBe('ssh-ed25519-cert-v01@openssh.com ok');
  });

  it('dbclient, which does not support certificates, is refused at authentication', async () => {
    const gateway = await start();
    // -y -y accepts any host key: the host key is not tested here.
    const result = await run('dbclient', ['-y', '-y', '-p', String(gateway.port), 'root@127.0.0.1', 'anything']);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('No auth methods could be used');
  });

  it('ssh2 verifies the host certificate of ssh2', async () => {
    const gateway = await start();
    const verifier = hostVerifier({ ...trust, hostname: '127.0.0.1' });
    const config = { port: gateway.port, username: 'root', authHandler: rootAuth(), algorithms, hostVerifier: verifier };
    expect(await runWithSsh2(config, 'anything')).toEqual({ output: 'hello\n', error: undefined });
  });

  it('a host without the key of its certificate is refused', async () => {
    const impostor = generateKey();
    const gateway = await startSsh2(impostor, () => certificate(hostCa, key, 'host', ['127.0.0.1']));
    const verifier = hostVerifier({ ...trust, hostname: '127.0.0.1' });
    const config = { port: gateway.port, username: 'root', authHandler: rootAuth(), algorithms, hostVerifier: verifier };
    expect((await runWithSsh2(config, 'anything')).error).toContain('signature verification failed');
  });

  it('a client without the key of its certificate is refused', async () => {
    const gateway = await start();
    const authHandler = certificateAuth('root', generateKey(), userCertificate);
    const reply = await runWithSsh2({ port: gateway.port, username: 'root', authHandler }, 'anything');
    expect(reply.error).toBe('All configured authentication methods failed');
    expect(gateway.decisions).toEqual(['ssh-ed25519-cert-v01@openssh.com ok', 'ssh-ed25519-cert-v01@openssh.com CERT_BAD_SIGNATURE']);
  });
});

it('the installed patch is the one in the repository', () => {
  const patch = readFileSync(new URL('../../patches/ssh2+1.17.0.patch', import.meta.url), 'utf8');
  const added = patch
    .split('\n')
    .filter((line) => /^\+[^+]/.test(line))
    .map((line) => line.slice(1));
  const files = patch.split('\n').flatMap((line) => /^\+\+\+ b\/(node_modules\/ssh2\/.+)$/.exec(line)?.[1] ?? []);
  const installed = files.map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')).join('\n');
  expect(files.length).toBeGreaterThan(0);
  expect(added.filter((line) => !installed.includes(line))).toEqual([]);
});
