import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { WAIT_MS, untilListed } from './listing.js';

// The types of this folder belong to no runtime.
declare function setTimeout(run: () => void, ms: number): number;
declare function clearTimeout(timer: number): void;

const after = (ms: number, run: () => void): (() => void) => {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
};

function wait(answer: (n: number) => Promise<boolean>) {
  const state = { looks: 0, stopped: false, outcome: 'waiting' };
  untilListed({ after, look: () => answer(++state.looks), stopped: () => state.stopped }).then(
    (listed) => (state.outcome = listed ? 'listed' : 'unlisted'),
    (error: Error) => (state.outcome = error.message),
  );
  return state;
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('looks once a second until the session is listed', async () => {
  const state = wait(async (n) => n === 4);
  await vi.advanceTimersByTimeAsync(2_500);
  expect(state).toMatchObject({ looks: 3, outcome: 'waiting' });
  await vi.advanceTimersByTimeAsync(WAIT_MS);
  expect(state).toMatchObject({ looks: 4, outcome: 'listed' });
});

test('gives up after a bounded wait', async () => {
  const state = wait(async () => false);
  await vi.advanceTimersByTimeAsync(WAIT_MS);
  const { looks } = state;
  expect(state.outcome).toBe('unlisted');
  await vi.advanceTimersByTimeAsync(WAIT_MS);
  expect(state.looks).toBe(looks);
});

test('looks no more once stopped, and an answer that comes later counts for nothing', async () => {
  let answer: (listed: boolean) => void = () => undefined;
  const state = wait(() => new Promise((resolve) => (answer = resolve)));
  state.stopped = true;
  answer(true);
  await vi.advanceTimersByTimeAsync(WAIT_MS);
  expect(state).toMatchObject({ looks: 1, outcome: 'unlisted' });
});

test('any other failure ends the wait', async () => {
  const state = wait(async () => {
    throw new Error('Steno does not answer');
  });
  await vi.advanceTimersByTimeAsync(WAIT_MS);
  expect(state).toMatchObject({ looks: 1, outcome: 'Steno does not answer' });
});
