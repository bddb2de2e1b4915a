/** The trail of a session for views: loaded as far as they need, refreshed while the session grows. */
import { useEffect, useState, useSyncExternalStore } from 'react';
import { ask } from '../parts/endpoints.js';
import { Trail } from './trail.js';
import type { TrailState } from './trail.js';

const PAGE = 1_000;
const REFRESH_LIVE_MS = 3_000;

/** `grows`: the session is not over, or its end is still being stored. `all`: includes files that were only read. Null while there is nothing to load yet. */
export function useTrail(session: string | null, all: boolean, grows: boolean): Trail | null {
  const [trail, setTrail] = useState<Trail | null>(null);
  useEffect(() => {
    if (session === null) return undefined;
    const made = new Trail(({ after, from }) =>
      ask('GET /api/sessions/:id/events', {
        params: { id: session },
        query: { limit: PAGE, only: all ? '' : 'tree', after: after ?? '', from: from ?? '' },
      }),
    );
    setTrail(made);
    return () => made.close();
  }, [session, all]);
  useEffect(() => {
    if (!grows || trail === null) return undefined;
    const timer = setInterval(() => trail.refresh(), REFRESH_LIVE_MS);
    return () => {
      clearInterval(timer);
      // For what came since the last look; nothing if the trail was closed.
      trail.refresh();
    };
  }, [trail, grows]);
  return trail;
}

const nothing: TrailState = { events: [], gaps: [], since: 0, more: true, known: false, error: null };
const never = (): (() => void) => () => undefined;

export function useTrailState(trail: Trail | null): TrailState {
  return useSyncExternalStore(trail?.subscribe ?? never, () => trail?.state ?? nothing);
}
