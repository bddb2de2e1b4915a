import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { listenAt } from './listen.js';

const servers: Server[] = [];
const server = (): Server => {
  const created = createServer();
  servers.push(created);
  return created;
};
afterEach(() => servers.splice(0).forEach((one) => one.close()));

test('resolves with the bound address and the port that the system chose', async () => {
  const bound = await listenAt(server(), { host: 'localhost', port: 0 });
  expect(bound.host).toMatch(/^(127\.0\.0\.1|::1)$/);
  expect(bound.port).toBeGreaterThan(0);
});

test('a port in use is PORT_TAKEN with the address, and other failures are the system’s', async () => {
  const bound = await listenAt(server(), { host: '127.0.0.1', port: 0 });
  await expect(listenAt(server(), bound)).rejects.toMatchObject({ code: 'PORT_TAKEN', detail: `127.0.0.1:${bound.port}` });
  await expect(listenAt(server(), { host: '192.0.2.1', port: 0 })).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
});

test('leaves later errors of the server to its owner', async () => {
  const one = server();
  await listenAt(one, { host: '127.0.0.1', port: 0 });
  expect(one.listenerCount('error')).toBe(0);
});
