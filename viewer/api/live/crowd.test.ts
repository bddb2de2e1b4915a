/** Many followers of one session, some of whom read nothing: what is kept for them, counted instead of weighed. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { openLive } from '../testing/stand.js';
import { MAX_BACKLOG } from './follower.js';
import { LiveRelay } from './relay.js';

const session = '01hf7yat0000000000000000ab';
const MANY = 30;
const STALLED = 20;
const BLOCK = 60_000;
const BLOCKS = 250;
const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

interface One {
  readonly socket: WebSocket;
  /** The first bytes of each message. */
  readonly heads: string[];
  has(count: number): Promise<void>;
}

test('who reads nothing holds a backlog of one block at most, costs ingest nothing, and catches up later in turns', async () => {
  const live = await openLive();
  opened.push(() => live.close());
  const relay = new LiveRelay({ tls: {}, urls: [live.url], find: async () => null }, pino({ level: 'silent' }));
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (viewer) => relay.follow(viewer, { session, after: 0, drafts: false, recheck: async () => undefined }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(async () => {
    relay.close();
    for (const socket of sockets.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const all = Array.from({ length: MANY }, () => follow(url));
  const block = (n: number): void => live.publish(session, n, `${n} ${'x'.repeat(BLOCK)}`);
  block(1);
  await Promise.all(all.map((one) => one.has(1)));
  expect(live.followers(session)).toBe(1);

  const [stalled, reading] = [all.slice(0, STALLED), all.slice(STALLED)];
  for (const { socket } of stalled) socket.pause();
  for (let n = 2; n <= BLOCKS; n++) {
    block(n);
    if (n % 8 === 0) await Promise.all(reading.map((one) => one.has(n)));
  }
  await Promise.all(reading.map((one) => one.has(BLOCKS)));
  const waiting = [...sockets.clients].map(({ bufferedAmount }) => bufferedAmount).filter((bytes) => bytes > 0);
  expect(waiting).toHaveLength(STALLED);
  expect(Math.max(...waiting)).toBeLessThanOrEqual(MAX_BACKLOG + BLOCK + 100);
  expect(live.followers(session)).toBe(1);

  let most = 0;
  for (const { socket } of stalled) socket.resume();
  for (const one of stalled)
    for (let n = 50; n <= BLOCKS; n += 50) {
      await one.has(n);
      most = Math.max(most, live.followers(session));
    }
  // One feed for all, and those of the 16 who may catch up at a time.
  expect(most).toBeLessThanOrEqual(1 + 16);
  const numbers = Array.from({ length: BLOCKS }, (_, i) => String(i + 1));
  for (const { heads } of all) expect(heads).toEqual(numbers);
});

function follow(url: string): One {
  const socket = new WebSocket(url);
  const heads: string[] = [];
  const waiting = new Set<() => void>();
  socket.on('message', (data) => {
    heads.push(String(data).split(' ')[0]!);
    for (const look of waiting) look();
  });
  return {
    socket,
    heads,
    has: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (heads.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
