/**
 * Positions of the months of a measure in its plot. Durations are on a logarithmic scale, since they range from minutes to weeks.
 * Tested in response-plot.test.ts.
 */
import type { ResponseMeasure, ResponseMonth } from '#schemas/events/response.js';

export const MAX_MONTHS = 24;

export interface Column {
  /** The first moment of the month in UTC, ms since 1970. */
  readonly month: number;
  readonly count: number;
  readonly median: number | null;
  readonly p90: number | null;
}

export interface Plot {
  /** Every month from the first to the last, including those without findings; only the newest if there are too many to fit. */
  readonly columns: readonly Column[];
  /** Lines of the scale, the lowest first. `share`: 0 at the bottom, 1 at the top. */
  readonly marks: readonly { readonly ms: number; readonly share: number }[];
  /** Height of a duration in the plot, 0 to 1. */
  readonly share: (ms: number) => number;
}

const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];
const scale = [SECOND, 10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY, 3650 * DAY] as const;
const MAX_MARKS = 5;

export function plotOf(months: readonly ResponseMonth[], measure: ResponseMeasure): Plot {
  const columns = columnsOf(months, measure);
  const values = columns.flatMap(({ median, p90 }) => [median, p90].filter((value) => value !== null));
  const least = Math.max(SECOND, Math.min(...values, 3650 * DAY));
  const most = Math.max(...values, SECOND);
  const low = scale.findLastIndex((ms) => ms <= least);
  const found = scale.findIndex((ms) => ms >= most && ms > scale[Math.max(0, low)]!);
  const high = found < 0 ? scale.length - 1 : found;
  const [bottom, top] = [Math.log(scale[Math.max(0, Math.min(low, high - 1))]!), Math.log(scale[high]!)];
  const share = (ms: number): number => Math.min(1, Math.max(0, (Math.log(Math.max(ms, 1)) - bottom) / (top - bottom)));
  const all = scale.slice(Math.max(0, Math.min(low, high - 1)), high + 1);
  const each = Math.ceil(all.length / MAX_MARKS);
  return { columns, marks: all.filter((_, i) => i % each === 0).map((ms) => ({ ms, share: share(ms) })), share };
}

function columnsOf(months: readonly ResponseMonth[], measure: ResponseMeasure): readonly Column[] {
  if (months.length === 0) return [];
  const known = new Map(months.map((month) => [month.month, month[measure]]));
  const [first, last] = [Math.min(...known.keys()), Math.max(...known.keys())];
  const columns: Column[] = [];
  const date = new Date(last);
  for (let back = 0; back < MAX_MONTHS; back += 1) {
    const month = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() - back, 1);
    if (month < first) break;
    const { count, median, p90 } = known.get(month) ?? { count: 0, median: null, p90: null };
    columns.unshift({ month, count, median, p90 });
  }
  return columns;
}

/** In the largest unit of which the duration holds at least one: `40 s`, `3.5 h`. */
export function spanText(ms: number): string {
  const units = [
    [365 * DAY, 'y'],
    [DAY, 'd'],
    [HOUR, 'h'],
    [MINUTE, 'min'],
    [SECOND, 's'],
  ] as const;
  const [unit, name] = units.find(([length]) => ms >= length) ?? units[4];
  const value = ms / unit;
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${name}`;
}
