import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RecordCount } from './record-count.js';

it('however events are counted, written late, lost or taken away: every one that was taken is told, and no other', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('happen' as const), many: fc.integer({ min: 1, max: 9 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), many: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), many: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unfollow' as const), many: fc.constant(1) }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('look' as const), many: fc.integer({ min: 1, max: 1_500 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const count = new RecordCount();
      let seen = 0,
        lost = 0,
        unfollowed = 0,
        waiting = 0,
        taken = 0,
        told = 0,
        now = 0;
      for (const { kind, many } of steps) {
        if (kind === 'happen') {
          seen += many;
          waiting += many;
        }
        if (kind === 'lose') {
          seen += many;
          lost += many;
        }
        if (kind === 'take') {
          seen += many;
          taken += many;
        }
        if (kind === 'unfollow') {
          lost += many;
          unfollowed += many;
        }
        if (kind !== 'look') continue;
        now += many;
        count.came(waiting);
        waiting = 0;
        told += count.check({ seen, lost, unfollowed }, now, true);
        expect(told).toBeLessThanOrEqual(taken);
      }
      count.came(waiting);
      told += count.last({ seen, lost, unfollowed }) ?? count.last({ seen, lost, unfollowed })!;
      expect(told).toBe(taken);
      expect(count.last({ seen, lost, unfollowed })).toBe(0);
    }),
  );
});

it('an event that was counted and is being written is no hole, and a count that goes back is one', () => {
  const count = new RecordCount();
  count.came(1);
  expect(count.check({ seen: 2, lost: 0, unfollowed: 0 }, 0, true)).toBe(0);
  count.came(1);
  expect(count.check({ seen: 3, lost: 0, unfollowed: 0 }, 1_000, true)).toBe(0);
  count.came(1);
  expect(count.check({ seen: 3, lost: 0, unfollowed: 0 }, 2_000, true)).toBe(0);
  expect(count.check({ seen: 0, lost: 0, unfollowed: 0 }, 3_000, true)).toBe(1);
});
