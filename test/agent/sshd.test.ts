/** The OpenSSH of a machine as a node: configured by the agent, reached through its tunnel, and left as it was. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { sshdPath } from '../end-to-end/stock-node.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';

const root = process.getuid!() === 0;
if (!root) console.warn('skipped: an sshd of its own needs root');

describe.skipIf(!root)('steno agent configure-sshd', () => {
  const steno = new Steno();
  const file = (name: string): string => join(steno.folder, 'etc', name);
  const config = file('sshd_config');
  let sshd: ChildProcess;
  let node: TunnelNode;
  const configure = (...more: readonly string[]) =>
    steno.steno('agent', 'configure-sshd', '--data', node.data, '--sshd-config', config, ...more);
  const session = () => steno.ssh(`${steno.login}@server.steno`, 'echo by-sshd; exit 6');
  const tree = (): Record<string, string> =>
    Object.fromEntries(
      readdirSync(file('.'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== 'sshd.pid')
        .map((entry) => [join(entry.parentPath, entry.name), readFileSync(join(entry.parentPath, entry.name), 'utf8')]),
    );

  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
    mkdirSync(file('.'));
    mkdirSync('/run/sshd', { recursive: true });
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file('ssh_host_ed25519_key')]);
    const port = await freePort();
    writeFileSync(
      config,
      [
        `Include ${config}.d/*.conf`,
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${file('ssh_host_ed25519_key')}`,
        `PidFile ${file('sshd.pid')}`,
        'AuthorizedKeysFile none',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'StrictModes no',
        'PermitRootLogin yes',
        'UsePAM no',
        '',
      ].join('\n'),
    );
    sshd = spawn(sshdPath, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] });
    sshd.stderr!.resume();
    await eventually(
      async () => existsSync(file('sshd.pid')),
      (there) => there,
    );
    node = await startTunnelNode(steno, 'server', { agent: ['--ssh', 'openssh', '--sshd', `127.0.0.1:${port}`, '--sshd-config', config] });
  });
  afterAll(async () => {
    await node?.stop();
    if (sshd !== undefined && sshd.exitCode === null) {
      sshd.kill('SIGTERM');
      await once(sshd, 'exit');
    }
    await steno.dispose();
  });

  it('makes sshd accept sessions of Steno, and --undo restores every byte', async () => {
    const before = tree();
    expect((await session()).status).toBe(255);
    const done = await configure();
    expect(done, done.stderr).toMatchObject({ status: 0, stdout: expect.stringContaining('sshd was told') as string });
    expect(await eventually(session, ({ status }) => status === 6)).toMatchObject({ stdout: 'by-sshd\n' });
    expect(await configure()).toMatchObject({ status: 0 });
    const undone = await configure('--undo');
    expect(undone, undone.stderr).toMatchObject({ status: 0 });
    expect(tree()).toEqual(before);
    expect(existsSync(`${config}.d`)).toBe(false);
    await eventually(session, ({ status, stderr }) => status === 255 && /NODE_HOST_KEY|NODE_REFUSED/.test(stderr));
  });

  it('sshd loads a renewed host certificate without manual steps', async () => {
    await configure();
    await eventually(session, ({ status }) => status === 6);
    const certificate = join(node.data, 'sshd', 'host-cert.pub');
    const old = readFileSync(certificate, 'utf8');
    // As if the node had missed a renewal.
    await node.stop();
    writeFileSync(
      join(node.data, 'enrolment.json'),
      JSON.stringify({ ...(JSON.parse(readFileSync(join(node.data, 'enrolment.json'), 'utf8')) as object), host_certificate: undefined }),
    );
    await node.start();
    await eventually(
      async () => readFileSync(certificate, 'utf8'),
      (now) => now !== old,
    );
    expect((await eventually(session, ({ status }) => status === 6)).stdout).toBe('by-sshd\n');
    await configure('--undo');
  });

  const refusals: readonly [string, () => void, RegExp][] = [
    [
      'a configuration that sets the CA itself',
      () => writeFileSync(config, `TrustedUserCAKeys /dev/null\n${readFileSync(config, 'utf8')}`),
      /sets trustedusercakeys itself/,
    ],
    [
      'a configuration without the Include',
      () => writeFileSync(config, readFileSync(config, 'utf8').replace(/^Include.*\n/m, '')),
      /does not include/,
    ],
    [
      'a configuration that sshd refuses',
      () => writeFileSync(config, `NoSuchOption yes\n${readFileSync(config, 'utf8')}`),
      /NoSuchOption/i,
    ],
    [
      'a drop-in of somebody else',
      () => {
        mkdirSync(`${config}.d`);
        writeFileSync(`${config}.d/steno.conf`, 'PermitRootLogin no\n');
      },
      /not written by Steno/,
    ],
  ];
  for (const [what, spoil, says] of refusals) {
    it(`refuses ${what}, leaving nothing`, async () => {
      const good = readFileSync(config, 'utf8');
      spoil();
      const before = tree();
      const { status, stderr } = await configure();
      expect({ status, says: says.test(stderr) }, stderr).toEqual({ status: 78, says: true });
      expect(tree()).toEqual(before);
      writeFileSync(config, good);
    });
  }
});
