import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultSlots } from '#runtime/http/stranger-slots.js';
import { openWorld } from '../../testing/harness.js';
import { heldBytes } from '../../testing/memory.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld({ limits: { slots: defaultSlots, waiting: 0, waitingPerSource: 0, admissionMs: 1_500 } });
});
afterAll(() => world.close());

function stranger(): Socket {
  return connect(world.port, '127.0.0.1').on('error', () => undefined);
}
/** Everything received before it was closed. */
async function untilClosed(socket: Socket): Promise<string> {
  let said = '';
  socket.on('data', (data) => {
    said += data.toString('latin1');
  });
  await once(socket, 'close');
  return said;
}

describe('strangers', () => {
  it('who say nothing, or half a greeting, are disconnected after the time for admission', async () => {
    const [silent, half, endless] = [stranger(), stranger(), stranger()];
    half.write('SSH-2.0-Half');
    endless.write('SSH-2.0-Endless\r\n');
    const packet = Buffer.alloc(5);
    packet.writeUInt32BE(30_000);
    endless.write(packet);
    expect(await Promise.all([silent, half, endless].map(untilClosed))).toEqual(
      [1, 2, 3].map(() => expect.stringMatching(/^SSH-2.0-OpenSSH_9.9 Steno\r\n/)),
    );
  });

  it.each([
    ['random bytes', () => randomBytes(4096)],
    ['an endless line', () => Buffer.alloc(20_000, 'x')],
    ['HTTP', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['SSH, then random bytes', () => Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(4, 0xff), randomBytes(4096)])],
    [
      'an empty key exchange',
      () => Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.from([0, 0, 0, 12, 10, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
    ],
  ])('who send %s are disconnected', async (_name, bytes) => {
    const socket = stranger();
    socket.write(bytes());
    await untilClosed(socket);
  });

  it('are limited to twenty per address if none may wait; admitted connections do not count', async () => {
    const sockets = Array.from({ length: 30 }, stranger);
    const said = await Promise.all(sockets.map(untilClosed));
    expect(said.filter((text) => text === '')).toHaveLength(10);
    const { status } = await world.run('ssh', ['-F', world.sshConfig, 'root@node-1', 'true']);
    expect(status).toBe(0);
  });

  it('leave nothing behind', async () => {
    const wave = async (): Promise<void> => {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const socket = stranger();
          socket.write(randomBytes(2048));
          await untilClosed(socket);
        }),
      );
    };
    for (let i = 0; i < 20; i++) await wave();
    const before = await heldBytes();
    for (let i = 0; i < 50; i++) await wave();
    expect((await heldBytes()) - before).toBeLessThan(4 * 1024 * 1024);
  });
});
