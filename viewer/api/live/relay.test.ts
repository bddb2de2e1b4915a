import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { LineBody } from '#schemas/recording/line.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
beforeAll(async () => {
  stand = await openStand();
});
afterAll(() => stand.close());

function* ticks(): Generator<readonly [number, LineBody]> {
  for (let i = 0; i < 6; i++) yield [i * 1200, { code: 'o', data: `tick ${i}\r\n` }];
}

interface Follower {
  readonly socket: WebSocket;
  readonly messages: string[];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly count: (n: number) => Promise<void>;
}

function follow(id: string, after: number, cookie = stand.signIn('root', 'all'), more = ''): Follower {
  const socket = new WebSocket(`${stand.url.replace('http', 'ws')}/api/sessions/${id}/live?after=${after}${more}`, {
    headers: { cookie, origin: stand.url },
  });
  const messages: string[] = [];
  const waiting = new Set<() => void>();
  socket.on('message', (data, binary) => {
    expect(binary).toBe(false);
    messages.push(String(data));
    for (const look of waiting) look();
  });
  return {
    socket,
    messages,
    closed: new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))),
    count: (n) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (messages.length >= n) resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

function publish({ id, blocks }: Recorded, from: number, to: number): void {
  for (const { n, lines } of blocks) if (n >= from && n <= to) stand.live.publish(id, n, lines);
}

test('blocks arrive as text, one message a block, those before and those after joining', async () => {
  const session = await record(stand, { state: 'live', lines: ticks(), storedParts: 1, blocksPerPart: 2 });
  publish(session, 3, 4);
  const follower = follow(session.id, 2);
  await follower.count(2);
  publish(session, 5, 6);
  await follower.count(4);
  expect(follower.messages).toEqual(session.blocks.slice(2).map(({ lines }) => lines));
  stand.live.end(session.id);
  expect((await follower.closed).code).toBe(1000);
});

test('drafts arrive as text with a mark, for those who asked, and those that leave a hole do not', async () => {
  const session = await record(stand, { state: 'live', lines: ticks(), storedParts: 1, blocksPerPart: 2 });
  publish(session, 3, 3);
  const plain = follow(session.id, 2);
  const drafted = follow(session.id, 2, undefined, '&drafts=1');
  await Promise.all([plain.count(1), drafted.count(1)]);
  stand.live.draft(session.id, 4, 0, '[1.2,"o","ti');
  stand.live.draft(session.id, 4, 20, 'no');
  stand.live.draft(session.id, 5, 0, 'no');
  stand.live.draft(session.id, 4, 12, 'ck é');
  publish(session, 4, 4);
  await Promise.all([plain.count(2), drafted.count(4)]);
  const [third, fourth] = session.blocks.slice(2, 4).map(({ lines }) => lines);
  expect(plain.messages).toEqual([third, fourth]);
  expect(drafted.messages).toEqual([third, '=[1.2,"o","ti', '+ck é', fourth]);
  stand.live.end(session.id);
  await Promise.all([plain.closed, drafted.closed]);
  const refused = new WebSocket(`${stand.url.replace('http', 'ws')}/api/sessions/${session.id}/live?after=2&drafts=2`, {
    headers: { cookie: stand.signIn('root', 'all'), origin: stand.url },
  });
  const status = await new Promise((resolve) => {
    refused
      .on('unexpected-response', (_, { statusCode }) => resolve(statusCode))
      .on('open', () => resolve('open'))
      .on('error', () => undefined);
  });
  expect(status).toBe(400);
  refused.terminate();
});

test('a viewer that asks for what is stored meanwhile is sent back to the index', async () => {
  const session = await record(stand, { state: 'live', lines: ticks(), blocksPerPart: 2 });
  publish(session, 4, 6);
  const follower = follow(session.id, 0);
  expect((await follower.closed).code).toBe(4409);
  expect(follower.messages).toEqual([]);
});

test('a viewer that reads nothing holds back its own feed alone, and has everything in order once it reads', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  const slow = follow(session.id, 0);
  const quick = follow(session.id, 0);
  publish(session, 1, 1);
  await Promise.all([slow.count(1), quick.count(1)]);
  slow.socket.pause();
  const big = `[0,"o","${'x'.repeat(60_000)}"]\n`;
  // More than the socket buffers at the four ends hold.
  const blocks = Math.ceil((48 << 20) / big.length);
  for (let n = 2; n < 2 + blocks; n++) {
    stand.live.publish(session.id, n, `[0,"o","${n}"]\n${big}`);
    if (n % 20 === 0) await quick.count(n - 5);
  }
  await quick.count(blocks + 1);
  await expect.poll(() => [...stand.live.waiting(session.id)].sort((a, b) => a - b)[0]).toBe(0);
  // Data that the viewer does not read waits at its source.
  expect(Math.max(...stand.live.waiting(session.id))).toBeGreaterThan(16 << 20);
  slow.socket.resume();
  await slow.count(blocks + 1);
  expect(slow.messages.map((lines) => /"o","(\d+)"/.exec(lines)?.[1])).toEqual(
    quick.messages.map((lines) => /"o","(\d+)"/.exec(lines)?.[1]),
  );
  for (const { socket } of [slow, quick]) socket.close();
});

test('a viewer that speaks is hung up on', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  const follower = follow(session.id, 0);
  follower.socket.on('open', () => follower.socket.send('hello'));
  expect((await follower.closed).code).toBe(1008);
});
