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
const unexpected = (error: Error): void => {
  throw error;
};
afterEach(() => servers.splice(0).forEach((one) => one.close()));

test('resolves with the bound address and the port that the system chose', async () => {
  const bound = await listenAt(server(), { host: 'localhost', port: 0 }, unexpected);
  expect(bound.host).toMatch(/^(127\.0\.0\.1|::1)$/);
  expect(bound.port).toBeGreaterThan(0);
});

test('a port in use is PORT_TAKEN with the address, and other failures are the system’s', async () => {
  const bound = await listenAt(server(), { host: '127.0.0.1', port: 0 }, unexpected);
  await expect(listenAt(server(), bound, unexpected)).rejects.toMatchObject({ code: 'PORT_TAKEN', detail: `127.0.0.1:${bound.port}` });
  await expect(listenAt(server(), { host: '192.0.2.1', port: 0 }, unexpected)).rejects.toMatchObject({ code: 'EADDRNOTAVAIL' });
});

test('passes on later errors', async () => {
  const one = server();
  const errors: Error[] = [];
  await listenAt(one, { host: '127.0.0.1', port: 0 }, (error) => void errors.push(error));
  one.emit('error', new Error('accept EMFILE'));
  expect(errors).toEqual([new Error('accept EMFILE')]);
});
