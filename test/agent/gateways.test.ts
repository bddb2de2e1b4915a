/** An agent that joined through one gateway, while another gateway of the same authority starts and stops. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainSshConfig } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { startSecondGateway } from '../end-to-end/second-gateway.js';
import type { SecondGateway } from '../end-to-end/second-gateway.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';
import { stopAll } from '../support/stop-all.js';

describe('an agent that joined through one gateway', () => {
  const steno = new Steno();
  let node: TunnelNode;
  let second: SecondGateway | undefined;
  const plain = join(steno.folder, 'plain_config');
  const through = ({ service: { addresses } }: SecondGateway, command: string) => {
    const [host, port] = addresses['ssh']!.split(':');
    return steno.exec('ssh', ['-F', plain, '-p', port!, `${steno.login}@behind@${host}`, command]);
  };

  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
    node = await startTunnelNode(steno, 'behind');
    writeFileSync(plain, plainSshConfig(steno));
  });
  afterAll(() =>
    stopAll(
      () => second?.stop(),
      () => node?.stop(),
      () => steno.dispose(),
    ),
  );

  it('opens a tunnel to a new gateway within seconds, without any command', async () => {
    second = await startSecondGateway(steno, 'second');
    const began = Date.now();
    await eventually(
      () => through(second!, 'echo through the second'),
      ({ stdout }) => stdout === 'through the second\n',
    );
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(node.text()).toContain(`"gateway":"${second.service.addresses['tunnel']}","name":"second"`);
  });

  it('knows both after a restart', async () => {
    await node.stop();
    await node.start();
    await eventually(
      () => through(second!, 'echo again'),
      ({ stdout }) => stdout === 'again\n',
    );
    await eventually(
      () => steno.ssh(`${steno.login}@behind.steno`, 'echo first'),
      ({ stdout }) => stdout === 'first\n',
    );
  });

  it('is reached through the first gateway while the second is down, and through both once it is back', async () => {
    await second!.stop();
    await node.until(/no tunnel/);
    expect((await steno.ssh(`${steno.login}@behind.steno`, 'echo still')).stdout).toBe('still\n');
    second = await startSecondGateway(steno, 'second');
    await eventually(
      () => through(second!, 'echo back'),
      ({ stdout }) => stdout === 'back\n',
    );
  });
});
