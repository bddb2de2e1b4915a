/** An agent that joined through one gateway, and another gateway that comes to the same authority, and goes. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bin, Steno, eventually } from '../end-to-end/machine.js';
import { startTunnelNode } from '../end-to-end/tunnel-node.js';
import type { TunnelNode } from '../end-to-end/tunnel-node.js';
import type { FromService } from '#runtime/service.js';

interface SecondGateway {
  readonly addresses: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** As another machine would run it: its own keys and spool, enrolled with the authority of `steno`. */
async function startGateway(steno: Steno, name: string): Promise<SecondGateway> {
  const { socket, authority, ingest } = steno.run as unknown as Readonly<Record<'socket' | 'authority' | 'ingest', string>>;
  const dataDir = join(steno.folder, `gateway-${name}`);
  mkdirSync(dataDir, { mode: 0o700, recursive: true });
  const child: ChildProcess = fork(join(bin, '../../dist/gateway/main.js'), {
    env: steno.env,
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  child.send({ kind: 'config', config: { name, dataDir, listen: '127.0.0.1:0', tunnelListen: '127.0.0.1:0', socket, authority, ingest } });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8');
    });
  const message = await new Promise<FromService>((resolve, reject) => {
    child.once('message', resolve as (message: unknown) => void);
    child.once('exit', () => reject(new Error(`the gateway ${name} ended:\n${said}`)));
  });
  if (message.kind !== 'ready') throw new Error(`the gateway ${name}: ${message.code} ${message.detail}`);
  return {
    addresses: message.addresses,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

describe('an agent that joined through one gateway', () => {
  const steno = new Steno();
  let node: TunnelNode;
  let second: SecondGateway | undefined;
  const plain = join(steno.folder, 'plain_config');
  const through = ({ addresses }: SecondGateway, command: string) => {
    const [host, port] = addresses['ssh']!.split(':');
    return steno.exec('ssh', ['-F', plain, '-p', port!, `${steno.login}@behind@${host}`, command]);
  };

  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
    node = await startTunnelNode(steno, 'behind');
    const home = join(steno.folder, 'home');
    writeFileSync(
      plain,
      [
        `IdentityFile ${home}/id_ed25519`,
        `CertificateFile ${home}/id_ed25519-cert.pub`,
        'IdentitiesOnly yes',
        `UserKnownHostsFile ${home}/known_hosts`,
        'StrictHostKeyChecking yes',
        'BatchMode yes',
        '',
      ].join('\n'),
    );
  });
  afterAll(async () => {
    await second?.stop();
    await node?.stop();
    await steno.dispose();
  });

  it('holds a tunnel to another that comes, within seconds, without being told by anybody', async () => {
    second = await startGateway(steno, 'second');
    const began = Date.now();
    await eventually(
      () => through(second!, 'echo through the second'),
      ({ stdout }) => stdout === 'through the second\n',
    );
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(node.text()).toContain(`"gateway":"${second.addresses['tunnel']}","name":"second"`);
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
    second = await startGateway(steno, 'second');
    await eventually(
      () => through(second!, 'echo back'),
      ({ stdout }) => stdout === 'back\n',
    );
  });
});
