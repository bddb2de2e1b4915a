import { expect, it } from 'vitest';
import { ASK_MS, Keepalive, SILENT_MS } from './keepalive.js';

function scene() {
  let now = 0;
  let waiting: { readonly at: number; readonly callback: () => void } | null = null;
  const told: string[] = [];
  const keepalive = new Keepalive(
    {
      now: () => now,
      after: (ms, callback) => {
        const one = { at: now + ms, callback };
        waiting = one;
        return () => {
          if (waiting === one) waiting = null;
        };
      },
    },
    { ask: () => told.push('ask'), silent: (is) => told.push(is ? 'silent' : 'back') },
  );
  const pass = (ms: number): void => {
    const end = now + ms;
    while (waiting !== null && waiting.at <= end) {
      const { at, callback } = waiting;
      waiting = null;
      now = at;
      callback();
    }
    now = end;
  };
  return { keepalive, told, pass, idle: () => waiting === null };
}

it('a client that answers counts as present, however long it sends nothing else', () => {
  const { keepalive, told, pass } = scene();
  for (let i = 1; i <= 100; i += 1) {
    pass(ASK_MS);
    expect(told.length).toBe(i);
    keepalive.heard();
  }
  expect(new Set(told)).toEqual(new Set(['ask']));
});

it('a client that does not answer is reported silent once, gets no more questions, and is back when it sends anything', () => {
  const { keepalive, told, pass } = scene();
  pass(SILENT_MS - 1);
  expect(told).toEqual(['ask', 'ask']);
  pass(1);
  expect(told).toEqual(['ask', 'ask', 'silent']);
  pass(100 * ASK_MS);
  expect(told).toEqual(['ask', 'ask', 'silent']);
  keepalive.heard();
  keepalive.heard();
  expect(told).toEqual(['ask', 'ask', 'silent', 'back']);
  pass(ASK_MS);
  expect(told.at(-1)).toBe('ask');
});

it('a client that has left leaves no timer', () => {
  const { keepalive, pass, told, idle } = scene();
  pass(ASK_MS);
  keepalive.stop();
  expect(idle()).toBe(true);
  pass(10 * ASK_MS);
  expect(told).toEqual(['ask']);
});
