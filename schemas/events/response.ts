/**
 * How fast people respond to findings: the measures, counted from the time of a finding's event, and their trend.
 * docs/findings.md, "Response". Tested in response.test.ts, the measures in stores/events/response-conformance.ts.
 */

/**
 * look: somebody other than the session's user opens the session, or the first decision about the finding. lock: a lock on its session,
 * user or node, or a response by policy. ended: the end of the session after such a lock. closed: resolved or dismissed, and not
 * reopened.
 */
export const responseMeasures = ['look', 'lock', 'ended', 'closed'] as const;
export type ResponseMeasure = (typeof responseMeasures)[number];

/** In ms. A later act does not count as a response to the finding; decisions always count. */
export const RESPONSE_WITHIN_MS = 30 * 86_400_000;

export interface Measured {
  /** Number of findings with a value. */
  readonly count: number;
  /** ms; null without values. */
  readonly median: number | null;
  /** 90th percentile in ms. */
  readonly p90: number | null;
}

export interface ResponseMonth extends Readonly<Record<ResponseMeasure, Measured>> {
  /** Start of the month in UTC, ms since 1970. */
  readonly month: number;
  /** Findings of the month that need attention: neither suppressed nor signals. */
  readonly findings: number;
}

/**
 * Compares the newer half of the months that have a median with the older half, by the mean of their medians: -0.4 is 40 percent
 * faster. With an odd number, the middle month is in neither half. Null with fewer than two months, or if the older mean is zero.
 */
export function trendOf(months: readonly ResponseMonth[], measure: ResponseMeasure): number | null {
  const medians = months.toSorted((a, b) => a.month - b.month).flatMap((month) => month[measure].median ?? []);
  const half = Math.floor(medians.length / 2);
  if (half === 0) return null;
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const older = mean(medians.slice(0, half));
  return older === 0 ? null : mean(medians.slice(-half)) / older - 1;
}
