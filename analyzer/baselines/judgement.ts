/**
 * Whether something is unusual, by counts that a reader can check. Every judgement says nothing until there is enough history, and each
 * answers the numbers that it was made from. Tested in judgement.test.ts.
 */

/** History below which nothing is said. */
export const ENOUGH = { sessions: 10, days: 7, people: 5, measured: 20, hours: 24 } as const;

/** A user who does something new this often surprises nobody with it: the share of what was done in one session only (Good and Turing). */
const MAX_NOVELTY = 0.05;
/** At most this many others did it, and at most this share of them. */
const MAX_OTHERS = 2;
const MAX_SHARE = 0.2;
/** Distance from the median, in robust standard deviations of the logarithm. */
const FAR = 5;
/** Of the logarithm: a user whose sessions are all alike is allowed half as much again. */
const LEAST_DEVIATION = 0.25;

/** The estimated share of acts that are new to this user. */
export function noveltyOf(sessionsOfValue: Iterable<number>): number {
  let once = 0;
  let all = 0;
  for (const sessions of sessionsOfValue) {
    all += sessions;
    if (sessions === 1) once += 1;
  }
  return (once + 1) / (all + 1);
}

export function isTriedOften(novelty: number): boolean {
  return novelty > MAX_NOVELTY;
}

/** `others` of `people` did it: the expected share under a Beta prior of one half each way is small. */
export function isRare(others: number, people: number): boolean {
  return people >= ENOUGH.people && others <= MAX_OTHERS && (others + 0.5) / (people + 1) <= MAX_SHARE;
}

/** What people of one kind are known to have done: `others` of `people`; null: not known. */
export interface Shared {
  readonly people: number;
  readonly others: number | null;
}

/**
 * Which of a session's roles shows best that something is unusual for all of them: the one with the most people. Null where one of them explains
 * it, where one is not known, or where none has enough people. A role with few people explains what any other of them did.
 */
export function rareInEvery<Role extends Shared>(roles: readonly Role[]): (Role & { readonly others: number }) | null {
  let best: (Role & { readonly others: number }) | null = null;
  for (const role of roles) {
    const { people, others } = role;
    if (others === null || (people < ENOUGH.people ? others > 0 : !isRare(others, people))) return null;
    if (people >= ENOUGH.people && (best === null || people > best.people)) best = { ...role, others };
  }
  return best;
}

/** Sessions that began within an hour of this time of the day, and how likely none would be if hours were all alike (Poisson). */
export function hoursAround(starts: readonly number[], at: number): { readonly near: number; readonly chance: number } {
  const day = 86_400_000;
  const near = starts.filter((start) => {
    const distance = Math.abs((start % day) - (at % day));
    return Math.min(distance, day - distance) <= 3_600_000;
  }).length;
  return { near, chance: Math.exp((-starts.length * 2) / 24) };
}

export interface Spread {
  readonly median: number;
  readonly largest: number;
  /** Robust standard deviations above the median, of the logarithm. */
  readonly above: number;
}

/** Median and MAD of logarithms; null where the history is too short. */
export function spreadOf(past: readonly number[], value: number): Spread | null {
  if (past.length < ENOUGH.measured) return null;
  const logs = past.map(Math.log1p);
  const middle = medianOf(logs);
  const deviation = Math.max(LEAST_DEVIATION, 1.4826 * medianOf(logs.map((log) => Math.abs(log - middle))));
  return { median: medianOf(past), largest: Math.max(...past), above: (Math.log1p(value) - middle) / deviation };
}

export function isFar({ above, largest }: Spread, value: number): boolean {
  return above >= FAR && value > largest;
}

export function medianOf(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
