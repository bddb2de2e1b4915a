/** The signatures of stock clients as they reach the authority. The harness' authority checks each proof as the real one does. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { UserProof } from '#schemas/api/services/certificates.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** The proofs from one call of `ssh`, which must succeed. */
async function proofs(args: readonly string[], config = world.sshConfig): Promise<readonly UserProof[]> {
  // Otherwise an earlier certificate would be used.
  world.authority.changed();
  const before = world.authority.proofs.length;
  const { status, stdout, stderr } = await world.run('ssh', ['-F', config, '-o', 'BatchMode=yes', ...args, 'echo in']);
  expect({ status, stdout }, stderr).toEqual({ status: 0, stdout: 'in\n' });
  return world.authority.proofs.slice(before);
}

const shown = ({ host_key: key }: UserProof): readonly string[] => parseCertificate(Buffer.from(key!, 'base64')).principals;

describe("the authority receives the user's signature", () => {
  it('with the node in the user name, and the host key of the gateway', async () => {
    const [proof, ...more] = await proofs(['-l', 'root@node-1', 'gw']);
    expect(more).toEqual([]);
    expect(proof).toMatchObject({ user_name: 'root@node-1', algorithm: 'ssh-ed25519-cert-v01@openssh.com' });
    expect(shown(proof!)).toContain('gw');
  });

  it('inside a jump: for the connection to the node, not for the one through which it jumps', async () => {
    const all = await proofs(['-l', 'root', 'node-1']);
    expect(all.map(({ user_name: name }) => name)).toEqual(['root']);
    expect(shown(all[0]!)).toContain('node-1');
  });

  it('behind HTTP CONNECT', async () => {
    const all = await proofs([
      '-o',
      'ProxyJump=none',
      '-o',
      `ProxyCommand=nc -X connect -x 127.0.0.1:${world.port} node-1 22`,
      '-o',
      'HostKeyAlias=gw',
      '-l',
      'root',
      'node-1',
    ]);
    expect(all.map(({ user_name: name }) => name)).toEqual(['root']);
    expect(shown(all[0]!)).toContain('gw');
  });

  it('from a client that signs no host key', async () => {
    const [proof] = await proofs(['-o', 'PubkeyAuthentication=unbound', '-l', 'root@node-1', 'gw']);
    expect(proof).not.toHaveProperty('host_key');
  });

  it('from a client that accepts the plain host key', async () => {
    const known = join(world.directory, 'plain_known_hosts');
    const host = (await world.run('ssh-keyscan', ['-t', 'ed25519', '-p', String(world.port), '127.0.0.1'])).stdout
      .split('\n')
      .find((line) => line.includes('ssh-ed25519'))!;
    writeFileSync(known, `gw ${host.split(' ').slice(1).join(' ')}\n`);
    const [proof] = await proofs(['-o', 'HostKeyAlgorithms=ssh-ed25519', '-o', `UserKnownHostsFile=${known}`, '-l', 'root@node-1', 'gw']);
    expect(formatPublicLine(Buffer.from(proof!.host_key!, 'base64'))).toContain(host.split(' ')[2]!);
  });

  it.each([
    ['ecdsa', ['-b', '256'], 'ecdsa-sha2-nistp256-cert-v01@openssh.com'],
    ['ecdsa', ['-b', '521'], 'ecdsa-sha2-nistp521-cert-v01@openssh.com'],
    ['rsa', ['-b', '2048'], /^rsa-sha2-(256|512)-cert-v01@openssh\.com$/],
  ] as const)('with a key of type %s %s', async (type, size, algorithm) => {
    const key = join(world.directory, `proof-${type}-${size[1]}`);
    execFileSync('ssh-keygen', ['-q', '-t', type, ...size, '-N', '', '-f', key]);
    const certificate = world.authority.userCertificate(Buffer.from(parseAuthorizedLine(readFileSync(`${key}.pub`, 'utf8').trim()).blob));
    writeFileSync(`${key}-cert.pub`, `${formatPublicLine(certificate)}\n`);
    const config = `${key}.config`;
    writeFileSync(
      config,
      readFileSync(world.sshConfig, 'utf8')
        .replaceAll(/IdentityFile .*/g, `IdentityFile ${key}`)
        .replaceAll(/CertificateFile .*/g, `CertificateFile ${key}-cert.pub`),
    );
    expect((await proofs(['-l', 'root@node-1', 'gw'], config))[0]!.algorithm).toMatch(algorithm);
  });

  it('once for all channels of one connection, and again for the next connection', async () => {
    world.authority.changed();
    const before = world.authority.proofs.length;
    const control = join(world.directory, 'control');
    const ssh = (...args: readonly string[]) =>
      world.run('ssh', ['-F', world.sshConfig, '-o', 'BatchMode=yes', '-o', `ControlPath=${control}`, '-l', 'root@node-1', 'gw', ...args]);
    const master = world.start('ssh', [
      '-F',
      world.sshConfig,
      '-o',
      'BatchMode=yes',
      '-M',
      '-o',
      `ControlPath=${control}`,
      '-l',
      'root@node-1',
      'gw',
      'echo up; cat',
    ]);
    await new Promise((resolve) => master.stdout!.once('data', resolve));
    for (let i = 0; i < 3; i++) expect(await ssh('echo in')).toMatchObject({ status: 0, stdout: 'in\n' });
    expect(world.authority.proofs.length - before).toBe(1);
    master.stdin!.end();
    const [first] = await proofs(['-l', 'root@node-1', 'gw']);
    const [second] = await proofs(['-l', 'root@node-1', 'gw']);
    expect(first!.session_id).not.toBe(second!.session_id);
  });
});

describe('a client is refused', () => {
  it('that signed the host key of another server, whose bytes a man in the middle passes on', async () => {
    const key = world.userKey('relayed');
    const before = world.authority.proofs.length;
    const { stdout } = await world.run('/usr/bin/python3', ['-c', hostbound(key, world.port, 'other')]);
    expect(stdout).toContain('refused');
    expect(stdout).toContain('[CERT_BAD_SIGNATURE]');
    expect(world.authority.proofs.length).toBe(before);
  });

  it('that sends bytes after its signature', async () => {
    const key = world.userKey('trailing');
    const { stdout } = await world.run('/usr/bin/python3', ['-c', hostbound(key, world.port, 'trailing')]);
    expect(stdout).toContain('refused');
  });

  it('but not the same client when it signs the host key it was shown', async () => {
    const key = world.userKey('honest');
    expect((await world.run('/usr/bin/python3', ['-c', hostbound(key, world.port, 'own')])).stdout).toContain('admitted');
  });
});

/** paramiko as a client that builds `publickey-hostbound-v00@openssh.com` itself. */
function hostbound(key: string, port: number, what: 'own' | 'other' | 'trailing'): string {
  return `
import paramiko, base64
from paramiko.common import cMSG_USERAUTH_REQUEST
t = paramiko.Transport(('127.0.0.1', ${port})); t.start_client()
key = paramiko.Ed25519Key(filename='${key}')
blob = base64.b64decode(open('${key}-cert.pub').read().split()[1])
shown = t.get_remote_server_key().asbytes() if '${what}' != 'other' else paramiko.ECDSAKey.generate().asbytes()
def request(signing):
    m = paramiko.Message()
    if signing: m.add_string(t.session_id)
    m.add_byte(cMSG_USERAUTH_REQUEST); m.add_string('root@node-1'); m.add_string('ssh-connection'); m.add_string('publickey-hostbound-v00@openssh.com'); m.add_boolean(True)
    m.add_string('ssh-ed25519-cert-v01@openssh.com'); m.add_string(blob); m.add_string(shown)
    return m
class Handler(paramiko.auth_handler.AuthHandler):
    def _parse_service_accept(self, m):
        r = request(False); r.add_string(key.sign_ssh_data(request(True).asbytes()))
        if '${what}' == 'trailing': r.add_byte(b'x')
        self.transport._send_message(r)
    _client_handler_table = dict(paramiko.auth_handler.AuthHandler._client_handler_table); _client_handler_table[paramiko.common.MSG_SERVICE_ACCEPT] = _parse_service_accept
import threading
t.auth_handler = Handler(t)
event = threading.Event()
try:
    t.auth_handler.auth_publickey('root@node-1', key, event)
    t.auth_handler.wait_for_response(event); print('admitted')
except Exception as e: print('refused', type(e).__name__)
print((t.get_banner() or b'').decode())
t.close()
`;
}
