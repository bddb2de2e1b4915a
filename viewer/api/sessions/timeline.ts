/** The activity of a session over time, for its timeline. Tested in viewer/api/sessions/replay-data.test.ts. */
import { timelineLanes } from '#schemas/api/recordings/replay.js';
import type { SessionTimeline } from '#schemas/api/recordings/replay.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';

/** Shorter pauses count as reading or thinking. */
const LEAST_IDLE_MS = 5_000;
/** Minimum pause as a share of the session, which applies to long sessions. */
const LEAST_IDLE_SHARE = 1 / 200;

/** `parts`: the maximum number of parts, all of equal length; `now` is the end of a running session. */
export async function timelineOf(
  events: Pick<EventStore, 'timeline'>,
  row: Pick<SessionRow, 'session' | 'started_at' | 'ended_at'>,
  parts: number,
  now: number,
): Promise<SessionTimeline> {
  const length = Math.max(1, (row.ended_at ?? now) - row.started_at);
  const width = Math.ceil(length / parts);
  const leastIdle = Math.max(LEAST_IDLE_MS, Math.ceil(length * LEAST_IDLE_SHARE));
  const { counts, idle } = await events.timeline(row.session, { width, leastIdle });
  return {
    width,
    lanes: timelineLanes.flatMap((lane) => {
      const mine = counts.filter((count) => count.lane === lane);
      return mine.length === 0 ? [] : [{ lane, parts: mine.map(({ part, first, amount }) => ({ part, first, amount })) }];
    }),
    idle,
  };
}
