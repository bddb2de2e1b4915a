/** The algorithms that FIPS mode offers and accepts, tried with stock clients. The lists only: fips.test.ts uses the FIPS provider. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { restrictAlgorithms } from '#runtime/fips.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openWorld } from '../../gateway/testing/harness.js';
import type { World } from '../../gateway/testing/harness.js';

let world: World;
beforeAll(async () => {
  restrictAlgorithms();
  world = await openWorld({ moreHostKeys: [generateKey('rsa')] });
});
afterAll(() => world.close());

// A single connection, because `-o` does not apply to the jump host of `ssh -J`.
const into = (...options: string[]) => world.run('ssh', ['-v', '-F', world.sshConfig, ...options, '-l', 'root@node-1', 'gw', 'echo in']);

describe('in FIPS mode', () => {
  it('a stock client negotiates approved algorithms by default', async () => {
    const { status, stdout, stderr } = await into();
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'in\n' });
    expect(stderr).toMatch(/kex: algorithm: (ecdh-sha2-nistp|diffie-hellman-group1[46])/);
    expect(stderr).toMatch(/kex: host key algorithm: ecdsa-sha2-nistp256-cert-v01@openssh\.com/);
    expect(stderr).toMatch(/server->client cipher: aes\d+-gcm/);
  });

  it.each([
    ['key exchange', 'ecdh-sha2-nistp256', ['-o', 'KexAlgorithms=ecdh-sha2-nistp256']],
    ['key exchange', 'ecdh-sha2-nistp384', ['-o', 'KexAlgorithms=ecdh-sha2-nistp384']],
    ['key exchange', 'diffie-hellman-group14-sha256', ['-o', 'KexAlgorithms=diffie-hellman-group14-sha256']],
    ['host key', 'rsa-sha2-512-cert', ['-o', 'HostKeyAlgorithms=rsa-sha2-512-cert-v01@openssh.com']],
    ['cipher', 'aes256-gcm', ['-c', 'aes256-gcm@openssh.com']],
    ['cipher', 'aes128-ctr', ['-c', 'aes128-ctr', '-o', 'MACs=hmac-sha2-256']],
  ])('%s %s is accepted', async (_kind, _name, options) => expect((await into(...options)).stdout).toBe('in\n'));

  it.each([
    ['curve25519', ['-o', 'KexAlgorithms=curve25519-sha256,curve25519-sha256@libssh.org'], /no matching key exchange/],
    ['sntrup', ['-o', 'KexAlgorithms=sntrup761x25519-sha512@openssh.com'], /no matching key exchange/],
    ['ChaCha20-Poly1305', ['-c', 'chacha20-poly1305@openssh.com'], /no matching cipher/],
    ['HMAC-SHA-1', ['-c', 'aes128-ctr', '-o', 'MACs=hmac-sha1'], /no matching MAC/],
    ['an Ed25519 host key', ['-o', 'HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com,ssh-ed25519'], /no matching host key/],
  ])('%s is refused', async (_name, options, reason) => {
    const { status, stderr } = await into(...options);
    expect(status).toBe(255);
    expect(stderr).toMatch(reason);
  });

  it('a certificate for an Ed25519 key is refused with a reason', async () => {
    const key = generateKey('ed25519');
    const path = join(world.directory, 'ed25519');
    writeFileSync(path, key.toOpenSsh(), { mode: 0o600 });
    writeFileSync(`${path}-cert.pub`, `${formatPublicLine(world.authority.userCertificate(key.publicBlob))}\n`);
    const { status, stderr } = await world.run('ssh', [
      '-F',
      'none',
      '-p',
      String(world.port),
      '-i',
      path,
      '-o',
      `CertificateFile=${path}-cert.pub`,
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      'IdentityAgent=none',
      '-o',
      'BatchMode=yes',
      '-o',
      'HostKeyAlias=gw',
      '-o',
      `UserKnownHostsFile=${world.directory}/known_hosts`,
      '-l',
      'root@node-1',
      '127.0.0.1',
      'echo in',
    ]);
    expect(status).toBe(255);
    expect(stderr).toMatch(/FIPS mode keys are ECDSA or RSA/);
  });
});
