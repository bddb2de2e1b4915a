import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Replay } from './replay.js';
import type { Dispatch, ReplayIndex } from './replay.js';
import { parseLines } from './segments.js';
import { SHORT_MS } from './short.js';

/** Three segments of ten seconds, one line a second, and the expected content of the terminal: the text since the last reset. */
const stored: ReplayIndex = {
  cols: 80,
  rows: 24,
  duration: 30_000,
  live: false,
  block: 30,
  segments: [{ start: 0 }, { start: 10_000 }, { start: 20_000 }],
};
const keyframe = (screen: string): string => `[0,"k",${JSON.stringify({ cols: 80, rows: 24, screen })}]\n`;
const textOf = (n: number): string => {
  const before = Array.from({ length: n * 10 }, (_, i) => `${i + 1}.`).join('');
  return keyframe(before) + Array.from({ length: 10 }, (_, i) => `[1,"o","${n * 10 + i + 1}."]\n`).join('');
};
const screenAt = (ms: number): string => Array.from({ length: Math.floor(ms / 1000) }, (_, i) => `${i + 1}.`).join('');

// This folder has the types of no runtime.
declare function setTimeout(run: () => void, ms: number): number;
declare function clearTimeout(timer: number): void;

const driverOf = (replay: Replay, dispatch: Dispatch) => ({ init: (): Promise<void> => replay.open(dispatch) });
const after = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

function open(index: ReplayIndex = stored, startAt: number | null = 0) {
  const terminal = { text: '', resets: 0 };
  const asked: number[] = [];
  const dispatch = ((name: string, data: never) => {
    if (name === 'reset') {
      terminal.text = (data as { init: string }).init;
      terminal.resets += 1;
    }
    if (name === 'output') terminal.text += data as string;
  }) as Dispatch;
  const replay = new Replay({
    index,
    newlines: false,
    now: () => Date.now(),
    after,
    startAt,
    load: async (n) => {
      asked.push(n);
      return parseLines(textOf(n), n * 10_000, false);
    },
  });
  const driver = driverOf(replay, dispatch);
  return { replay, driver, terminal, asked };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each([0, 999, 1000, 9_999, 10_000, 10_500, 19_999, 25_400, 30_000])('a seek to %d ms shows that moment', async (ms) => {
  const { replay, driver, terminal } = open();
  await driver.init();
  await replay.seek(ms);
  expect(terminal.text).toBe(screenAt(ms));
  await replay.seek(3_000);
  expect(terminal.text).toBe(screenAt(3_000));
});

test('a seek needs one segment and prefetches the next', async () => {
  const { driver, asked } = open(stored, 12_000);
  await driver.init();
  expect(asked).toEqual([1, 2]);
});

test('the segment of a likely seek is prefetched', async () => {
  const { replay, driver, asked, terminal } = open();
  await driver.init();
  replay.prepare(25_000);
  expect(asked).toEqual([0, 1, 2]);
  await replay.seek(25_000);
  expect([asked, terminal.text]).toEqual([[0, 1, 2], screenAt(25_000)]);
});

test('the later of two seeks counts', async () => {
  const { replay, driver, terminal } = open();
  await driver.init();
  const first = replay.seek(25_000);
  await replay.seek(15_000);
  await first;
  expect([terminal.text, replay.position]).toEqual([screenAt(15_000), 15_000]);
});

test('plays in real time, across segments, to its end, and from the start again', async () => {
  const { replay, driver, terminal } = open();
  await driver.init();
  replay.play();
  await vi.advanceTimersByTimeAsync(12_500);
  expect(terminal.text).toBe(screenAt(12_500));
  await vi.advanceTimersByTimeAsync(20_000);
  expect([replay.state.phase, terminal.text, terminal.resets]).toEqual(['ended', screenAt(30_000), 1]);
  replay.play();
  await vi.advanceTimersByTimeAsync(2_500);
  expect(terminal.text).toBe(screenAt(2_000));
});

test('a short recording opens as it ended, and plays from its beginning', async () => {
  const short = { ...stored, duration: SHORT_MS - 1 };
  const { replay, driver, terminal } = open(short, null);
  await driver.init();
  expect(terminal.text).toBe('1.');
  replay.play();
  await vi.advanceTimersByTimeAsync(0);
  expect(replay.position).toBeLessThan(100);
  const { replay: long, driver: other } = open(stored, null);
  await other.init();
  expect(long.position).toBe(0);
  for (const one of [replay, long]) one.close();
});

test('speed changes during playback; pausing keeps the moment', async () => {
  const { replay, driver, terminal } = open();
  await driver.init();
  replay.setSpeed(4);
  replay.play();
  await vi.advanceTimersByTimeAsync(2_100);
  replay.setSpeed(0.5);
  await vi.advanceTimersByTimeAsync(4_000);
  replay.pause();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([terminal.text, Math.round(replay.position / 100)]).toEqual([screenAt(10_000), 104]);
});

test('idle time is skipped on request', async () => {
  const index = { ...stored, duration: 600_000, segments: [{ start: 0 }] };
  const terminal = { text: '' };
  const replay = new Replay({
    index,
    newlines: false,
    now: () => Date.now(),
    after,
    startAt: 0,
    load: async () => parseLines('[1,"o","a"]\n[590,"o","b"]\n[9,"o","c"]\n', 0, false),
  });
  const driver = driverOf(
    replay,
    ((name: string, data: unknown) => void (name === 'output' && (terminal.text += String(data)))) as Dispatch,
  );
  await driver.init();
  replay.setSkipIdle(true);
  replay.play();
  await vi.advanceTimersByTimeAsync(3_000);
  expect([terminal.text, replay.state.phase]).toEqual(['abc', 'ended']);
});

test('a live session is followed, rewound, and caught up with', async () => {
  const live = { ...stored, live: true };
  const { replay, driver, terminal } = open(live, null);
  await driver.init();
  expect([replay.state.following, terminal.text]).toEqual([true, screenAt(30_000)]);
  replay.live('[1,"o","31."]\n');
  expect(terminal.text).toBe(screenAt(31_000));
  await replay.seek(5_000);
  replay.live('[1,"o","32."]\n');
  expect([replay.state.following, terminal.text, replay.state.duration]).toEqual([false, screenAt(5_000), 32_000]);
  await replay.seek(31_000);
  expect(terminal.text).toBe(screenAt(31_000));
  await replay.follow();
  expect([replay.state.following, terminal.text, replay.block]).toEqual([true, screenAt(32_000), 32]);
});

test('missed output of a live session is caught up with, and then followed at its own speed', async () => {
  const { replay, driver, terminal } = open({ ...stored, live: true }, null);
  await driver.init();
  replay.pause();
  for (let second = 31; second <= 50; second++) replay.live(`[1,"o","${second}."]\n`);
  replay.live('[600,"o","650."]\n');
  expect([terminal.text, replay.position, replay.state.duration]).toEqual([screenAt(30_000), 30_000, 650_000]);
  replay.catchUp();
  await vi.advanceTimersByTimeAsync(2_600);
  expect([terminal.text, replay.state.following]).toEqual([screenAt(40_000), false]);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(terminal.text).toBe(`${screenAt(50_000)}650.`);
  expect(replay.state).toMatchObject({ phase: 'playing', following: true, speed: 1, skipIdle: false });
  // Seeking back then plays at the session's own speed; skipping of idle time stays on.
  await replay.seek(20_000);
  replay.setSkipIdle(true);
  replay.setSpeed(8);
  await replay.follow();
  expect(replay.state).toMatchObject({ following: true, speed: 1, skipIdle: true });
  replay.catchUp();
  expect(replay.state).toMatchObject({ following: true, speed: 1 });
});

test('pausing, seeking back, catching up and going live in any order shows the same screen as a terminal at that moment', async () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant('live' as const) }),
    fc.record({ kind: fc.constant('draft' as const), characters: fc.integer({ min: 1, max: 3 }), begins: fc.boolean() }),
    fc.record({ kind: fc.constant('stored' as const) }),
    fc.record({ kind: fc.constant('pause' as const) }),
    fc.record({ kind: fc.constant('play' as const) }),
    fc.record({ kind: fc.constant('catch up' as const) }),
    fc.record({ kind: fc.constant('go live' as const) }),
    fc.record({ kind: fc.constant('seek' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 5_000 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
      const index = (segments: number): ReplayIndex => ({
        ...{ cols: 80, rows: 24, live: true, duration: segments * 10_000, block: segments * 10 },
        segments: Array.from({ length: segments }, (_, n) => ({ start: n * 10_000 })),
      });
      let [seconds, segments, drafted] = [20, 2, ''];
      // A moment whose output came in pieces: pausing there showed only the pieces received so far.
      const inPieces = new Set<number>();
      const { replay, driver, terminal } = open(index(segments), null);
      await driver.init();
      for (const one of acts) {
        if (one.kind === 'live') {
          replay.live(`[1,"o","${++seconds}."]\n`);
          drafted = '';
        } else if (one.kind === 'draft') {
          const more = `${seconds + 1}.`.slice(0, Math.max(drafted.length, one.characters)).slice(drafted.length);
          const begins = drafted === '' || one.begins;
          const before = begins ? `[1,"o","${drafted}` : '';
          drafted += more;
          replay.draft(before + more, begins);
          inPieces.add((seconds + 1) * 1_000);
        } else if (one.kind === 'stored' && seconds >= (segments + 1) * 10) replay.update(index(++segments));
        else if (one.kind === 'pause') replay.pause();
        else if (one.kind === 'play') replay.play();
        else if (one.kind === 'catch up') replay.catchUp();
        else if (one.kind === 'go live') await replay.follow();
        else if (one.kind === 'seek') await replay.seek(one.share * replay.state.duration);
        else if (one.kind === 'wait') await vi.advanceTimersByTimeAsync(one.ms);
        await vi.advanceTimersByTimeAsync(0);
        expect(replay.state.duration).toBe((drafted === '' ? seconds : seconds + 1) * 1_000);
        if (replay.state.following) expect(terminal.text).toBe(screenAt(seconds * 1_000) + drafted);
        else if (replay.state.phase === 'paused' && inPieces.has(replay.position)) {
          expect(screenAt(replay.position).startsWith(terminal.text)).toBe(true);
          expect(terminal.text.startsWith(screenAt(replay.position - 1_000))).toBe(true);
        } else if (replay.state.phase === 'paused') expect(terminal.text).toBe(screenAt(replay.position));
      }
      await replay.follow();
      expect([terminal.text, replay.position]).toEqual([screenAt(seconds * 1_000) + drafted, replay.state.duration]);
      replay.close();
    }),
    { numRuns: 200 },
  );
});

test('a block that differs from its drafts is redrawn', async () => {
  const { replay, driver, terminal } = open({ ...stored, live: true }, null);
  await driver.init();
  replay.draft('[1,"o","31."]\n[1,"o","lost', true);
  expect(terminal.text).toBe(`${screenAt(31_000)}lost`);
  replay.live('[1,"o","31."]\n[2,"o","33."]\n');
  await vi.advanceTimersByTimeAsync(0);
  expect([terminal.text, replay.state.following, replay.position]).toEqual([`${screenAt(31_000)}33.`, true, 33_000]);
  // Nor is a draft that begins differently from every other.
  replay.draft('[1,"o","34', true);
  replay.draft('[1,"o","x', true);
  await vi.advanceTimersByTimeAsync(0);
  expect(terminal.text).toBe(`${screenAt(31_000)}33.x`);
});

test('blocks that arrive while the replay opens are shown', async () => {
  const { replay, driver, terminal } = open({ ...stored, live: true }, null);
  const opening = driver.init();
  replay.live('[1,"o","31."]\n');
  await opening;
  replay.live('[1,"o","32."]\n');
  expect(terminal.text).toBe(screenAt(32_000));
});

test('segments replace the tail without a flicker, and the end of the session ends the replay', async () => {
  const { replay, driver, terminal } = open(
    { ...stored, live: true, duration: 20_000, block: 20, segments: stored.segments.slice(0, 2) },
    null,
  );
  await driver.init();
  for (let second = 21; second <= 30; second++) replay.live(`[1,"o","${second}."]\n`);
  const { resets } = terminal;
  replay.update({ ...stored, live: true });
  expect([terminal.text, terminal.resets, replay.tailCharacters]).toEqual([screenAt(30_000), resets, 0]);
  replay.update(stored);
  expect([replay.state.phase, replay.state.following, replay.state.live]).toEqual(['ended', false, false]);
  await replay.seek(22_000);
  expect(terminal.text).toBe(screenAt(22_000));
});

test('a segment that cannot be read is reported, and a later seek retries', async () => {
  let broken = true;
  const replay = new Replay({
    index: stored,
    newlines: false,
    now: () => Date.now(),
    after,
    startAt: 0,
    load: async (n) => {
      if (broken) throw new Error('the store does not answer');
      return parseLines(textOf(n), n * 10_000, false);
    },
  });
  const driver = driverOf(replay, (() => undefined) as Dispatch);
  await driver.init();
  expect([replay.state.phase, replay.state.error]).toEqual(['failed', 'the store does not answer']);
  broken = false;
  await replay.seek(0);
  expect([replay.state.phase, replay.state.error]).toEqual(['paused', null]);
});

test('renumbered segments are fetched again, and a running seek still completes', async () => {
  const { replay, driver, terminal, asked } = open();
  await driver.init();
  await replay.seek(15_000);
  const before = asked.length;
  const seeking = replay.seek(25_000);
  replay.update({
    ...stored,
    segments: [{ start: 0 }, { start: 10_000 }, { start: 20_000 }, { start: 30_000 }].filter(({ start }) => start !== 10_000),
  });
  await seeking;
  await vi.advanceTimersByTimeAsync(0);
  expect(asked.length).toBeGreaterThan(before);
  expect(replay.position).toBe(25_000);
  expect(terminal.resets).toBeGreaterThan(1);
});

test('a recording that is opened at a damaged segment shows the others', async () => {
  const shown: string[] = [];
  const replay = new Replay({
    index: stored,
    newlines: false,
    now: () => Date.now(),
    after,
    startAt: 25_000,
    load: async (n) => (n === 2 ? Promise.reject(new Error('it is damaged')) : parseLines(textOf(n), n * 10_000, false)),
  });
  const driver = driverOf(replay, ((name: string, data: never) => void (name === 'output' && shown.push(data))) as Dispatch);
  await driver.init();
  expect([replay.state.phase, replay.state.error]).toEqual(['failed', 'it is damaged']);
  await replay.seek(2_000);
  expect([replay.state.phase, shown.join('')]).toEqual(['paused', '1.2.']);
});

test('played from start to end, a recording shows its lines only, whatever keyframes and segment starts the store claims', async () => {
  const starts = fc
    .array(fc.integer({ min: 0, max: 30_000 }), { minLength: 3, maxLength: 3 })
    .map((list) => [...list].sort((a, b) => a - b));
  await fc.assert(
    fc.asyncProperty(
      starts,
      fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
      fc.constantFrom(1, 4, 16),
      async (claimed, forged, speed) => {
        const shown: string[] = [];
        const replay = new Replay({
          index: { ...stored, segments: claimed.map((start) => ({ start })) },
          newlines: false,
          now: () => Date.now(),
          after,
          startAt: 0,
          load: async (n) => parseLines((forged[n]! ? keyframe('FORGED') : '') + textOf(n), n * 10_000, false),
        });
        const driver = driverOf(replay, ((name: string, data: never) => {
          if (name === 'reset') shown.push((data as { init: string }).init);
          if (name === 'output') shown.push(data);
        }) as Dispatch);
        await driver.init();
        replay.setSpeed(speed);
        replay.play();
        await vi.advanceTimersByTimeAsync(40_000);
        expect(replay.state.phase).toBe('ended');
        expect(shown.join('')).toBe(screenAt(30_000));
        replay.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('steps from change to change in both directions, across segments, and stops at both ends', async () => {
  const { replay, driver, terminal } = open();
  await driver.init();
  const seen: number[] = [];
  for (let i = 0; i < 31; i++) {
    await replay.step(1);
    seen.push(replay.position);
    expect(terminal.text).toBe(screenAt(replay.position));
  }
  expect(seen).toEqual([...Array.from({ length: 30 }, (_, i) => (i + 1) * 1_000), 30_000]);
  for (let second = 29; second >= 1; second--) {
    await replay.step(-1);
    expect([replay.position, terminal.text]).toEqual([second * 1_000, screenAt(second * 1_000)]);
  }
  await replay.step(-1);
  expect(replay.position).toBe(1_000);
  replay.play();
  await replay.step(1);
  expect(replay.state.phase).toBe('paused');
});
