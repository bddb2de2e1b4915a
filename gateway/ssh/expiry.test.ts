import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Expiry } from './expiry.js';

beforeEach(() => { vi.useFakeTimers({ now: 1_000_000 }); });
afterEach(() => { vi.useRealTimers(); });

it('calls back in order of time, once, and never those that were taken back', () => {
  const expiry = new Expiry(Date.now);
  const calls: string[] = [];
  expiry.at(1_003, () => calls.push('c'));
  const cancel = expiry.at(1_002, () => calls.push('never'));
  expiry.at(1_001, () => calls.push('a'));
  expiry.at(1_001, () => calls.push('b'));
  cancel();
  expect(expiry.size).toBe(2);
  vi.advanceTimersByTime(999);
  expect(calls).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(calls).toEqual(['a', 'b']);
  vi.advanceTimersByTime(60_000);
  expect(calls).toEqual(['a', 'b', 'c']);
  expect(expiry.size).toBe(0);
});

it('waits for a time beyond what a timer can wait, and calls at once for a time that is over', () => {
  const expiry = new Expiry(Date.now);
  const calls: string[] = [];
  expiry.at(1_000 + 40 * 86_400, () => calls.push('far'));
  expiry.at(10, () => calls.push('past'));
  vi.advanceTimersByTime(0);
  expect(calls).toEqual(['past']);
  vi.advanceTimersByTime(39 * 86_400_000);
  expect(calls).toEqual(['past']);
  vi.advanceTimersByTime(86_400_000);
  expect(calls).toEqual(['past', 'far']);
});

it('closed, it calls nobody', () => {
  const expiry = new Expiry(Date.now);
  expiry.at(1_001, () => { throw new Error('called'); });
  expiry.close();
  vi.advanceTimersByTime(5_000);
});
