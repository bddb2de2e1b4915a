/**
 * What a correlation counts: matches of the rules that it names, in one group, ordered by their moments and nothing else. Of events with one
 * moment, the order is that of their places in their sessions. The SQL of sql.ts has the same order.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { CorrelationPlan } from '../sigma/correlation-plan.js';

export interface Occurrence {
  readonly at: number;
  /** Of the event, or of the inner correlation's time span: occurrences with one key are one, as far as they are counted. */
  readonly key: string;
  /** Which of the correlation's steps it is; in ascending order. */
  readonly steps: readonly number[];
  /** Of the field that is counted; '' for none. */
  readonly value: string;
  readonly origin: Origin;
  /** Ids of events. */
  readonly evidence: readonly string[];
}

export type Origin = Pick<EventRow, 'session' | 'user' | 'node' | 'login' | 'offset_ms'>;

/** Sorts as the places do: numbers of ten digits. */
export function placeKey({ session, source, emitter, block, index }: EventRow): string {
  return `${session}:${source}:${emitter}:${String(block).padStart(10, '0')}.${String(index).padStart(10, '0')}`;
}

/** What a correlation is named by where another one counts it. */
export function firingKey(plan: CorrelationPlan, group: readonly string[], at: number): string {
  return `${nameOf(plan)}:${bucketOf(plan, at)}:${group.join('\0')}`;
}

export function nameOf({ rule }: CorrelationPlan): string {
  return rule.id || rule.name || rule.title;
}

/** Matches of one group in one time span of the calendar are one finding, the first of them. */
export function bucketOf({ rule }: CorrelationPlan, at: number): number {
  return Math.floor(at / rule.correlation.timespan.ms);
}
