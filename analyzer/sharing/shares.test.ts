import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SHARES } from '#schemas/events/shares.js';
import { SEATS } from './membership.js';
import { sharesOf } from './shares.js';

const seats = fc.uniqueArray(fc.integer({ min: 0, max: SEATS - 1 }), { minLength: 1, maxLength: SEATS });

test('each share belongs to exactly one seat, whatever the order in which the seats are named', () => {
  fc.assert(
    fc.property(seats, fc.infiniteStream(fc.nat()), (taken, order) => {
      const other = taken.map((seat) => [order.next().value, seat] as const).sort(([a], [b]) => a - b).map(([, seat]) => seat); // prettier-ignore
      const owners = new Array<number>(SHARES).fill(0);
      for (const seat of taken)
        for (const share of sharesOf(seat, other)) {
          expect(sharesOf(seat, taken)).toContain(share);
          owners[share]! += 1;
        }
      expect(owners).toEqual(new Array<number>(SHARES).fill(1));
    }),
  );
});

test('when a seat is given up, only its shares change hands', () => {
  fc.assert(
    fc.property(seats, fc.nat(), (taken, which) => {
      fc.pre(taken.length > 1);
      const gone = taken[which % taken.length]!;
      const rest = taken.filter((seat) => seat !== gone);
      const freed = sharesOf(gone, taken);
      for (const seat of rest) expect([...sharesOf(seat, rest)].filter((share) => !freed.has(share))).toEqual([...sharesOf(seat, taken)]);
    }),
  );
});

test('a few analyzers have about the same number of shares', () => {
  for (let count = 2; count <= 8; count += 1) {
    const taken = Array.from({ length: count }, (_, seat) => seat);
    for (const seat of taken) {
      const { size } = sharesOf(seat, taken);
      expect(size).toBeGreaterThan(SHARES / count / 2.5);
      expect(size).toBeLessThan((SHARES / count) * 2);
    }
  }
});
