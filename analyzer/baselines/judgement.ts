/**
 * Decides whether something is unusual, from counts that a reader can check. No judgement is made without enough history, and each
 * returns the numbers on which it is based. Tested in judgement.test.ts.
 */

/** Minimum history; below it, nothing is reported. */
export const ENOUGH = { sessions: 10, days: 7, people: 5, measured: 20, hours: 24 } as const;

/**
 * For a user who does new things at least this often, a new one is no surprise. The value is the share of acts that occurred in only
 * one session (Good and Turing).
 */
const MAX_NOVELTY = 0.05;
/** At most this many others did it, and at most a small share of them. */
const MAX_OTHERS = 2;
const MAX_SHARE = 0.2;
/** Distance from the median, in robust standard deviations of the logarithm. */
const FAR = 5;
/** Minimum deviation of the logarithm: a user whose sessions are all alike may still vary by half as much again. */
const LEAST_DEVIATION = 0.25;

/** The estimated probability that an act is new to this user. */
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

/** `others` of `people` did it: rare if the expected share, under a Beta prior of one half on each side, is small. */
export function isRare(others: number, people: number): boolean {
  return people >= ENOUGH.people && others <= MAX_OTHERS && (others + 0.5) / (people + 1) <= MAX_SHARE;
}

/** What is known about one group of people: `others` of `people` did it; null: unknown. */
export interface Shared {
  readonly people: number;
  readonly others: number | null;
}

/**
 * The role that best shows that something is unusual for all of a session's roles: the one with the most people. Null if one of the
 * roles explains it, if one is unknown, or if none has enough people. A role with few people explains whatever any other of them did.
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

/** Sessions that began within an hour of this time of day, and the probability of none if all hours were alike (Poisson). */
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
  /** Robust standard deviations of the logarithm above the median. */
  readonly above: number;
}

/** Median and MAD of the logarithms; null if the history is too short. */
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
