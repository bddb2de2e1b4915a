/**
 * The risk score of a session: a sum that a reader can add up by hand.
 *
 *     weight       = points of the severity × factor of the tier
 *     repeats      = the second finding of a rule counts half, the third a quarter, …: a rule adds less than twice its weight
 *     same event   = of several rules about one event the heaviest counts whole, every other half
 *
 * Tested in risk.test.ts.
 */
import type { Detection, RuleFacts } from '../detection/detector.js';

export interface RiskWeights {
  readonly severity: Readonly<Record<RuleFacts['severity'], number>>;
  readonly tier: Readonly<Record<RuleFacts['tier'], number>>;
}

export const WEIGHTS: RiskWeights = {
  // Everyday activity adds nothing: measured on sessions of everyday commands with `npm run eval`. A signal of level `medium` matches at
  // most one everyday line in 1,300, one of level `low` one in 250: three of the first are rare in a session, three of the second are not.
  severity: { info: 0, low: 1, medium: 10, high: 20, critical: 50 },
  tier: { signal: 1, alert: 1.5, session: 1.5 },
};

export interface Contribution {
  readonly rule: RuleFacts;
  readonly findings: number;
  readonly points: number;
}

/** Beyond these limits, findings are counted and add nothing. */
const MAX_RULES = 1_000;
const MAX_KEYS = 10_000;

export class RiskScore {
  readonly #weights: RiskWeights;
  readonly #rules = new Map<string, { rule: RuleFacts; findings: number; points: number }>();
  readonly #keys = new Set<string>();
  /** By event: the heaviest weight so far. */
  readonly #heaviest = new Map<string, number>();
  #score = 0;
  #beyond = 0;

  constructor(weights: RiskWeights = WEIGHTS) {
    this.#weights = weights;
  }

  get score(): number {
    return this.#score;
  }

  get beyond(): number {
    return this.#beyond;
  }

  /** Returns the added score; 0 for a finding that is already included. */
  add({ rule, key, evidence }: Detection): number {
    const identity = `${rule.id}\0${key}`;
    if (this.#keys.has(identity)) return 0;
    if (this.#keys.size >= MAX_KEYS || (!this.#rules.has(rule.id) && this.#rules.size >= MAX_RULES)) {
      this.#beyond += 1;
      return 0;
    }
    this.#keys.add(identity);
    const of = this.#rules.get(rule.id) ?? { rule, findings: 0, points: 0 };
    this.#rules.set(rule.id, of);
    const weight = this.#weights.severity[rule.severity] * this.#weights.tier[rule.tier] * 0.5 ** of.findings;
    const event = evidence.at(-1) ?? identity;
    const heaviest = this.#heaviest.get(event) ?? 0;
    const points = Math.max(0, weight - heaviest) + 0.5 * Math.min(weight, heaviest);
    this.#heaviest.set(event, Math.max(weight, heaviest));
    of.findings += 1;
    of.points += points;
    this.#score += points;
    return points;
  }

  /** Heaviest first. */
  get contributions(): readonly Contribution[] {
    return [...this.#rules.values()].sort((a, b) => b.points - a.points || (a.rule.id < b.rule.id ? -1 : 1));
  }
}
