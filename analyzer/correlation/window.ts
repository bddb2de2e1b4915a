/**
 * Whether a correlation holds at a moment, for the occurrences of one group in (moment - timespan, moment]. The definition depends on
 * moments alone, so the order of arrival does not change the answer. The SQL counterpart is sql.ts; agreement.test.ts compares the two.
 */
import { numberOf } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import type { Bound, Correlation } from '../sigma/correlation.js';
import type { CorrelationPlan } from '../sigma/correlation-plan.js';
import type { Occurrence } from './occurrence.js';

/** The compared figure, or null if the correlation does not hold. */
export type Verdict = { readonly figure: number } | null;

/** `from` inclusive, `to` exclusive; the last occurrence is at the moment in question. */
export function decide(plan: CorrelationPlan, items: readonly Occurrence[], from: number, to: number): Verdict {
  const { correlation } = plan.rule;
  switch (correlation.type) {
    case 'temporal': {
      const matched = new Set<number>();
      for (let i = from; i < to; i += 1) for (const step of items[i]!.steps) matched.add(step);
      const { expression, bounds, rules } = correlation;
      const holds =
        expression !== null
          ? holdsOf(expression, (name) => matched.has(rules.indexOf(name)))
          : bounds.length > 0
            ? within(bounds, matched.size)
            : matched.size === plan.steps.length;
      return holds ? { figure: matched.size } : null;
    }
    case 'temporal_ordered':
      return isInOrder(plan.steps.length, items, from, to) ? { figure: plan.steps.length } : null;
    default: {
      const figure = figureOf(plan, correlation, items, from, to);
      return figure !== null && within(correlation.bounds, figure) ? { figure } : null;
    }
  }
}

/**
 * Whether more occurrences can never make it stop holding: then it is reported immediately, and late occurrences only add to it. All
 * others are decided once slightly late events have arrived.
 */
export function isMonotone({ type, bounds, expression }: Correlation): boolean {
  switch (type) {
    case 'temporal_ordered':
      return true;
    case 'temporal':
      return expression === null ? onlyAtLeast(bounds) : !negates(expression);
    case 'event_count':
    case 'value_count':
    case 'value_sum':
      return onlyAtLeast(bounds);
    default:
      return false;
  }
}

function onlyAtLeast(bounds: readonly Bound[]): boolean {
  return bounds.every(({ is }) => is === 'gt' || is === 'gte');
}

function negates(predicate: Predicate<unknown>): boolean {
  if (predicate.kind === 'all' || predicate.kind === 'any') return predicate.of.some(negates);
  return predicate.kind !== 'test';
}

function holdsOf(predicate: Predicate<string | null>, matched: (rule: string) => boolean): boolean {
  switch (predicate.kind) {
    case 'truth':
      return predicate.truth;
    case 'not':
      return !holdsOf(predicate.of, matched);
    case 'all':
      return predicate.of.every((part) => holdsOf(part, matched));
    case 'any':
      return predicate.of.some((part) => holdsOf(part, matched));
    case 'test':
      return matched(predicate.field ?? '');
  }
}

export function within(bounds: readonly Bound[], figure: number): boolean {
  return bounds.every(({ is, value }) => {
    switch (is) {
      case 'eq':
        return figure === value;
      case 'neq':
        return figure !== value;
      case 'lt':
        return figure < value;
      case 'lte':
        return figure <= value;
      case 'gt':
        return figure > value;
      case 'gte':
        return figure >= value;
    }
  });
}

/**
 * Each step needs an occurrence of its own, and the last step one at the moment in question. Taking each as early as possible loses
 * nothing.
 */
function isInOrder(steps: number, items: readonly Occurrence[], from: number, to: number): boolean {
  const moment = items[to - 1]!.at;
  let step = 0;
  for (let i = from; i < to; i += 1) {
    const item = items[i]!;
    if (step < steps - 1) {
      if (item.steps.includes(step)) step += 1;
    } else if (item.at === moment && item.steps.includes(step)) return true;
  }
  return false;
}

/** Null: no occurrence has a number. */
function figureOf(plan: CorrelationPlan, correlation: Correlation, items: readonly Occurrence[], from: number, to: number): number | null {
  if (correlation.type === 'event_count' && plan.steps.every(({ kind }) => kind === 'rule')) return to - from;
  const taken = items.slice(from, to);
  if (correlation.type === 'event_count') return new Set(taken.map(({ key }) => key)).size;
  if (correlation.type === 'value_count') return new Set(taken.flatMap(({ value }) => (value === '' ? [] : [value]))).size;
  const least = correlation.type === 'value_sum' ? 0 : -Infinity;
  const numbers = taken.flatMap(({ value }) => {
    const number = numberOf(value);
    return number === null || number < least ? [] : [number];
  });
  if (numbers.length === 0) return null;
  switch (correlation.type) {
    case 'value_sum':
      return sumOf(numbers);
    case 'value_avg':
      return sumOf(numbers) / numbers.length;
    default:
      return percentileOf(numbers, correlation.percentile / 100);
  }
}

/** Exact, so that the order of the summands makes no difference. */
function sumOf(numbers: readonly number[]): number {
  return Number(numbers.reduce((sum, number) => sum + BigInt(number), 0n));
}

/** Interpolates linearly between two numbers, like `quantileExactInclusive` of ClickHouse. */
function percentileOf(numbers: readonly number[], level: number): number {
  const sorted = Float64Array.from(numbers).sort();
  const place = level * (sorted.length - 1) + 1;
  const below = Math.floor(place);
  if (below >= sorted.length) return sorted.at(-1)!;
  return sorted[below - 1]! + (place - below) * (sorted[below]! - sorted[below - 1]!);
}
