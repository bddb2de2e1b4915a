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

test('viewers of a session share one feed; one that reads nothing delays nobody, and has everything in order once it reads', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  const slow = follow(session.id, 0);
  const quick = follow(session.id, 0);
  publish(session, 1, 1);
  await Promise.all([slow.count(1), quick.count(1)]);
  expect(stand.live.followers(session.id)).toBe(1);
  slow.socket.pause();
  const big = `[0,"o","${'x'.repeat(60_000)}"]\n`;
  // More than the socket buffers at both ends and the shared blocks hold.
  const blocks = Math.ceil((32 << 20) / big.length);
  for (let n = 2; n < 2 + blocks; n++) {
    stand.live.publish(session.id, n, `[0,"o","${n}"]\n${big}`);
    if (n % 20 === 0) await quick.count(n - 5);
  }
  await quick.count(blocks + 1);
  expect(slow.messages).toHaveLength(1);
  slow.socket.resume();
  await slow.count(blocks + 1);
  expect(slow.messages.map((lines) => /"o","(\d+)"/.exec(lines)?.[1])).toEqual(
    quick.messages.map((lines) => /"o","(\d+)"/.exec(lines)?.[1]),
  );
  // It shares the feed again.
  await expect.poll(() => stand.live.followers(session.id)).toBe(1);
  stand.live.publish(session.id, blocks + 2, 'the last');
  await Promise.all([slow.count(blocks + 2), quick.count(blocks + 2)]);
  expect(slow.messages.at(-1)).toBe('the last');
  for (const { socket } of [slow, quick]) socket.close();
  await expect.poll(() => stand.live.followers(session.id)).toBe(0);
});

test('a viewer that comes later is given what is shared, and what is not from ingest', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  publish(session, 1, 3);
  const first = follow(session.id, 3);
  stand.live.publish(session.id, 4, 'four');
  await first.count(1);
  const shared = follow(session.id, 3);
  const caughtUp = follow(session.id, 0);
  await Promise.all([shared.count(1), caughtUp.count(4)]);
  await expect.poll(() => stand.live.followers(session.id)).toBe(1);
  stand.live.publish(session.id, 5, 'five');
  await Promise.all([first.count(2), shared.count(2), caughtUp.count(5)]);
  const stored = session.blocks.slice(0, 3).map(({ lines }) => lines);
  expect([first.messages, shared.messages, caughtUp.messages]).toEqual([
    ['four', 'five'],
    ['four', 'five'],
    [...stored, 'four', 'five'],
  ]);
  stand.live.end(session.id);
  for (const { closed } of [first, shared, caughtUp]) expect((await closed).code).toBe(1000);
});

test('a viewer that names a block that does not exist yet does not keep the session from others', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  const early = follow(session.id, 1_000_000);
  await expect.poll(() => stand.live.followers(session.id)).toBe(1);
  const others = [follow(session.id, 0), follow(session.id, 0)];
  publish(session, 1, 2);
  await Promise.all(others.map((other) => other.count(2)));
  // Their own feeds are given up for the shared one.
  await expect.poll(() => stand.live.followers(session.id), { timeout: 10_000 }).toBe(1);
  publish(session, 3, 3);
  await Promise.all(others.map((other) => other.count(3)));
  expect(early.messages).toEqual([]);
  for (const { socket } of [early, ...others]) socket.close();
}, 20_000);

test('a viewer that speaks is hung up on', async () => {
  const session = await record(stand, { state: 'live', lines: ticks() });
  const follower = follow(session.id, 0);
  follower.socket.on('open', () => follower.socket.send('hello'));
  expect((await follower.closed).code).toBe(1008);
});
