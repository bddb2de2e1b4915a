/** The routes of queries over all sessions: screens, the audit log, use of access, SQL. Tested in viewer/api/main.test.ts. */
import { listAccessUse, listAudit, listViews } from '#schemas/api/recordings/audit.js';
import type { FoundSessions } from '#schemas/api/recordings/find.js';
import { findHits, findOverview, findSessions, findSpans, findValues } from '#schemas/api/recordings/find.js';
import { searchScreens } from '#schemas/api/recordings/search.js';
import type { Log } from '#runtime/log.js';
import { accessUse } from '../access/access-use.js';
import { viewsFor } from '../access/views.js';
import type { Disclosures } from '../access/disclosures.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import type { Sessions } from '../sessions/sessions.js';
import { sqlRoutes } from '../sql/routes.js';
import { findBySession, findHitsOf, findSpansOf, overviewOf, valuesOf } from './find.js';
import { search } from './search.js';
import type { SearchParts } from './search.js';

export { ScheduledSearches } from './scheduled.js';

export interface SearchRouteParts extends SearchParts {
  readonly disclosures: Disclosures;
  readonly sessions: Sessions;
  readonly log: Log;
  readonly clock: () => number;
}

export function searchRoutes(serving: Serving, { events, access, disclosures, sessions, log, clock }: SearchRouteParts): void {
  const parts = { events, access, sessions, clock };
  const told = (q: string) => ({ q, mode: 'query' });
  serving.signedIn(searchScreens, async (viewer, { request, query }) =>
    disclosures.ofSearch(
      viewer,
      sourceAddress(request),
      query,
      () => search({ events, access }, viewer, query),
      ({ hits }) => hits.length,
    ),
  );
  serving.signedIn(findSessions, async (viewer, { request, query }) =>
    disclosures.ofSearch(viewer, sourceAddress(request), told(query.q), () => findBySession(parts, viewer, query), hitsOfGroups),
  );
  serving.signedIn(findSpans, async (viewer, { request, query }) =>
    disclosures.ofSearch(
      viewer,
      sourceAddress(request),
      told(query.q),
      () => findSpansOf(parts, viewer, query),
      ({ sessions: found }) => found.length,
    ),
  );
  serving.signedIn(findHits, async (viewer, { request, query }) =>
    disclosures.ofSearch(
      viewer,
      sourceAddress(request),
      told(query.q),
      () => findHitsOf(parts, viewer, query),
      ({ hits }) => hits.length,
    ),
  );
  serving.signedIn(findOverview, async (viewer, { request, query }) =>
    disclosures.ofSearch(
      viewer,
      sourceAddress(request),
      told(query.q),
      () => overviewOf(parts, viewer, query.q),
      ({ total }) => Math.min(total, 10_000),
    ),
  );
  serving.signedIn(findValues, (viewer, { query }) => valuesOf(parts, viewer, query.field, query.prefix));
  serving.signedIn(listAudit, async (viewer, { query }) => {
    const { rows, next } = await sessions.audit(viewer, query);
    return { rows, next };
  });
  serving.signedIn(listViews, (viewer, { query }) => viewsFor({ events, access }, viewer, query));
  serving.signedIn(listAccessUse, (viewer) => accessUse(events, viewer));
  sqlRoutes(serving, { events, access, disclosures, log, clock });
}

function hitsOfGroups({ groups }: FoundSessions): number {
  return groups.reduce((sum, { hits }) => sum + hits.length, 0);
}
