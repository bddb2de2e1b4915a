/** Services as systemd units, set up as deploy/README.md and deploy/examples/ describe, on a machine that systemd has booted. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JoinedServiceInfo, ServiceTokenCreated } from '#schemas/api/services/services.js';
import type { FoundHit } from '#schemas/api/recordings/find.js';
import { bin, eventually } from '../end-to-end/machine.js';
import { BootedMachine, whyNoMachine } from './booted-machine.js';

const why = whyNoMachine();
if (why !== null) console.warn(`skipped: ${why}`);

const deploy = join(dirname(dirname(bin)), 'deploy');
const example = (name: string): string => readFileSync(join(deploy, 'examples', `${name}.yaml`), 'utf8');

describe.skipIf(why !== null)('the units of services', () => {
  let machine: BootedMachine;
  /** Runs as the owner of this Steno, the account of its services. */
  const steno = (...words: readonly string[]): Promise<string> =>
    machine.must('runuser', '-u', 'steno', '--', 'env', 'HOME=/var/lib/steno', 'steno', ...words);
  const property = async (unit: string, name: string): Promise<string> =>
    (await machine.must('systemctl', 'show', '-P', name, `steno@${unit}`)).trim();
  const join_ = async (kind: string, name: string, file: string): Promise<string> => {
    const { token, ca_pins } = JSON.parse(await steno('tokens', 'add', '--type', kind, '--name', name, '--json')) as ServiceTokenCreated;
    await machine.write(`/etc/steno/${file}.token`, token, '600');
    await machine.must('chown', 'steno', `/etc/steno/${file}.token`);
    return ca_pins.join(', ');
  };

  beforeAll(async () => {
    machine = await BootedMachine.boot(8);
    await machine.must('useradd', '--system', '--create-home', '--home-dir', '/var/lib/steno', '--shell', '/usr/sbin/nologin', 'steno');
    await machine.must('ln', '-s', '/opt/steno/bin/steno', '/usr/local/bin/steno');
    await machine.must('install', '-m', '644', '/opt/steno/deploy/systemd/steno@.service', '/etc/systemd/system/');
    await machine.must('systemctl', 'daemon-reload');
  });
  afterAll(() => machine?.dispose());

  it('is a valid unit and leaves a service few privileges', async () => {
    const verified = await machine.run('systemd-analyze', 'verify', '/etc/systemd/system/steno@.service');
    expect(verified).toEqual({ status: 0, stdout: '', stderr: '' });
    // Exposure level of `systemd-analyze security`, in tenths.
    const unit = ['--offline=true', '--threshold=25', '/etc/systemd/system/steno@.service'];
    expect(await machine.run('systemd-analyze', 'security', ...unit)).toMatchObject({ status: 0 });
  });

  it('stays down and reports the reason if the configuration is not valid', async () => {
    await machine.write('/etc/steno/gateway.yaml', 'name: gateway-1\nlisten: nowhere\n');
    expect((await machine.run('systemctl', 'start', 'steno@gateway')).status).not.toBe(0);
    expect(await property('gateway', 'ActiveState')).toBe('failed');
    expect(await machine.must('journalctl', '-u', 'steno@gateway', '--no-pager')).toContain('[CONFIG_INVALID]');
    await machine.must('systemctl', 'reset-failed', 'steno@gateway');
  });

  it('starts an authority, a gateway and a store, which join by their tokens and serve once `systemctl start` returns', async () => {
    await machine.write('/etc/steno/authority.yaml', example('authority'));
    await machine.must('systemctl', 'enable', '--now', 'steno@authority');
    await steno('login', '--data', '/var/lib/steno/authority');
    const pins = await join_('gateway', 'gateway-1', 'gateway');
    await join_('ingest', 'ingest-1', 'ingest');
    await join_('viewer', 'viewer-1', 'viewer');
    await join_('analyzer', 'analyzer-1', 'analyzer');
    for (const name of ['store', 'gateway']) {
      await machine.write(`/etc/steno/${name}.yaml`, example(name).replaceAll('sha256:PIN', pins));
      await machine.must('systemctl', 'enable', '--now', `steno@${name}`);
      expect(await property(name, 'StatusText')).toBe(`${name}, serving`);
      await machine.must('curl', '-fsS', `http://127.0.0.1:${name === 'store' ? 9026 : 9022}/readyz`);
    }
    await machine.must('sh', '-c', 'rm /etc/steno/*.token');
    const services = JSON.parse(await steno('services', '--json')) as JoinedServiceInfo[];
    expect(services.map(({ kind, name }) => `${kind}/${name}`).sort()).toEqual([
      'analyzer/analyzer-1',
      'gateway/gateway-1',
      'ingest/ingest-1',
      'viewer/viewer-1',
    ]);
    expect(await machine.must('stat', '-c', '%a %U', '/var/lib/steno/gateway', '/var/lib/steno/authority')).toBe('700 steno\n700 steno\n');
  });

  it('lets a user into a node and finds the session’s output, also after a restart of each unit', async () => {
    await machine.must('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/etc/ssh/host');
    await machine.write('/etc/ssh/steno_user_ca.pub', await steno('ca', 'export', 'user'));
    const options = ['ListenAddress=127.0.0.1:2200', 'HostKey=/etc/ssh/host', 'TrustedUserCAKeys=/etc/ssh/steno_user_ca.pub', 'UsePAM=no'];
    const sshd = ['/usr/sbin/sshd', '-D', '-e', '-f', '/dev/null', ...options.flatMap((option) => ['-o', option])];
    await machine.must('mkdir', '-p', '/run/sshd');
    await machine.must('systemd-run', '--quiet', '--unit=web', ...sshd);
    await steno('nodes', 'add', 'web', '127.0.0.1:2200', '--host-key', '/etc/ssh/host.pub');
    const ssh = ['ssh', '-F', '/var/lib/steno/.steno/ssh_config', 'root@web.steno'];
    const say = (word: string): Promise<string> =>
      machine.must('runuser', '-u', 'steno', '--', 'env', 'HOME=/var/lib/steno', ...ssh, `echo ${word}`);
    expect(await say('before-restarts')).toBe('before-restarts\n');
    for (const name of ['authority', 'store', 'gateway']) await machine.must('systemctl', 'restart', `steno@${name}`);
    expect(await say('after-restarts')).toBe('after-restarts\n');
    const hits = async (word: string): Promise<readonly FoundHit[]> =>
      JSON.parse(await steno('search', word, 'kind:screen', '--json')) as FoundHit[];
    for (const word of ['before-restarts', 'after-restarts'])
      await eventually(
        () => hits(word),
        (found) => found.length === 1,
      );
    // The services cannot write outside their folders and hold no capability.
    const pid = await property('gateway', 'MainPID');
    expect(await machine.must('grep', '-E', 'NoNewPrivs|CapBnd', `/proc/${pid}/status`)).toBe(
      'CapBnd:\t0000000000000000\nNoNewPrivs:\t1\n',
    );
  });
});
