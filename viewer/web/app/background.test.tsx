import { expect, test } from 'vitest';
import type { QueueReport } from '#schemas/api/recordings/status.js';
import { left, waiting } from './background.js';

const queue = (name: QueueReport['name'], unit: QueueReport['unit'], rest: number, done: number, since: number | null): QueueReport => ({
  name,
  unit,
  waiting: rest,
  done,
  total: rest + done,
  since,
});

test('only what has waited for five seconds is shown', () => {
  const now = 1_000_000;
  const queues = [
    queue('sealing', 'sessions', 3, 197, now - 5_000),
    queue('indexing', 'bytes', 10, 0, now - 4_999),
    queue('storing', 'bytes', 0, 5, null),
    queue('rows', 'rows', 1, 0, now - 60_000),
  ];
  expect(waiting(queues, now).map(({ name }) => name)).toEqual(['sealing', 'rows']);
});

test('a line says how much of how much is left, in its unit', () => {
  expect(left(queue('sealing', 'sessions', 3, 197, 0))).toBe('Sealing ended sessions: 3 of 200 left');
  expect(left(queue('storing', 'bytes', 1 << 20, 3 << 20, 0))).toBe('Storing recordings: 1.0 MiB of 4.0 MiB left');
});
