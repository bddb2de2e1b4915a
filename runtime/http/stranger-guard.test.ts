import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { Server } from 'node:http';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server as TcpServer, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { StrangerGuard } from './stranger-guard.js';
import { StrangerSlots, defaultSlots } from './stranger-slots.js';
import type { Slot, SlotSource } from './stranger-slots.js';

const opened: (Socket | Server | TcpServer)[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) {
    if ('closeAllConnections' in one) one.closeAllConnections();
    if ('destroy' in one) one.destroy();
    else one.close();
  }
});

async function served(
  options: ConstructorParameters<typeof StrangerGuard>[2] = {},
): Promise<{ readonly port: number; readonly guard: StrangerGuard }> {
  const server = createServer((asked, answer) => {
    guard.passed(asked.socket);
    answer.end('here');
  });
  const guard = new StrangerGuard(server, new StrangerSlots({ ...defaultSlots, full: 80 }), options);
  opened.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, guard };
}

function silent(port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => undefined);
  opened.push(socket);
  return once(socket, 'connect').then(() => socket);
}

function ask(port: number, localAddress: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request({ port, host: '127.0.0.1', localAddress, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode!));
    })
      .on('error', reject)
      .end();
  });
}

test('hundreds of silent connections from many addresses keep nobody out', async () => {
  const { port, guard } = await served();
  for (let n = 0; n < 400; n++) await silent(port, `127.0.1.${1 + (n % 12)}`);
  await expect.poll(() => guard.slots.size).toBe(80);
  for (let n = 0; n < 10; n++) expect(await ask(port, '127.0.2.1')).toBe(200);
});

test('a connection that is never admitted is closed at its time limit, and its slot is freed', async () => {
  const { port, guard } = await served({ limitMs: 100 });
  const socket = await silent(port, '127.0.1.1');
  socket.resume();
  await once(socket, 'close');
  await expect.poll(() => guard.slots.size).toBe(0);
});

test('exempt addresses hold no slots', async () => {
  const { port, guard } = await served({ exempt: new Set(['127.0.1.1']) });
  for (let n = 0; n < 50; n++) await silent(port, '127.0.1.1');
  expect(await ask(port, '127.0.1.1')).toBe(200);
  expect(guard.slots.size).toBe(0);
});

/** Slots without a bound that write down what happens to each. */
class Ledger implements SlotSource {
  readonly lines: string[] = [];
  readonly displace: (() => void)[] = [];
  refusing = false;

  take(address: string, displace: () => void): Slot | null {
    if (this.refusing) return null;
    const n = this.displace.push(displace);
    this.lines.push(`${n} ${address}`);
    return { admitted: () => this.lines.push(`${n} admitted`), release: () => this.lines.push(`${n} released`) };
  }
}

test('a connection holds its slot until it is admitted, passes or closes, and is closed where it gets or keeps none', async () => {
  const server = createTcpServer();
  const ledger = new Ledger();
  const guard = new StrangerGuard(server, ledger);
  opened.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accept = async (): Promise<{ readonly client: Socket; readonly peer: Socket }> => {
    const [[peer], client] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, silent(port, '127.0.1.1')]);
    opened.push(peer);
    client.resume();
    return { client, peer };
  };
  const [admitted, passed, displaced] = [await accept(), await accept(), await accept()];
  guard.admitted(admitted.peer);
  guard.passed(passed.peer);
  guard.passed({ remoteAddress: '127.0.1.1', remotePort: 1 });
  expect(ledger.lines).toEqual(['1 127.0.1.1', '2 127.0.1.1', '3 127.0.1.1', '1 admitted', '2 released']);
  ledger.displace[2]!();
  await once(displaced.client, 'close');
  await expect.poll(() => ledger.lines.at(-1)).toBe('3 released');
  guard.admitted(displaced.peer);
  expect(ledger.lines.at(-1)).toBe('3 released');
  ledger.refusing = true;
  const refused = await silent(port, '127.0.1.1');
  refused.resume();
  await once(refused, 'close');
  expect([admitted.client.destroyed, passed.client.destroyed]).toEqual([false, false]);
});

test('a connection that was admitted outlives the time of one that was not', async () => {
  const server = createTcpServer();
  const guard = new StrangerGuard(server, new Ledger(), { limitMs: 100 });
  opened.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const [[peer], admitted] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, silent(port, '127.0.1.1')]);
  opened.push(peer);
  guard.admitted(peer);
  const late = await silent(port, '127.0.1.1');
  late.resume();
  await once(late, 'close');
  expect([admitted.destroyed, peer.destroyed]).toEqual([false, false]);
});
