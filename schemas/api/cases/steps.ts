/** What is presented of a case, in the order of the clock: moments, findings and notes with a moment of a session, and sessions without any. */
import type { CaseView, TimelineEntry } from './workbench.js';

export interface Step {
  readonly entry: TimelineEntry;
  readonly session: string;
  /** Session time in ms. */
  readonly offset: number;
}

export function stepsOf({ timeline, sessions }: Pick<CaseView, 'timeline' | 'sessions'>): readonly Step[] {
  const shown = new Set(sessions.map(({ id }) => id));
  const moments = timeline.filter(({ kind }) => kind === 'moment' || kind === 'finding' || kind === 'note');
  const touched = new Set(moments.map(({ session }) => session));
  return timeline.flatMap((entry) => {
    const { kind, session, offset } = entry;
    const whole = kind === 'started' && !touched.has(session);
    if (session === '' || !(whole || moments.includes(entry))) return [];
    // A finding may be about a session that the case does not hold by itself: who sees the one may open the other.
    if (kind !== 'finding' && !shown.has(session)) return [];
    return [{ entry, session, offset: offset ?? 0 }];
  });
}
