/**
 * How likely it is that commands are a user's own, by what the user ran before and what everybody runs: naive Bayes over tokens, whose sum a
 * reader can take apart.
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
 * How many standard deviations below the expected score of a user's own block one is told of: chosen with `npm run eval masquerade` on seed
 * 1. Own blocks spread more than single commands drawn at random, since commands come in runs and habits change.
 */
export const DEVIATIONS = 4.5;
export const BLOCK = 100;
/** Commands of the user, and of others, without which nothing is said. */
export const ENOUGH_OWN = 200;
export const ENOUGH_OTHERS = 1_000;

/** How many commands of everybody the user's own past begins with. */
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

  /** Above 0: more the user's than anybody's. */
  score(token: string): number {
    return this.#scoreOf(token, this.#user.of.get(token) ?? 0, this.#user.total);
  }

  /** Of a block. */
  mean(tokens: readonly string[]): number {
    return tokens.reduce((sum, token) => sum + this.score(token), 0) / tokens.length;
  }

  /**
   * What a block of the user's own comes to: each command of the past scored by the rest of the past, so that what was run once counts as new
   * once. A limit that is the same for all users would not do: where everybody does the same work, own commands are nobody's in particular.
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
