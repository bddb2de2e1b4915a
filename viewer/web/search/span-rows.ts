/** Sessions on a time axis: the position of each bar, and the labels below. Shares are 0 to 1. Tested in span-rows.test.ts. */
import type { FoundSpans } from '#schemas/api/recordings/find.js';

type Found = FoundSpans['sessions'][number];

/** ms since 1970; `to` is later than `from`. */
export interface Axis {
  readonly from: number;
  readonly to: number;
}

export interface Bar {
  readonly session: Found['session'];
  readonly count: number;
  /** The part of the session that the axis shows. */
  readonly from: number;
  readonly to: number;
  readonly left: number;
  readonly width: number;
  /** Whether the session began before the axis does. */
  readonly cutLeft: boolean;
  readonly cutRight: boolean;
}

const MINUTE = 60_000;

const endOf = ({ session }: Found): number => session.started_at + session.duration;

/** The span of the query, as far as it lies in the past; a bound that the query lacks is taken from the sessions. */
export function axisOf(span: { readonly from: number | null; readonly to: number | null }, sessions: readonly Found[], now: number): Axis {
  const from = span.from ?? Math.min(...sessions.map(({ session }) => session.started_at));
  const last = Math.max(...sessions.map(endOf));
  const to = Math.min(span.to ?? last, Math.max(now, last));
  return { from, to: Math.max(to, from + MINUTE) };
}

/** Earliest first. A session outside the axis that contains a matching row is drawn at the edge. */
export function barsOf(sessions: readonly Found[], axis: Axis): readonly Bar[] {
  const length = axis.to - axis.from;
  const inside = (at: number): number => Math.min(axis.to, Math.max(axis.from, at));
  return sessions
    .map((found): Bar => {
      const [from, to] = [inside(found.session.started_at), inside(endOf(found))];
      return {
        session: found.session,
        count: found.count,
        from,
        to,
        left: (from - axis.from) / length,
        width: (to - from) / length,
        cutLeft: found.session.started_at < axis.from,
        cutRight: endOf(found) > axis.to,
      };
    })
    .sort((a, b) => a.session.started_at - b.session.started_at || (a.session.id < b.session.id ? -1 : 1));
}

/** The largest number of bars at one moment. */
export function crowdOf(bars: readonly Bar[]): number {
  const edges = bars.flatMap(({ from, to }) => [
    { at: from, step: 1 },
    { at: to, step: -1 },
  ]);
  // At the same moment, beginnings come before ends: bars that touch overlap.
  edges.sort((a, b) => a.at - b.at || b.step - a.step);
  let [now, most] = [0, 0];
  for (const { step } of edges) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}

const steps = [1, 5, 15, 30, 60, 180, 360, 720, 1440, 2 * 1440, 7 * 1440, 28 * 1440, 91 * 1440, 364 * 1440].map(
  (minutes) => minutes * MINUTE,
);
const MAX_TICKS = 7;

/** Round moments of the reader's local time, seven at most. */
export function ticksOf({ from, to }: Axis): readonly { readonly at: number; readonly share: number }[] {
  const step = steps.find((one) => (to - from) / one < MAX_TICKS) ?? (to - from) / MAX_TICKS;
  const zone = new Date(from).getTimezoneOffset() * MINUTE;
  const first = Math.ceil((from - zone) / step) * step + zone;
  const ticks: { at: number; share: number }[] = [];
  for (let at = first; at < to && ticks.length <= MAX_TICKS; at += step) ticks.push({ at, share: (at - from) / (to - from) });
  return ticks;
}

const hourName = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayName = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

/** The date at midnight and where ticks are days apart, otherwise the time. */
export function tickName(at: number, { from, to }: Axis): string {
  const date = new Date(at);
  const midnight = date.getHours() === 0 && date.getMinutes() === 0;
  return midnight || to - from > 6 * 1440 * MINUTE ? dayName.format(at) : hourName.format(at);
}
