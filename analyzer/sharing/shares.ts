/**
 * Which shares of the sessions (schemas/events/shares.ts) a seat has, among the seats that are taken.
 *
 * Each share goes to the seat with the highest weight for it (rendezvous hashing): every analyzer computes the same from the same seats, and
 * when a seat is taken or given up, only the shares that it gains or had change hands.
 */
import { SHARES } from '#schemas/events/shares.js';

/** Shares of `seat`; none if it is not among `seats`. */
export function sharesOf(seat: number, seats: readonly number[]): ReadonlySet<number> {
  const own = new Set<number>();
  for (let share = 0; share < SHARES; share += 1) {
    let best = -1;
    let most = -1;
    for (const one of seats) {
      const weight = weightOf(one, share);
      // The numbers of two seats decide between equal weights.
      if (weight < most || (weight === most && one < best)) continue;
      best = one;
      most = weight;
    }
    if (best === seat) own.add(share);
  }
  return own;
}

/** The finalizer of MurmurHash3, which spreads neighbouring numbers. */
function weightOf(seat: number, share: number): number {
  let hash = Math.imul(seat * SHARES + share + 1, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
