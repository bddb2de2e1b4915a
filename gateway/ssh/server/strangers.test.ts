/** Silent connections by the hundred, from many loopback addresses, against a gateway with default settings. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';

let world: World;
const sockets = new Set<Socket>();
let attacking = true;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  attacking = false;
  for (const socket of sockets) socket.destroy();
  await world.close();
});

/** Sends nothing, and connects again as soon as it is closed. */
function silent(localAddress: string): void {
  const socket = connect({ port: world.port, host: '127.0.0.1', localAddress });
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.resume();
  socket.on('close', () => {
    sockets.delete(socket);
    if (attacking) setTimeout(() => silent(localAddress), 50);
  });
}

async function tries(from: string, most: number): Promise<number> {
  for (let n = 1; n <= most; n++) {
    const { status } = await world.run('ssh', [
      '-F',
      world.sshConfig,
      '-b',
      from,
      '-o',
      'ProxyJump=none',
      '-o',
      'ConnectTimeout=15',
      '-l',
      'root@node-1',
      'gw',
      'true',
    ]);
    if (status === 0) return n;
  }
  return Infinity;
}

it('a known user gets in at the first attempt, and a new one within a few, while strangers of thirty addresses hold every slot', async () => {
  expect(await tries('127.0.9.1', 1)).toBe(1);
  for (let n = 0; n < 30; n++) for (let each = 0; each < 20; each++) silent(`127.0.5.${1 + n}`);
  while (sockets.size < 300) await once([...sockets].at(-1)!, 'connect');
  for (let i = 0; i < 3; i++) expect(await tries('127.0.9.1', 1)).toBe(1);
  for (let i = 0; i < 3; i++) expect(await tries(`127.0.9.${10 + i}`, 3)).toBeLessThanOrEqual(3);
}, 60_000);
