import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Lock } from '#schemas/documents/lock.js';
import type { LockEffect } from '#schemas/lock-effect.js';
import { LockEffectReporter } from './lock-effects.js';

const lock = (id: string, target = 'mallory'): Lock => ({ id, target_kind: 'user', target, reason: '', expires_at: null });
const none = new Map<string, { connections: number; sessions: number }>();

/** An authority that accepts reports, or is away. */
class Authority {
  readonly told: LockEffect[] = [];
  away = false;
  #heard: (() => void) | undefined;

  readonly tell = async (effects: readonly LockEffect[]): Promise<void> => {
    this.#heard?.();
    if (this.away) throw new Error('away');
    this.told.push(...effects);
  };

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#heard = resolve;
    });
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const begin = (authority: Authority): LockEffectReporter => new LockEffectReporter(authority.tell, pino({ level: 'silent' }));

test('each lock is reported once, even if it ended nothing; sessions that it ends later are added', async () => {
  const authority = new Authority();
  const reporter = begin(authority);
  reporter.applied([lock('a'), lock('b')], new Map([['a', { connections: 2, sessions: 3 }]]));
  await settled();
  reporter.applied([lock('a'), lock('b')], none);
  await settled();
  expect(authority.told).toEqual([
    { lock: 'a', connections: 2, sessions: 3 },
    { lock: 'b', connections: 0, sessions: 0 },
  ]);
  reporter.applied([lock('a')], new Map([['a', { connections: 1, sessions: 1 }]]));
  await settled();
  expect(authority.told.at(-1)).toEqual({ lock: 'a', connections: 3, sessions: 4 });
  reporter.close();
});

test('another lock under the same id starts at zero, and so does a lock that returns', async () => {
  const authority = new Authority();
  const reporter = begin(authority);
  reporter.applied([lock('a')], new Map([['a', { connections: 5, sessions: 5 }]]));
  await settled();
  reporter.applied([lock('a', 'eve')], new Map([['a', { connections: 1, sessions: 0 }]]));
  await settled();
  reporter.applied([], none);
  reporter.applied([lock('a', 'eve')], none);
  await settled();
  expect(authority.told.slice(1)).toEqual([
    { lock: 'a', connections: 1, sessions: 0 },
    { lock: 'a', connections: 0, sessions: 0 },
  ]);
  reporter.close();
});

test('a report that the authority missed is repeated, with later effects added', async () => {
  const authority = new Authority();
  const reporter = begin(authority);
  authority.away = true;
  const tried = authority.next();
  reporter.applied([lock('a')], new Map([['a', { connections: 1, sessions: 1 }]]));
  await tried;
  await settled();
  authority.away = false;
  reporter.applied([lock('a'), lock('b')], new Map([['a', { connections: 1, sessions: 0 }]]));
  await settled();
  expect(authority.told).toEqual([
    { lock: 'a', connections: 2, sessions: 1 },
    { lock: 'b', connections: 0, sessions: 0 },
  ]);
  reporter.close();
});
