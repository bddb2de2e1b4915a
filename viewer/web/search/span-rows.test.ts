import fc from 'fast-check';
import { expect, test } from 'vitest';
import { axisOf, barsOf, crowdOf, ticksOf } from './span-rows.js';

type Found = Parameters<typeof barsOf>[0][number];
const hour = 3_600_000;
const now = Date.UTC(2026, 4, 3);

function found(id: string, from: number, length: number, live = false): Found {
  const session = { id, started_at: from, duration: length, ended_at: live ? null : from + length };
  return { session: session as Found['session'], count: 1 };
}

const anySessions = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 50 }), fc.boolean()), { minLength: 1, maxLength: 20 })
  .map((all) => all.map(([from, length, live], n) => found(`s${n}`, now - (100 - from) * hour, length * hour, live)));
const anySpan = fc.record({
  from: fc.option(fc.integer({ min: 0, max: 100 }).map((at) => now - (100 - at) * hour)),
  to: fc.option(fc.integer({ min: 101, max: 200 }).map((at) => now - (100 - at) * hour)),
});

test('every bar lies within the axis, and says where its session goes on', () => {
  fc.assert(
    fc.property(anySessions, anySpan, (sessions, span) => {
      const axis = axisOf(span, sessions, now);
      expect(axis.to).toBeGreaterThan(axis.from);
      const bars = barsOf(sessions, axis);
      expect(bars.map(({ session }) => session.id).sort()).toEqual(sessions.map(({ session }) => session.id).sort());
      for (const { session, left, width, cutLeft, cutRight } of bars) {
        expect(left).toBeGreaterThanOrEqual(0);
        expect(width).toBeGreaterThanOrEqual(0);
        expect(left + width).toBeLessThanOrEqual(1 + 1e-9);
        if (!cutLeft && !cutRight) expect(width * (axis.to - axis.from)).toBeCloseTo(session.duration, 0);
      }
    }),
  );
});

test('the crowd is the most sessions over one moment', () => {
  fc.assert(
    fc.property(anySessions, (sessions) => {
      const bars = barsOf(sessions, axisOf({ from: null, to: null }, sessions, now));
      const over = bars.map(({ from }) => bars.filter((bar) => bar.from <= from && bar.to >= from).length);
      expect(crowdOf(bars)).toBe(Math.max(...over));
    }),
  );
});

test('ticks are few, in order and within the axis, however long it is', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: now }), fc.integer({ min: 60_000, max: 20 * 365 * 24 * hour }), (from, length) => {
      const ticks = ticksOf({ from, to: from + length });
      expect(ticks.length).toBeLessThanOrEqual(8);
      expect(ticks.map(({ at }) => at)).toEqual(ticks.map(({ at }) => at).sort((a, b) => a - b));
      for (const { share } of ticks) {
        expect(share).toBeGreaterThanOrEqual(0);
        expect(share).toBeLessThanOrEqual(1);
      }
    }),
  );
});

test('a span that reaches into the future ends now', () => {
  expect(axisOf({ from: now - hour, to: now + 5 * hour }, [found('a', now - hour, 10)], now)).toEqual({ from: now - hour, to: now });
});
