/** An agent that joined through one gateway, and another gateway that comes to the same authority, and goes. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainSshConfig } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { startSecondGateway } from '../end-to-end/second-gateway.js';
import type { SecondGateway } from '../end-to-end/second-gateway.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';

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
  afterAll(async () => {
    await second?.stop();
    await node?.stop();
    await steno.dispose();
  });

  it('holds a tunnel to another that comes, within seconds, without being told by anybody', async () => {
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

  it('goes on through the first when the second has gone, and when it is back, through both', async () => {
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
