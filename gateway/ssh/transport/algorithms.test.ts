/** Each offered algorithm is used alone: by clients of the gateway, and by the gateway with nodes. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import { HYBRID_KEX, nodeAlgorithms, transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certificateAuth, hostKeyAlgorithms } from '#runtime/ssh/certified-key.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { openWorld, startSshd } from '../../testing/harness.js';
import type { Finished, World } from '../../testing/harness.js';

const [p256, rsa] = [generateKey('p256'), generateKey('rsa')];
const opensshKex = new Set(execFileSync('ssh', ['-Q', 'kex'], { encoding: 'utf8' }).split('\n'));
const unauthenticated = ['aes128-ctr', 'aes192-ctr', 'aes256-ctr'];

let world: World;
beforeAll(async () => {
  world = await openWorld({ moreHostKeys: [p256, rsa] });
});
afterAll(() => world.close());

const ssh = async (...args: string[]): Promise<Finished> => {
  const { stderr, ...rest } = await world.run('ssh', ['-F', world.sshConfig, ...args]);
  return { ...rest, stderr: stderr.replaceAll('\r', '') };
};
const into = (...options: string[]): Promise<Finished> => ssh('-v', ...options, '-l', 'root@node-1', 'gw', 'echo in');

/** The algorithms in the gateway's first list (RFC 4253 section 7.1). */
async function offered(...options: string[]): Promise<Record<string, string[]>> {
  const { stderr } = await ssh('-vv', ...options, '-l', 'root@node-1', 'gw', 'true');
  const [, peer] = stderr.split('peer server KEXINIT proposal');
  return Object.fromEntries(
    [...peer!.matchAll(/debug2: (KEX algorithms|host key algorithms|ciphers ctos|MACs ctos|compression ctos): (\S+)/g)]
      .slice(0, 5)
      .map(([, list, names]) => [list!, names!.split(',')]),
  );
}

describe('a client with a single algorithm', () => {
  const { kex, cipher, hmac, compress } = transportAlgorithms();

  it('is offered exactly the algorithms tested here', async () => {
    const names = ['ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519'];
    const lists = await offered('-o', 'Ciphers=aes128-ctr', '-o', 'HostKeyAlgorithms=ssh-ed25519');
    expect(lists).toEqual({
      'KEX algorithms': [...kex, 'kex-strict-s-v00@openssh.com'],
      'host key algorithms': expect.arrayContaining(names),
      'ciphers ctos': cipher,
      'MACs ctos': hmac,
      'compression ctos': compress,
    });
  });

  it.each(kex.filter((name) => opensshKex.has(name)))('exchanges keys by %s', async (name) => {
    const { stdout, stderr } = await into('-o', `KexAlgorithms=${name}`);
    expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining(`kex: algorithm: ${name}\n`)]);
  });

  it.each(kex.filter((name) => !opensshKex.has(name)))('exchanges keys by %s, with ssh2 as the client', async (name) => {
    const key = generateKey();
    const client = new ssh2.Client();
    const used = new Promise<string>((resolve, reject) =>
      client.once('handshake', (negotiated) => resolve(negotiated.kex)).once('error', reject),
    );
    client.connect({
      host: '127.0.0.1',
      port: world.port,
      username: 'root@node-1',
      algorithms: { kex: [name] },
      hostVerifier: () => true,
      authHandler: certificateAuth('root@node-1', key, world.authority.userCertificate(key.publicBlob)),
    });
    expect(await used).toBe(name);
    client.end();
  });

  it.each(cipher)('encrypts by %s', async (name) => {
    const { stdout, stderr } = await into('-c', name);
    expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining(`server->client cipher: ${name} `)]);
  });

  it.each(hmac)('authenticates by %s, with each cipher that needs a MAC', async (name) => {
    for (const needing of unauthenticated) {
      const { stdout, stderr } = await into('-c', needing, '-o', `MACs=${name}`);
      expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining(`server->client cipher: ${needing} MAC: ${name} `)]);
    }
  });

  it.each(['yes', 'no'])('sends without compression, whether or not it asks for compression: %s', async (asks) => {
    const { stdout, stderr } = await into('-o', `Compression=${asks}`);
    expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining('compression: none')]);
  });

  const plain = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256'];
  it.each(plain.map((name) => `${name}-cert-v01@openssh.com`))(
    'checks the host certificate %s by its CA, of the gateway and of a node behind it',
    async (name) => {
      const { stdout, stderr } = await into('-o', `HostKeyAlgorithms=${name}`);
      expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining(`kex: host key algorithm: ${name}\n`)]);
      const jump = await ssh('-v', '-o', `HostKeyAlgorithms=${name}`, 'root@node-1', 'echo in');
      expect([jump.stdout, jump.stderr]).toEqual(['in\n', expect.stringContaining(`kex: host key algorithm: ${name}\n`)]);
    },
  );

  it.each(plain)('accepts the host key by %s', async (name) => {
    const key = name === 'ssh-ed25519' ? undefined : name.startsWith('rsa') ? rsa : p256;
    const known =
      key === undefined
        ? ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null']
        : ['-o', `KnownHostsCommand=/bin/echo gw ${formatPublicLine(key.publicBlob)}`, '-o', 'UserKnownHostsFile=/dev/null'];
    const { stdout, stderr } = await into('-o', `HostKeyAlgorithms=${name}`, ...known);
    expect([stdout, stderr]).toEqual(['in\n', expect.stringContaining(`kex: host key algorithm: ${name}\n`)]);
  });

  it('rekeys with an RSA host certificate', async () => {
    const { stdout } = await world.run('ssh', [
      '-F',
      world.sshConfig,
      '-o',
      'HostKeyAlgorithms=rsa-sha2-512-cert-v01@openssh.com',
      '-o',
      'RekeyLimit=256K',
      '-l',
      'root@node-1',
      'gw',
      'head -c 3000000 /dev/zero | tr "\\0" x',
    ]);
    expect(stdout).toHaveLength(3_000_000);
  });

  it('presents an RSA key of its own', async () => {
    const file = join(world.directory, 'by-rsa');
    execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '3072', '-N', '', '-f', file]);
    const { publicBlob } = loadPrivateKey(readFileSync(file, 'utf8'));
    writeFileSync(`${file}-cert.pub`, `${formatPublicLine(world.authority.userCertificate(publicBlob))}\n`);
    for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256']) {
      const { stdout, stderr } = await world.run('ssh', [
        '-F',
        'none',
        '-p',
        String(world.port),
        '-i',
        file,
        '-o',
        `CertificateFile=${file}-cert.pub`,
        '-o',
        'IdentitiesOnly=yes',
        '-o',
        'IdentityAgent=none',
        '-o',
        'BatchMode=yes',
        '-o',
        'HostKeyAlias=gw',
        '-o',
        `PubkeyAcceptedAlgorithms=${algorithm}-cert-v01@openssh.com,${algorithm}`,
        '-o',
        `UserKnownHostsFile=${world.directory}/known_hosts`,
        '-l',
        'root@node-1',
        '127.0.0.1',
        'echo in',
      ]);
      expect(stdout, stderr).toBe('in\n');
    }
  });
});

describe('a node with a single algorithm', () => {
  const { kex, cipher, hmac } = nodeAlgorithms();
  const reached = async (...lines: string[]): Promise<Finished> => {
    const name = 'narrow';
    const folder = join(world.directory, `narrow-${await freePort()}`);
    mkdirSync(folder);
    const sshd = await startSshd(folder, world.authority, lines.join('\n'), {}, name);
    const nodes = world.authority.nodes;
    world.authority.nodes = [...nodes, { ...sshd.node, name }];
    try {
      return await world.run('ssh', ['-F', world.sshConfig, '-l', `root@${name}`, 'gw', 'echo in']);
    } finally {
      world.authority.nodes = nodes;
      await sshd.stop();
    }
  };
  const isReached = async (...lines: string[]): Promise<void> => {
    const { stdout, stderr } = await reached(...lines);
    expect(stdout, stderr).toBe('in\n');
  };

  it.each(kex.filter((name) => opensshKex.has(name)))('exchanges keys by %s', (name) => isReached(`KexAlgorithms ${name}`));
  it.each(cipher)('encrypts by %s', (name) => isReached(`Ciphers ${name}`));
  it.each(hmac)('authenticates by %s', (name) => isReached('Ciphers aes128-ctr', `MACs ${name}`));
  it.each(['ssh-ed25519-cert-v01@openssh.com', 'ssh-ed25519'])('shows a host key by %s', async (name) => {
    expect(hostKeyAlgorithms).toContain(name);
    const { stdout, stderr } = await reached(`HostKeyAlgorithms ${name}`);
    // The node's plain key is not known here, so the message says that: the algorithm itself was agreed on.
    expect([stdout, stderr]).toEqual(name.includes('cert') ? ['in\n', ''] : ['', expect.stringContaining('[NODE_HOST_KEY]')]);
  });
  it.runIf(!opensshKex.has(HYBRID_KEX))('is tested with the hybrid exchange elsewhere (hybrid.test.ts)', () =>
    expect(kex).toContain(HYBRID_KEX),
  );
});
