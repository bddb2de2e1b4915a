/**
 * How fast people respond to findings: what is measured, from the moment that a finding is about, and whether it gets faster.
 * docs/findings.md, "Response". Tested in response.test.ts, the measures in stores/events/response-conformance.ts.
 */

/**
 * look: somebody else than the session's user opens the session, or the first decision about the finding. lock: a lock on its session,
 * user or node, or a response by policy. ended: the end of the session, where a lock came before it. closed: resolved or dismissed, and
 * not opened again.
 */
export const responseMeasures = ['look', 'lock', 'ended', 'closed'] as const;
export type ResponseMeasure = (typeof responseMeasures)[number];

/** In ms. An act later than this after a finding does not count as a response to it; decisions always do. */
export const RESPONSE_WITHIN_MS = 30 * 86_400_000;

export interface Measured {
  /** Findings of which it was measured. */
  readonly count: number;
  /** ms; null where there are none. */
  readonly median: number | null;
  /** Nine of ten are within. */
  readonly p90: number | null;
}

export interface ResponseMonth extends Readonly<Record<ResponseMeasure, Measured>> {
  /** Its first moment in UTC, ms since 1970. */
  readonly month: number;
  /** Findings of the month that need attention: neither suppressed nor signals. */
  readonly findings: number;
}

/**
 * The newer half of the months that have a median against the older half, each by the mean of its medians: -0.4 is 40 percent faster. With
 * an odd number the one in the middle belongs to neither. Null where there are less than two, or nothing to compare with.
 */
export function trendOf(months: readonly ResponseMonth[], measure: ResponseMeasure): number | null {
  const medians = months.toSorted((a, b) => a.month - b.month).flatMap((month) => month[measure].median ?? []);
  const half = Math.floor(medians.length / 2);
  if (half === 0) return null;
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const older = mean(medians.slice(0, half));
  return older === 0 ? null : mean(medians.slice(-half)) / older - 1;
}
