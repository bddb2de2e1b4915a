/** The relay over several ingests: which one is followed, and what happens when a session moves. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { openLive } from '../testing/stand.js';
import { LiveRelay } from './relay.js';
import type { LiveSource } from './ingest-feed.js';

const session = '01hf7yat0000000000000000ab';
const nowhere = 'ws://127.0.0.1:1';
const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function ingest(sessions: ReadonlySet<string>): Promise<Awaited<ReturnType<typeof openLive>>> {
  const live = await openLive(sessions);
  opened.push(() => live.close());
  return live;
}

/** A browser that follows the session through a relay over these ingests. */
async function follower(source: Pick<LiveSource, 'urls' | 'find'>) {
  const relay = new LiveRelay({ tls: {}, ...source }, pino({ level: 'silent' }));
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (viewer) => relay.follow(viewer, { session, after: 0, drafts: false, recheck: async () => undefined }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(async () => {
    relay.close();
    for (const socket of sockets.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  });
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const messages: string[] = [];
  const waiting = new Set<() => void>();
  socket.on('message', (data) => {
    messages.push(String(data));
    for (const look of waiting) look();
  });
  return {
    messages,
    closed: new Promise<number>((resolve) => socket.on('close', resolve)),
    count: (n: number) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (messages.length >= n) resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

test('an ingest that is away or does not have the session is passed over, and the session is followed to the next', async () => {
  const [atFirst, atSecond] = [new Set<string>(), new Set([session])];
  const [first, second] = [await ingest(atFirst), await ingest(atSecond)];
  const asked: string[] = [];
  const browser = await follower({
    urls: [nowhere, first.url, second.url],
    find: async (id) => {
      asked.push(id);
      throw new Error('the authority is away');
    },
  });
  second.publish(session, 1, 'one');
  await browser.count(1);
  atFirst.add(session);
  atSecond.clear();
  first.publish(session, 1, 'one');
  first.publish(session, 2, 'two');
  second.drop();
  await browser.count(2);
  expect(browser.messages).toEqual(['one', 'two']);
  expect(new Set(asked)).toEqual(new Set([session]));
  first.end(session);
  expect(await browser.closed).toBe(1000);
});

test('a session that no ingest has is said to be unavailable at once', async () => {
  const browser = await follower({ urls: [(await ingest(new Set())).url, nowhere], find: async () => null });
  expect(await browser.closed).toBe(4503);
});
