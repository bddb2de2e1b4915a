import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { liveCloses } from '../feed.js';
import { Follower } from './follower.js';
import type { SocketEvents } from './follower.js';
import { Replay } from './replay.js';
import type { ReplayIndex } from './replay.js';
import { parseLines } from './segments.js';

// This folder has the types of no runtime.
declare function setTimeout(run: () => void, ms: number): number;
declare function clearTimeout(timer: number): void;

const live: ReplayIndex = { cols: 80, rows: 24, duration: 0, live: true, block: 0, segments: [] };
const after = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

function open(readIndex: () => Promise<ReplayIndex> = async () => live) {
  const shown: string[] = [];
  const sockets: { readonly after: number; readonly events: SocketEvents }[] = [];
  const replay = new Replay({
    ...{ index: live, newlines: false, after, startAt: null, now: () => Date.now() },
    load: async () => parseLines('', 0, false),
  });
  const follower = new Follower({
    ...{ replay, index: live, readIndex, after },
    connect: (block, events) => {
      sockets.push({ after: block, events });
      return () => undefined;
    },
  });
  void replay.open((name, data) => void (name === 'output' && shown.push(data as string)));
  return { replay, follower, shown, sockets };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('drafts and blocks are shown once, and after a lost socket following continues after the last block', async () => {
  const { shown, sockets } = open();
  await vi.advanceTimersByTimeAsync(0);
  sockets[0]!.events.message('=[1,"o","a');
  sockets[0]!.events.message('+b');
  sockets[0]!.events.message('[1,"o","abc"]\n');
  expect(shown.join('')).toBe('abc');
  sockets[0]!.events.closed(liveCloses.unavailable);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(sockets.map((one) => one.after)).toEqual([0, 1]);
});

test.each([
  [liveCloses.over, 300, 2],
  [liveCloses.unavailable, 300, 1],
  [liveCloses.unavailable, 1_100, 2],
  [liveCloses.misuse, 600_000, 1],
])('closed with %i, after %i ms it has opened %i sockets', async (code, ms, count) => {
  const { sockets } = open();
  await vi.advanceTimersByTimeAsync(0);
  sockets[0]!.events.closed(code);
  await vi.advanceTimersByTimeAsync(ms);
  expect(sockets.length).toBe(count);
});

test('whoever may not follow asks less and less often, and at once as before after a message', async () => {
  const { sockets } = open();
  await vi.advanceTimersByTimeAsync(0);
  let answered = 0;
  const refuseFor = async (ms: number): Promise<number> => {
    const before = sockets.length;
    for (let waited = 0; waited < ms; waited += 500) {
      // What a browser makes of a refused upgrade.
      for (; answered < sockets.length; answered += 1) sockets[answered]!.events.closed(1006);
      await vi.advanceTimersByTimeAsync(500);
    }
    return sockets.length - before;
  };
  expect(await refuseFor(60_000)).toBeLessThanOrEqual(9);
  expect(await refuseFor(60_000)).toBeLessThanOrEqual(6);
  while (sockets.length === answered) await vi.advanceTimersByTimeAsync(500);
  sockets.at(-1)!.events.message('[1,"o","a"]\n');
  expect(await refuseFor(1_500)).toBe(1);
});

test('a session that has ended is no longer followed; an index that cannot be read is requested again', async () => {
  let answer: () => Promise<ReplayIndex> = () => Promise.reject(new Error('away'));
  const { replay, sockets } = open(() => answer());
  await vi.advanceTimersByTimeAsync(0);
  sockets[0]!.events.closed(liveCloses.over);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(replay.state.live).toBe(true);
  answer = async () => ({ ...live, live: false });
  await vi.advanceTimersByTimeAsync(60_000);
  expect([replay.state.live, sockets.length]).toEqual([false, 1]);
});

test('after closing, it neither shows nor requests anything', async () => {
  const { follower, sockets, shown } = open();
  await vi.advanceTimersByTimeAsync(0);
  follower.close();
  sockets[0]!.events.message('[1,"o","late"]\n');
  sockets[0]!.events.closed(liveCloses.unavailable);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([shown, sockets.length]).toEqual([[], 1]);
});
