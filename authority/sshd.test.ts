/** What a stock OpenSSH server makes of Steno's certificates. Skipped where there is no sshd, or not as root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from './testkit.js';

const sshd = '/usr/sbin/sshd';
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

async function run(command: string, args: readonly string[]): Promise<Ran> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

describe.skipIf(!existsSync(sshd) || process.getuid?.() !== 0)('an OpenSSH server that trusts the user CA', () => {
  test('admits the certificate of a session, not that of the user: nobody gets past the gateway', async () => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(join(dir, 'data'), cleanup);
    const admin = await administrator(authority, cleanup);
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
    const { certificate: hostCertificate, key: hostKey } = await hostPair(admin);
    await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: '127.0.0.1:22', labels: {}, host_keys: [] });
    const user = userInfo().username;
    const sessionKey = generateKey();
    const session = await gateway.sessionCertificate({
      user: admin.login.user,
      login: user,
      node: 'web-1',
      public_key: formatPublicLine(sessionKey.publicBlob),
      user_certificate: encodeBase64(admin.certificate),
      source_address: '127.0.0.1',
    });

    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 });
      return join(dir, name);
    };
    mkdirSync('/run/sshd', { recursive: true });
    const config = file(
      'sshd_config',
      [
        `HostKey ${file('host', hostKey.toOpenSsh())}`,
        `HostCertificate ${file('host-cert.pub', hostCertificate)}`,
        `TrustedUserCAKeys ${file('user_ca.pub', admin.login.ssh_user_ca.join('\n'))}`,
        'AuthorizedKeysFile none',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'StrictModes no',
        'PermitRootLogin yes',
        'UsePAM no',
        'PidFile none',
        'LogLevel VERBOSE',
      ].join('\n'),
    );
    const knownHosts = file('known_hosts', `@cert-authority * ${admin.login.ssh_host_ca[0] ?? ''}`);
    const ssh = (identity: string): Promise<Ran> =>
      run('ssh', [
        '-F',
        'none',
        '-o',
        `ProxyCommand=${sshd} -i -e -f ${config}`,
        '-o',
        `UserKnownHostsFile=${knownHosts}`,
        '-o',
        'StrictHostKeyChecking=yes',
        '-o',
        'BatchMode=yes',
        '-o',
        'IdentitiesOnly=yes',
        '-o',
        'IdentityAgent=none',
        '-o',
        `CertificateFile=${identity}-cert.pub`,
        '-i',
        identity,
        `${user}@web-1.steno`,
        'echo reached',
      ]);

    const bySession = file('session', sessionKey.toOpenSsh());
    file('session-cert.pub', formatPublicLine(session));
    expect(await ssh(bySession)).toMatchObject({ code: 0, output: expect.stringContaining('reached') });
    const byUser = file('user', admin.key.toOpenSsh());
    file('user-cert.pub', admin.login.certificate);
    expect(await ssh(byUser)).toMatchObject({
      code: 255,
      output: expect.stringMatching(/critical option[\s\S]*Permission denied|Permission denied[\s\S]*critical option/),
    });
  });
});

async function hostPair(
  admin: Awaited<ReturnType<typeof administrator>>,
): Promise<{ readonly key: ReturnType<typeof generateKey>; readonly certificate: string }> {
  const key = generateKey();
  const { certificate } = (await admin.call('POST', '/v1/host-certificate', {
    public_key: formatPublicLine(key.publicBlob),
    name: 'web-1',
  })) as { certificate: string };
  return { key, certificate };
}
