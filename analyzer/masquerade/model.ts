/**
 * The likelihood that commands are a user's own, from the commands that the user ran before and those that everybody runs: naive Bayes
 * over tokens, so that a reader can break the sum down.
 *
 *     of a token      log( share of it in the user's past, smoothed by everybody's ÷ share of it in everybody's past )
 *     of a block      the mean over a hundred commands; low: somebody else
 *
 * Compared with other methods, and measured: bench/masquerade/. Tested in masquerade.test.ts.
 */
export interface Counts {
  readonly of: ReadonlyMap<string, number>;
  readonly total: number;
}

export function countsOf(tokens: Iterable<string>): Counts {
  const of = new Map<string, number>();
  let total = 0;
  for (const token of tokens) {
    of.set(token, (of.get(token) ?? 0) + 1);
    total += 1;
  }
  return { of, total };
}

/**
 * How many standard deviations below the expected score of the user's own blocks a block is reported: chosen with `npm run eval
 * masquerade` on seed 1. A user's own blocks vary more than commands drawn independently, since commands come in runs and habits
 * change.
 */
export const DEVIATIONS = 4.5;
export const BLOCK = 100;
/** Minimum number of commands of the user, and of others, below which nothing is reported. */
export const ENOUGH_OWN = 200;
export const ENOUGH_OTHERS = 1_000;

/** Weight, in commands, of everybody's distribution in the user's own past. */
const PRIOR = 20;
const LEAST = -4;
const LEAST_DEVIATION = 0.02;

export class Familiarity {
  readonly #user: Counts;
  readonly #everybody: Counts;

  constructor(user: Counts, everybody: Counts) {
    this.#user = user;
    this.#everybody = everybody;
  }

  /** Above 0: more typical of the user than of everybody. */
  score(token: string): number {
    return this.#scoreOf(token, this.#user.of.get(token) ?? 0, this.#user.total);
  }

  /** The mean over a block. */
  mean(tokens: readonly string[]): number {
    return tokens.reduce((sum, token) => sum + this.score(token), 0) / tokens.length;
  }

  /**
   * The expected score of a block of the user's own: each command of the past is scored by the rest of the past, so that a command that
   * ran once counts as new once. One limit for all users would not work: if everybody does the same work, a user's own commands are not
   * characteristic.
   */
  own(): { readonly expected: number; readonly deviation: number } {
    const { of, total } = this.#user;
    let sum = 0;
    let squares = 0;
    for (const [token, times] of of) {
      const score = this.#scoreOf(token, times - 1, total - 1);
      sum += times * score;
      squares += times * score * score;
    }
    const expected = sum / total;
    return { expected, deviation: Math.max(LEAST_DEVIATION, Math.sqrt(Math.max(0, squares / total - expected * expected) / BLOCK)) };
  }

  #scoreOf(token: string, times: number, total: number): number {
    const everybody = ((this.#everybody.of.get(token) ?? 0) + 0.5) / (this.#everybody.total + 0.5 * (this.#everybody.of.size + 1));
    return Math.max(LEAST, Math.log((times + PRIOR * everybody) / (total + PRIOR) / everybody));
  }
}
