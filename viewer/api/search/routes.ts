/** The routes of questions over all sessions: screens, the audit log, how access was used. Tested in viewer/api/main.test.ts. */
import { listAccessUse, listAudit } from '#schemas/api/recordings/audit.js';
import { searchScreens } from '#schemas/api/recordings/search.js';
import { accessUse } from '../access/access-use.js';
import type { Disclosures } from '../access/disclosures.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import type { Sessions } from '../sessions/sessions.js';
import { search } from './search.js';
import type { SearchParts } from './search.js';

export interface SearchRouteParts extends SearchParts {
  readonly disclosures: Disclosures;
  readonly sessions: Sessions;
}

export function searchRoutes(serving: Serving, { events, access, disclosures, sessions }: SearchRouteParts): void {
  serving.signedIn(searchScreens, async (viewer, { request, query }) =>
    disclosures.ofSearch(viewer, sourceAddress(request), query, () => search({ events, access }, viewer, query)),
  );
  serving.signedIn(listAudit, async (viewer, { query }) => {
    const { rows, next } = await sessions.audit(viewer, query);
    return { rows, next };
  });
  serving.signedIn(listAccessUse, (viewer) => accessUse(events, viewer));
}
