import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKey } from '#runtime/ssh/keys.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const now = (): bigint => BigInt(Math.floor(Date.now() / 1000));
const target = ['-o', 'BatchMode=yes', '-l', 'root@node-1', 'gw', 'true'];
const withKey = (key: string, certificate = `${key}-cert.pub`): Promise<{ status: number | null; stderr: string }> =>
  world.run('ssh', ['-F', writeConfig(key, certificate), ...target]);

function writeConfig(key: string, certificate: string): string {
  const config = `${key}.config`;
  writeFileSync(
    config,
    readFileSync(world.sshConfig, 'utf8')
      .replaceAll(/IdentityFile .*/g, `IdentityFile ${key}`)
      .replaceAll(/CertificateFile .*/g, certificate === '' ? '' : `CertificateFile ${certificate}`),
  );
  return config;
}

describe('a certificate is refused before anything happens', () => {
  it.each([
    ['expired', 'CERT_EXPIRED', () => world.userKey('expired', { validAfter: now() - 100n, validBefore: now() - 10n })],
    ['not yet valid', 'CERT_NOT_YET_VALID', () => world.userKey('early', { validAfter: now() + 600n, validBefore: now() + 1200n })],
    ['signed by another CA', 'CERT_UNKNOWN_CA', () => world.userKey('foreign', {}, generateKey())],
    ['for other logins', 'CERT_WRONG_PRINCIPAL', () => world.userKey('other', { principals: ['nobody'] })],
    [
      'for another address',
      'CERT_WRONG_SOURCE',
      () => world.userKey('elsewhere', { criticalOptions: new Map([['source-address', '192.0.2.0/24']]) }),
    ],
    [
      'with an option that the gateway cannot enforce',
      'CERT_UNKNOWN_OPTION',
      () => world.userKey('forced', { criticalOptions: new Map([['force-command', 'true']]) }),
    ],
    ['without a Steno user', 'CERT_GARBLED', () => world.userKey('nameless', { extensions: new Map([['permit-pty', '']]) })],
  ] as const)('when it is %s', async (_name, code, make) => {
    const before = world.recorder.audits.length;
    const { status, stderr } = await withKey(make());
    expect(status).toBe(255);
    expect(stderr).toMatch(new RegExp(`^steno: .*\\[${code}\\]\r?\nsteno: `));
    expect(world.recorder.audits.slice(before)).toEqual([
      expect.objectContaining({ event: 'auth.refused', outcome: 'failure', code, source_address: '127.0.0.1' }),
    ]);
  });

  it('when it is a host certificate', async () => {
    const key = world.userKey('hostly');
    const blob = readFileSync(`${key}.pub`, 'utf8');
    const certificate = await world.authority.hostCertificate(blob, 'root');
    writeFileSync(`${key}-cert.pub`, `${certificate}\n`);
    // `ssh` would not offer a host certificate; paramiko does not check.
    const { stdout } = await paramiko(key);
    expect(stdout).toContain('[CERT_WRONG_KIND]');
  });

  it('when it is garbled', async () => {
    const key = world.userKey('garbled');
    const [type, base64] = readFileSync(`${key}-cert.pub`, 'utf8').split(' ') as [string, string];
    const blob = Buffer.from(base64, 'base64');
    writeFileSync(`${key}-cert.pub`, `${type} ${blob.subarray(0, blob.length - 10).toString('base64')}\n`);
    expect((await paramiko(key)).stdout).toContain('[CERT_GARBLED]');
    blob[70]! ^= 1;
    writeFileSync(`${key}-cert.pub`, `${type} ${blob.toString('base64')}\n`);
    expect((await paramiko(key)).stdout).toMatch(/\[CERT_(UNKNOWN_CA|GARBLED)\]/);
  });

  it('when the client does not hold its key', async () => {
    const key = world.userKey('victim');
    const thief = world.userKey('thief');
    copyFileSync(`${key}-cert.pub`, `${thief}-cert.pub`);
    expect((await paramiko(thief)).stdout).toContain('[CERT_BAD_SIGNATURE]');
  });

  it('when the authority has sent nothing yet', async () => {
    world.authority.available = false;
    const { status, stderr } = await withKey(join(world.directory, 'alice'));
    world.authority.available = true;
    expect({ status, stderr }).toEqual({ status: 255, stderr: expect.stringContaining('[AUTHORITY_UNREACHABLE]') });
  });
});

describe('a credential other than a certificate is refused', () => {
  it('a bare key, with an explanation', async () => {
    const key = world.userKey('fresh');
    rmSync(`${key}-cert.pub`);
    expect(await withKey(key, '')).toMatchObject({
      status: 255,
      stderr: expect.stringContaining(
        'steno: this gateway admits only certificates issued by Steno: a bare key was offered [CERT_REQUIRED]',
      ),
    });
  });

  it('but silently if its certificate was admitted before, because the certificate may follow', async () => {
    const key = world.userKey('regular');
    expect(await withKey(key)).toMatchObject({ status: 0, stderr: '' });
    // Without CertificateFile, `ssh` offers the bare key first and then the certificate beside it.
    expect(await withKey(key, '')).toMatchObject({ status: 0, stderr: '' });
  });

  it('a password', async () => {
    const { stdout } = await world.run('/usr/bin/python3', [
      '-c',
      `
import paramiko, socket
t = paramiko.Transport(('127.0.0.1', ${world.port})); t.start_client()
try: t.auth_password('root@node-1', 'secret', fallback=False)
except Exception as e: print(type(e).__name__)
print(t.get_banner().decode())
`,
    ]);
    expect(stdout).toContain('[CERT_REQUIRED]');
    expect(stdout).toContain('password is not accepted');
  });

  it('dbclient, with the explanation that it does not support certificates', async () => {
    const { status, stderr } = await world.run('dbclient', [
      '-y',
      '-y',
      '-p',
      String(world.port),
      '-l',
      'root@node-1',
      '127.0.0.1',
      'true',
    ]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/dropbear\S* does not support certificates \[CERT_REQUIRED\]/);
    expect(stderr).toContain('Run `steno login`');
  });
});

describe('one connection', () => {
  it('may request the service a bounded number of times, and has six attempts besides its first query', async () => {
    const { stdout } = await world.run('/usr/bin/python3', [
      '-c',
      `
import paramiko
def tries(n, ask):
    t = paramiko.Transport(('127.0.0.1', ${world.port})); t.start_client()
    try:
        ask(t)
        for i in range(n):
            try: t.auth_publickey('root@node-1', paramiko.ECDSAKey.generate())
            except paramiko.BadAuthenticationType as e: pass
            except paramiko.AuthenticationException as e:
                if not t.is_active(): return i + 1
        return 'goes on'
    finally: t.close()
def none(t):
    try: t.auth_none('root@node-1')
    except paramiko.BadAuthenticationType as e: pass
def services(t):
    for i in range(20):
        m = paramiko.Message(); m.add_byte(paramiko.common.cMSG_SERVICE_REQUEST); m.add_string('ssh-userauth'); t._send_message(m)
print(tries(5, none), tries(9, none), tries(1, services))
`,
    ]);
    expect(stdout).toBe('goes on 6 1\n');
  });
});

describe('admission', () => {
  it('accepts an address that the certificate names, and a user name that it permits', async () => {
    const key = world.userKey('near', { criticalOptions: new Map([['source-address', '127.0.0.0/8,::1/128']]) });
    expect(await withKey(key)).toMatchObject({ status: 0 });
  });

  it('refuses another user name on the outer connection, too', async () => {
    const { status, stderr } = await world.run('ssh', ['-F', world.sshConfig, '-l', 'mallory', 'gw']);
    expect({ status, stderr }).toEqual({ status: 255, stderr: expect.stringContaining('[CERT_WRONG_PRINCIPAL]') });
  });
});

/** A client that offers any certificate it is given, with a signature at once. */
function paramiko(key: string): Promise<{ stdout: string; stderr: string }> {
  return world.run('/usr/bin/python3', [
    '-c',
    `
import paramiko, base64
t = paramiko.Transport(('127.0.0.1', ${world.port})); t.start_client()
key = paramiko.Ed25519Key(filename='${key}')
blob = base64.b64decode(open('${key}-cert.pub').read().split()[1])
class Blob: pass
key.public_blob = Blob(); key.public_blob.key_type = 'ssh-ed25519-cert-v01@openssh.com'; key.public_blob.key_blob = blob
try:
    t.auth_publickey('root@node-1', key); print('admitted')
except Exception as e: print(type(e).__name__)
print((t.get_banner() or b'').decode())
`,
  ]);
}
