/** How a stock OpenSSH server treats Steno's certificates. Skipped without sshd, or if not run as root. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { signUserProof } from '#runtime/ssh/testing/user-proof.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { sshdConfig, strictClient } from '#runtime/testing/sshd-config.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from '../testing/authority.js';

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
      proof: signUserProof(admin.key, admin.certificate, { userName: user }),
    });

    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 });
      return join(dir, name);
    };
    mkdirSync('/run/sshd', { recursive: true });
    const config = file(
      'sshd_config',
      sshdConfig(
        {
          hostKeys: [{ key: file('host', hostKey.toOpenSsh()), certificate: file('host-cert.pub', hostCertificate) }],
          userCas: file('user_ca.pub', admin.login.ssh_user_ca.join('\n')),
        },
        ['LogLevel VERBOSE'],
      ),
    );
    const knownHosts = file('known_hosts', `@cert-authority * ${admin.login.ssh_host_ca[0] ?? ''}`);
    const ssh = (identity: string, name = user): Promise<Ran> =>
      run('ssh', [
        ...strictClient({ proxyCommand: `${sshd} -i -e -f ${config}`, knownHosts, identity, user: name }),
        'web-1.steno',
        'echo reached',
      ]);

    const bySession = file('session', sessionKey.toOpenSsh());
    file('session-cert.pub', formatPublicLine(session));
    expect(await ssh(bySession)).toMatchObject({ code: 0, output: expect.stringContaining('reached') });
    const byUser = file('user', admin.key.toOpenSsh());
    file('user-cert.pub', admin.login.certificate);
    const noPrincipal = {
      code: 255,
      output: expect.stringMatching(
        /name is not a listed principal[\s\S]*Permission denied|Permission denied[\s\S]*name is not a listed principal/,
      ) as unknown,
    };
    expect(await ssh(byUser)).toMatchObject(noPrincipal);
    // Nor by the principal itself as the name of an account.
    for (const name of [`-steno-login:${user}`, '-steno-any'])
      expect(await ssh(byUser, name)).toMatchObject({ code: 255, output: expect.not.stringContaining('reached') as unknown });
  });
});

describe.skipIf(!existsSync(sshd) || process.getuid?.() !== 0)('an OpenSSH server that knows which node it is', () => {
  const ways: readonly (readonly [
    string,
    (dir: string, user: string) => readonly string[],
    { readonly other: boolean; readonly bound: boolean },
  ])[] = [
    [
      'by AuthorizedPrincipalsFile',
      (dir, user) => {
        writeFileSync(join(dir, `principals-${user}`), `${user}@web-1\n`);
        return [`AuthorizedPrincipalsFile ${dir}/principals-%u`];
      },
      { other: false, bound: true },
    ],
    [
      'by AuthorizedPrincipalsCommand',
      () => ['AuthorizedPrincipalsCommand /bin/echo %u@web-1', 'AuthorizedPrincipalsCommandUser nobody'],
      { other: false, bound: true },
    ],
    ['by neither: the listed limit', () => [], { other: true, bound: false }],
  ];
  test.each(ways)('%s', async (_how, lines, expected) => {
    const dir = temporaryFolder(cleanup);
    const authority = await authorityIn(join(dir, 'data'), cleanup);
    const admin = await administrator(authority, cleanup);
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
    const { certificate: hostCertificate, key: hostKey } = await hostPair(admin);
    for (const [name, node_principals] of [
      ['web-1', false],
      ['web-2', false],
      ['web-3', true],
    ] as const)
      await admin.call('PUT', `/v1/nodes/${name}`, {
        name,
        kind: 'openssh',
        address: '127.0.0.1:22',
        labels: {},
        host_keys: [],
        node_principals,
      });
    const user = userInfo().username;
    const key = generateKey();
    const file = (name: string, text: string): string => {
      writeFileSync(join(dir, name), text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 });
      return join(dir, name);
    };
    const identity = file('id', key.toOpenSsh());
    mkdirSync('/run/sshd', { recursive: true });
    const config = file(
      'sshd_config',
      sshdConfig(
        {
          hostKeys: [{ key: file('host', hostKey.toOpenSsh()), certificate: file('host-cert.pub', hostCertificate) }],
          userCas: file('user_ca.pub', admin.login.ssh_user_ca.join('\n')),
        },
        lines(dir, user),
      ),
    );
    const knownHosts = file('known_hosts', `@cert-authority * ${admin.login.ssh_host_ca[0] ?? ''}`);
    const opens = async (node: string): Promise<boolean> => {
      const session = await gateway.sessionCertificate({
        user: admin.login.user,
        login: user,
        node,
        public_key: formatPublicLine(key.publicBlob),
        user_certificate: encodeBase64(admin.certificate),
        source_address: '127.0.0.1',
        proof: signUserProof(admin.key, admin.certificate, { userName: `${user}@${node}` }),
      });
      file('id-cert.pub', formatPublicLine(session));
      const { output } = await run('ssh', [
        ...strictClient({ proxyCommand: `${sshd} -i -e -f ${config}`, knownHosts, identity, user }),
        'web-1.steno',
        'echo reached',
      ]);
      return output.includes('reached');
    };
    expect({ own: await opens('web-1'), other: await opens('web-2'), otherBound: await opens('web-3') }).toEqual({
      own: true,
      other: expected.other,
      otherBound: false,
    });
    // Once the node is marked, its certificates are valid on it only; without the configured lines it would refuse them.
    await admin.call('PUT', '/v1/nodes/web-1', {
      name: 'web-1',
      kind: 'openssh',
      address: '127.0.0.1:22',
      labels: {},
      host_keys: [],
      node_principals: true,
    });
    expect(await opens('web-1')).toBe(expected.bound);
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
