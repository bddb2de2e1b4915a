import { expect, it } from 'vitest';
import { Members } from './members.js';
import { kinds } from './record.js';
import type { KernelRecord } from './record.js';

it('who is of a session: forked there and not ended yet, and a number that comes again counts anew', () => {
  const members = new Members();
  const take = (kind: number, session: number, pid: number, a = 0): void => members.take({ kind, session, pid, a } as KernelRecord);
  take(kinds.fork, 1, 5, 10);
  take(kinds.exec, 1, 10);
  take(kinds.fork, 1, 10, 11);
  expect([members.has(1, 10), members.has(1, 11), members.has(1, 5), members.has(2, 10)]).toEqual([true, true, false, false]);
  take(kinds.exit, 1, 11);
  expect(members.has(1, 11)).toBe(false);
  take(kinds.fork, 2, 6, 11);
  expect([members.has(1, 11), members.has(2, 11)]).toEqual([false, true]);
  take(kinds.exit, 1, 10);
  expect(members.has(1, 10)).toBe(false);
});
