import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { AdmissionQueue } from './admission-queue.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const limits = { perSource: 2, waiting: 6, waitingPerSource: 4, waitMs: 1_000 };

it('connections beyond the limits wait for earlier ones of their source, and are refused when they wait too long', () => {
  const queue = new AdmissionQueue(limits);
  const begun: string[] = [];
  const refused: string[] = [];
  const release: (() => void)[] = [];
  const enter = (source: string, name: string): void =>
    queue.enter(
      source,
      (done) => {
        begun.push(name);
        release.push(done);
      },
      (reason) => refused.push(`${name}: ${reason}`),
    );
  for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7']) enter('a', name);
  expect(begun).toEqual(['a1', 'a2']);
  expect(refused).toEqual(['a7: too many connections are waiting to be admitted']);
  for (const name of ['b1', 'b2', 'b3', 'b4']) enter('b', name);
  enter('c', 'c1');
  // At most six connections wait. A source with a free slot does not wait for other sources.
  expect(begun).toEqual(['a1', 'a2', 'b1', 'b2', 'c1']);
  enter('c', 'c2');
  enter('c', 'c3');
  expect(refused.slice(1)).toEqual(['c3: too many connections are waiting to be admitted']);
  release[0]!();
  release[0]!();
  expect(begun.at(-1)).toBe('a3');
  release[2]!();
  expect(begun.at(-1)).toBe('b3');
  vi.advanceTimersByTime(1_000);
  expect(
    refused
      .slice(2)
      .map((text) => text.slice(0, 2))
      .sort(),
  ).toEqual(['a4', 'a5', 'a6', 'b4']);
});

it('in any order of events, no limit is exceeded, each connection is started or refused once, and none waits beside a free slot', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('enter' as const), source: fc.constantFrom('a', 'b', 'c', 'd') }),
    fc.record({ kind: fc.constant('release' as const), which: fc.nat() }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 700 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const queue = new AdmissionQueue(limits);
      const open: { source: string; release: () => void }[] = [];
      const state = new Map<number, string>();
      const sources = new Map<number, string>();
      let id = 0;
      for (const one of steps) {
        if (one.kind === 'wait') vi.advanceTimersByTime(one.ms);
        else if (one.kind === 'release') open.splice(one.which % (open.length || 1), 1)[0]?.release();
        else {
          const me = id++;
          sources.set(me, one.source);
          state.set(me, 'waiting');
          const become = (what: string): void => {
            expect(state.get(me)).toBe('waiting');
            state.set(me, what);
          };
          queue.enter(
            one.source,
            (release) => {
              become('begun');
              open.push({ source: one.source, release });
            },
            () => become('refused'),
          );
        }
        const of = (source: string): number => open.filter((entry) => entry.source === source).length;
        for (const source of ['a', 'b', 'c', 'd']) expect(of(source)).toBeLessThanOrEqual(limits.perSource);
        for (const [me, now] of state) {
          if (now === 'waiting') expect(of(sources.get(me)!)).toBe(limits.perSource);
        }
      }
      for (let next = open.shift(); next !== undefined; next = open.shift()) next.release();
      expect([...state.values()]).not.toContain('waiting');
    }),
    { numRuns: 300 },
  );
});
