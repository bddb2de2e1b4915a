import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { StrangerGuard } from './stranger-guard.js';
import { StrangerSlots, defaultSlots } from './stranger-slots.js';

const opened: (Socket | Server)[] = [];
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
