/** The image of deploy/container, run as deploy/README.md describes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { Namespace, whyNoNamespace } from '../agent/namespace.js';
import { must } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { openAuthorities, person } from '../end-to-end/people.js';
import type { Person } from '../end-to-end/people.js';

const image = process.env['STENO_TEST_IMAGE'];
const [podman = 'podman', ...global] = (process.env['STENO_TEST_PODMAN'] ?? 'podman').split(' ');
/** Options that `podman run` needs on this machine, such as limits below podman's defaults. */
const options = (process.env['STENO_TEST_PODMAN_RUN'] ?? '').split(' ').filter((word) => word !== '');
const why = image === undefined ? 'STENO_TEST_IMAGE names no image of deploy/container (building one takes minutes)' : whyNoNamespace();
if (why !== null) console.warn(`skipped: ${why}`);

describe.skipIf(why !== null)('the agent in a container', () => {
  const steno = new Steno();
  const name = `steno-test-${process.pid}`;
  let space: Namespace;
  let alice: Person;
  const run = (...args: readonly string[]) => steno.exec(podman, [...global, ...args], { env: { HOME: process.env['HOME'] } });
  const logs = async (): Promise<string> => (await run('logs', name)).stderr + (await run('logs', name)).stdout;
  const state = async () => (await steno.json<NodeStatus[]>('nodes')).find((one) => one.name === 'box')?.state;

  beforeAll(async () => {
    space = new Namespace(9);
    await steno.start('--tunnel-listen', `${space.outside}:0`);
    await steno.json('login', '--data', steno.data);
    alice = await person(steno, await openAuthorities(steno), 'alice', ['admin'], ['root', 'node']);
    const { token, gateways, ca_pins } = await steno.json<JoinTokenCreated>('tokens', 'add', '--type', 'node');
    const file = join(steno.folder, 'token');
    writeFileSync(file, token, { mode: 0o600 });
    await must(run('secret', 'create', name, file));
    await must(
      run(
        'run',
        '-d',
        ...options,
        '--name',
        name,
        '--hostname',
        'box',
        '--network',
        `ns:/run/netns/${space.name}`,
        '-v',
        `${name}:/var/lib/steno-agent`,
        '--secret',
        name,
        image!,
        '--gateway',
        gateways.join(','),
        '--ca-pin',
        ca_pins.join(','),
        '--token-file',
        `/run/secrets/${name}`,
      ),
    );
  });
  afterAll(async () => {
    if (why !== null) return;
    await run('rm', '-f', '-t', '5', name);
    await run('volume', 'rm', '-f', name);
    await run('secret', 'rm', name);
    await steno.dispose();
    space?.dispose();
  });

  it('joins by its host name, without a compiler or an event store in the image', async () => {
    await eventually(
      async () => [await state(), await logs()],
      ([now]) => now === 'live',
    );
    expect(
      (
        await run(
          'exec',
          name,
          'sh',
          '-c',
          'command -v g++ python3; ls -d /opt/steno/node_modules/chdb /opt/steno/node_modules/typescript 2>/dev/null',
        )
      ).stdout,
    ).toBe('');
  });

  it('accepts sessions as root and as a user, with terminals and files', async () => {
    await must(run('exec', name, 'useradd', '-m', '-s', '/bin/bash', 'node'));
    expect(await alice.ssh('root@box.steno', 'id -un; hostname; exit 4')).toMatchObject({ status: 4, stdout: 'root\nbox\n' });
    expect((await alice.ssh('node@box.steno', 'id -un; umask; ulimit -Sn; pwd')).stdout).toBe('node\n0022\n1024\n/home/node\n');
    const shell = alice.terminal('node@box.steno');
    await shell.until(/\$ /);
    shell.write('stat -c "%U %a" $(tty); exit 5\r');
    await shell.until(/node 620/);
    expect(await shell.ended).toBe(5);
    const file = join(steno.folder, 'file');
    writeFileSync(file, 'carried');
    await must(steno.exec('scp', ['-q', '-F', alice.config, file, 'node@box.steno:carried']));
    expect((await alice.ssh('node@box.steno', 'cat carried')).stdout).toBe('carried');
  });

  it('can load the kernel programs, and reports what kernel events lack', async () => {
    expect((await run('exec', name, 'steno', 'doctor', '--json')).stdout).toMatch(/"kernel events"/);
    const { stdout } = await run(
      'exec',
      name,
      'node',
      '-e',
      "import('/opt/steno/node_modules/koffi/index.js').then((koffi) => console.log(typeof koffi.default.load))",
    );
    expect(stdout).toBe('function\n');
  });

  it('is the same node after a restart, with the used token', async () => {
    await must(run('restart', '-t', '10', name));
    await eventually(
      () => alice.ssh('root@box.steno', 'echo again'),
      ({ stdout }) => stdout === 'again\n',
    );
  });

  it('ends within its time limit after SIGTERM', async () => {
    await must(run('stop', '-t', '10', name));
    const { stdout } = await run('inspect', '--format', '{{.State.ExitCode}}', name);
    expect(stdout).toBe('0\n');
    await eventually(state, (now) => now === 'gone');
  });
});
