import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ENOUGH, hoursAround, isFar, isRare, medianOf, noveltyOf, rareInEvery, spreadOf } from './judgement.js';

const HOUR = 3_600_000;
const sizes = fc.array(fc.nat(1_000_000), { minLength: ENOUGH.measured, maxLength: 60 });

describe('judgements', () => {
  it('say nothing without history', () => {
    expect(
      spreadOf(
        Array.from({ length: ENOUGH.measured - 1 }, () => 5),
        1e9,
      ),
    ).toBeNull();
    expect(isRare(0, ENOUGH.people - 1)).toBe(false);
    expect(noveltyOf([])).toBe(1);
  });

  it('of amounts do not depend on the order of the past, and grow with the amount', () => {
    fc.assert(
      fc.property(sizes, fc.nat(1e9), fc.nat(1e9), (past, a, b) => {
        const [small, large] = [Math.min(a, b), Math.max(a, b)];
        const spread = spreadOf(past, small)!;
        expect(spreadOf([...past].reverse(), small)).toEqual(spread);
        expect(spreadOf(past, large)!.above).toBeGreaterThanOrEqual(spread.above);
        expect(isFar(spreadOf(past, Math.max(...past))!, Math.max(...past))).toBe(false);
      }),
    );
  });

  it('of roles do not depend on their order, and one that explains it is enough', () => {
    const role = fc.record({ people: fc.nat(40), others: fc.option(fc.nat(40), { nil: null }) });
    fc.assert(
      fc.property(fc.array(role, { maxLength: 6 }), (roles) => {
        const found = rareInEvery(roles);
        const back = rareInEvery([...roles].reverse());
        expect(back?.people).toBe(found?.people);
        if (found !== null) {
          expect(isRare(found.others, found.people)).toBe(true);
          expect(found.people).toBe(Math.max(...roles.map(({ people }) => people)));
        }
        expect(rareInEvery([...roles, { people: 20, others: 15 }])).toBeNull();
        expect(rareInEvery([...roles, { people: 2, others: 1 }])).toBeNull();
        expect(rareInEvery([...roles, { people: 20, others: null }])).toBeNull();
      }),
    );
    expect(rareInEvery([{ people: ENOUGH.people - 1, others: 0 }])).toBeNull();
    expect(rareInEvery([])).toBeNull();
  });

  it('of amounts are not moved by one session that was far out', () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1_000_000, max: 1e12 }), (past, far) => {
        const moved = Math.abs(medianOf([...past, far]) - medianOf(past));
        const sorted = past.toSorted((a, b) => a - b);
        const middle = sorted.length >> 1;
        expect(moved).toBeLessThanOrEqual(sorted[Math.min(sorted.length - 1, middle + 1)]! - sorted[Math.max(0, middle - 2)]!);
      }),
    );
  });

  it('of rarity go down with the number of people who did it', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), (others, people) => {
        if (isRare(others + 1, people)) expect(isRare(others, people)).toBe(true);
        if (isRare(others, people)) expect(isRare(others, people + 1)).toBe(true);
      }),
    );
  });

  it('of hours go around midnight', () => {
    const at = (hour: number): number => 20_000 * 86_400_000 + hour * HOUR;
    expect(hoursAround([at(23.5), at(0.9), at(2)], at(0.2)).near).toBe(2);
    expect(
      hoursAround(
        Array.from({ length: 24 }, () => at(12)),
        at(3),
      ),
    ).toEqual({ near: 0, chance: Math.exp(-2) });
  });
});
