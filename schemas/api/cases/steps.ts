/** The steps of presenting a case, by wall clock: moments, findings and notes at a moment of a session, and sessions without any of these. */
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
    // A finding's session need not be in the case: a user who may see the finding may open the session.
    if (kind !== 'finding' && !shown.has(session)) return [];
    return [{ entry, session, offset: offset ?? 0 }];
  });
}
