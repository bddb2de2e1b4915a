import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
let ppk: string;
beforeAll(async () => {
  world = await openWorld();
  const alice = join(world.directory, 'alice');
  ppk = `${alice}.ppk`;
  const made = await world.run('puttygen', [alice, '-O', 'private', '-o', ppk, '--certificate', `${alice}-cert.pub`]);
  expect(made.stderr).toBe('');
});
afterAll(() => world.close());

describe('PuTTY', () => {
  it('plink runs a command with a certificate inside its key file', async () => {
    const fingerprint = await hostKeyFingerprint();
    const { status, stdout, stderr } = await world.run('plink', [
      '-batch',
      '-ssh',
      '-P',
      String(world.port),
      '-hostkey',
      fingerprint,
      '-i',
      ppk,
      '-l',
      'root@node-1',
      '127.0.0.1',
      'echo out; echo err >&2; exit 4',
    ]);
    expect({ status, stdout, stderr: stderr.replaceAll('\r', '') }).toEqual({ status: 4, stdout: 'out\n', stderr: 'err\n' });
  });

  it('psftp copies a file', async () => {
    const { directory } = world;
    writeFileSync(join(directory, 'small'), 'some text');
    const { status } = await world.run(
      'psftp',
      ['-batch', '-P', String(world.port), '-hostkey', await hostKeyFingerprint(), '-i', ppk, '-l', 'root@node-1', '127.0.0.1'],
      { input: `put small ${directory}/by-psftp\nquit\n` },
    );
    expect(status).toBe(0);
    expect(readFileSync(join(directory, 'by-psftp'), 'utf8')).toBe('some text');
  });
});

describe('paramiko', () => {
  it('runs commands, opens several channels and copies files', async () => {
    const alice = join(world.directory, 'alice');
    const { stdout, stderr } = await world.run('/usr/bin/python3', [
      '-c',
      `
import paramiko
t = paramiko.Transport(('127.0.0.1', ${world.port})); t.start_client()
key = paramiko.Ed25519Key(filename='${alice}'); key.load_certificate('${alice}-cert.pub')
t.auth_publickey('root@node-1', key)
chans = [t.open_session() for _ in range(3)]
for n, c in enumerate(chans): c.exec_command('cat; exit %d' % n)
for n, c in enumerate(chans): c.sendall(b'n%d' % n); c.shutdown_write()
print([(c.makefile().read().decode(), c.recv_exit_status()) for c in chans])
s = paramiko.SFTPClient.from_transport(t)
with s.open('${world.directory}/by-paramiko', 'wb') as f: f.write(b'x' * 100000)
print(s.stat('${world.directory}/by-paramiko').st_size)
t.close()
`,
    ]);
    expect(stdout, stderr).toBe("[('n0', 0), ('n1', 1), ('n2', 2)]\n100000\n");
  });

  it('logs in with an agent that offers other keys first, and with the last of several key files', async () => {
    const { directory, port } = world;
    const agent = join(directory, 'agent');
    const ssh = await world.run('sh', [
      '-c',
      `eval $(ssh-agent -a ${agent}) >/dev/null && echo $SSH_AGENT_PID
      for n in 1 2 3; do ssh-keygen -q -t ed25519 -N "" -f ${directory}/other-$n </dev/null; SSH_AUTH_SOCK=${agent} ssh-add -q ${directory}/other-$n; done
      SSH_AUTH_SOCK=${agent} ssh-add -q ${directory}/alice`,
    ]);
    try {
      const { stdout, stderr } = await world.run(
        '/usr/bin/python3',
        [
          '-c',
          `
import paramiko
def command(**how):
    c = paramiko.SSHClient(); c.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    c.connect('127.0.0.1', ${port}, 'root@node-1', **how)
    print(c.exec_command('echo in')[1].read().decode().strip()); c.close()
command(look_for_keys=False)
others = ['${directory}/other-%d' % n for n in (1, 2, 3)]
command(key_filename=others + ['${directory}/alice'], allow_agent=False, look_for_keys=False)
`,
        ],
        { env: { SSH_AUTH_SOCK: agent } },
      );
      expect(stdout, stderr).toBe('in\nin\n');
    } finally {
      process.kill(Number(ssh.stdout));
    }
  });
});

/** PuTTY has to be given the host key; it checks the gateway's plain one. */
async function hostKeyFingerprint(): Promise<string> {
  const { stdout } = await world.run('ssh-keyscan', ['-t', 'ed25519', '-p', String(world.port), '127.0.0.1']);
  const file = join(world.directory, 'scanned.pub');
  writeFileSync(
    file,
    stdout
      .split('\n')
      .filter((line) => line.includes('ssh-ed25519 '))
      .map((line) => line.slice(line.indexOf(' ') + 1))
      .join('\n') + '\n',
  );
  return (await world.run('ssh-keygen', ['-lf', file])).stdout.split(' ')[1]!;
}
