/**
 * The items that a correlation counts: matches of the rules that it names, in one group, ordered by their moments alone. Events at the
 * same moment are ordered by their places in their sessions. The SQL of sql.ts uses the same order.
 */
import type { EventRow } from '#schemas/events/rows.js';
import type { CorrelationPlan } from '../sigma/correlation-plan.js';

export interface Occurrence {
  readonly at: number;
  /** Key of the event, or of the inner correlation's time span: occurrences with the same key are counted once. */
  readonly key: string;
  /** Which of the correlation's steps it matches, ascending. */
  readonly steps: readonly number[];
  /** Value of the counted field; '' for none. */
  readonly value: string;
  readonly origin: Origin;
  /** Ids of events. */
  readonly evidence: readonly string[];
}

export type Origin = Pick<EventRow, 'session' | 'user' | 'node' | 'login' | 'offset_ms'>;

/** Sorts like the places: numbers are padded to ten digits. */
export function placeKey({ session, source, emitter, block, index }: EventRow): string {
  return `${session}:${source}:${emitter}:${String(block).padStart(10, '0')}.${String(index).padStart(10, '0')}`;
}

/** The key of a correlation's firing for the correlation that counts it. */
export function firingKey(plan: CorrelationPlan, group: readonly string[], at: number): string {
  return `${nameOf(plan)}:${bucketOf(plan, at)}:${group.join('\0')}`;
}

export function nameOf({ rule }: CorrelationPlan): string {
  return rule.id || rule.name || rule.title;
}

/** Matches of one group within one calendar time span are one finding, identified by the first of them. */
export function bucketOf({ rule }: CorrelationPlan, at: number): number {
  return Math.floor(at / rule.correlation.timespan.ms);
}
