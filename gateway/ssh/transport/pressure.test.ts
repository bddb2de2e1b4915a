/** Backpressure: the gateway does not read data that a client or node does not take. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import { heldBytes } from '../../testing/memory.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld({ keepBytes: false });
});
afterAll(() => world.close());

/** A client that grants the largest possible window, and then stops reading its socket. */
const greedy = (command: string): string => `
import paramiko, sys, time, os, signal
alice = '${world.directory}/alice'
t = paramiko.Transport(('127.0.0.1', ${world.port}), default_window_size=2**31 - 1); t.start_client()
key = paramiko.Ed25519Key(filename=alice); key.load_certificate(alice + '-cert.pub')
t.auth_publickey('root@node-1', key)
c = t.open_session(); c.exec_command(${JSON.stringify(command)})
print(c.recv(1)); sys.stdout.flush()
os.kill(os.getpid(), signal.SIGSTOP)
`;

describe('a client that stops reading', () => {
  it('stops the node: four of them hold less than 2 MiB each, however large their windows', async () => {
    const count = 4;
    const before = await heldBytes();
    const clients = await Promise.all(
      Array.from({ length: count }, async () => {
        const child = world.start('/usr/bin/python3', ['-c', greedy('head -c 200000000 /dev/zero; sleep 1000')]);
        await once(child.stdout!, 'data');
        return child;
      }),
    );
    // Everything stops once all buffers on the way are full; only the lack of progress shows it.
    let last = -1;
    while (last !== world.recorder.shown) {
      last = world.recorder.shown;
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    expect(last).toBeLessThan(count * 200_000_000);
    expect(((await heldBytes()) - before) / count).toBeLessThan(2 * 1024 * 1024);
    for (const child of clients) child.kill('SIGKILL');
    while (world.recorder.live.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

describe('a spool that asks for a pause', () => {
  it('pauses the session and lets it continue, with nothing missing', async () => {
    world.recorder.slow = true;
    const running = world.run('sh', ['-c', `ssh -F ${world.sshConfig} root@node-1 'head -c 5000000 /dev/zero' | wc -c`]);
    for (let i = 0; i < 5; i++) {
      while (!world.recorder.paused) await new Promise(setImmediate);
      world.recorder.ready();
      world.recorder.slow = i < 4;
    }
    expect((await running).stdout.trim()).toBe('5000000');
  });
});

describe('a gateway that closes', () => {
  it('tells its users why, ends their sessions and closes their recordings', async () => {
    const other = await openWorld();
    const child = other.start('ssh', ['-F', other.sshConfig, 'root@node-1', 'echo started; exec sleep 1000']);
    let stderr = '';
    child.stderr!.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    await once(child.stdout!, 'data');
    const closed = once(child, 'close');
    await other.gateway.close();
    const [status] = await closed;
    expect({ status, stderr }).toEqual({ status: 255, stderr: expect.stringContaining('steno: this Steno is shutting down [DRAINING]') });
    expect(other.recorder.live.size).toBe(0);
    await other.close();
  });
});
