/** Wires whose peer reads nothing: what waits for it is bounded, and so is the memory that it waits in. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { heldBytes } from '../testing/memory.js';
import { SMALL_SLAB_BYTES } from './outbox.js';
import { HIGH_WATER, SocketWire } from './socket-wire.js';

const PACKET = 16 * 1024;
const LIMIT = 16 * 1024;
/** Turns of the event loop without progress after which the kernel's buffers count as full. */
const STUCK = 50;

let server: Server;
const open: Socket[] = [];
beforeEach(async () => {
  server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

interface Pair {
  readonly wire: SocketWire;
  readonly peer: Socket;
  /** Sends numbered packets while the wire may be sent to. */
  readonly fill: () => void;
  readonly sent: () => number;
}

/** A wire to a peer that does not read yet. */
async function pair(limit: number | null): Promise<Pair> {
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1').pause();
  const [socket] = (await once(server, 'connection')) as [Socket];
  const wire = new SocketWire(socket);
  open.push(peer);
  if (limit !== null) wire.limit(limit);
  let sent = 0;
  const fill = (): void => {
    while (wire.queued <= (limit ?? HIGH_WATER)) {
      const packet = wire.reserve(PACKET).fill(0);
      packet.writeUInt32BE(sent++);
      const before = wire.queued;
      wire.send(packet);
      // The peer is gone.
      if (wire.queued === before) return;
    }
  };
  wire.attach({ bytes: () => undefined, drained: fill, closed: () => undefined });
  return { wire, peer, fill, sent: () => sent };
}

/** Sends until the kernel takes nothing more. */
async function stuck(pairs: readonly Pair[]): Promise<void> {
  const total = (): number => pairs.reduce((sum, { sent }) => sum + sent(), 0);
  for (const { fill } of pairs) fill();
  for (let last = -1, quiet = 0; quiet < STUCK; quiet++) {
    if (total() !== last) quiet = 0;
    last = total();
    await turn();
  }
}

describe('a limited wire', () => {
  it('keeps its limit and a packet for a peer that reads nothing, in little more memory than that', async () => {
    const many = 40;
    const pairs: Pair[] = [];
    while (pairs.length < many) pairs.push(await pair(LIMIT));
    const before = await heldBytes();
    await stuck(pairs);
    for (const { wire } of pairs) expect(wire.queued).toBeLessThanOrEqual(LIMIT + PACKET);
    expect(((await heldBytes()) - before) / many).toBeLessThan(4 * SMALL_SLAB_BYTES);
  });

  it.each([
    ['limited', LIMIT],
    ['not limited', null],
  ])('goes on when the peer reads again, and loses nothing: %s', async (_, limit) => {
    const { wire, peer, fill, sent } = await pair(limit);
    await stuck([{ wire, peer, fill, sent }]);
    const stalledAt = sent();
    const numbers: number[] = [];
    let rest = Buffer.alloc(0);
    peer.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (; rest.length >= PACKET; rest = rest.subarray(PACKET)) numbers.push(rest.readUInt32BE());
    });
    peer.resume();
    await expect.poll(() => numbers.length, { timeout: 20_000 }).toBeGreaterThan(2 * stalledAt);
    expect(numbers).toEqual(numbers.map((_number, i) => i));
  });
});
