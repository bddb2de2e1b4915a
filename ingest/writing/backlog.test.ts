import { expect, it } from 'vitest';
import { Backlog } from './backlog.js';

it('a queue says what waits, what was done since it last was empty, and since when', () => {
  let now = 1_000;
  const backlog = new Backlog('sealing', 'sessions', () => now);
  expect(backlog.report()).toEqual({ name: 'sealing', unit: 'sessions', waiting: 0, done: 0, total: 0, since: null });
  backlog.add(3);
  now = 2_000;
  backlog.add();
  backlog.settle();
  expect(backlog.report()).toMatchObject({ waiting: 3, done: 1, total: 1, since: 1_000 });
  backlog.settle(3);
  expect(backlog.report()).toMatchObject({ waiting: 0, done: 0, total: 4, since: null });
  backlog.add(0);
  expect(backlog.report().since).toBe(null);
  backlog.add();
  expect(backlog.report()).toMatchObject({ waiting: 1, done: 0, total: 4, since: 2_000 });
});
