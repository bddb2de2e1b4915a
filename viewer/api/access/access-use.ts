/** Use of access, for access reviews: the last session of each user on each node as each login. Tested in viewer/api/main.test.ts. */
import type { AccessUse } from '#schemas/api/recordings/audit.js';
import { StenoError } from '#schemas/base/errors.js';
import type { EventStore } from '#stores/events/contract.js';
import { requireReading } from './access.js';
import type { Viewer } from './access.js';

const MAX_ROWS = 100_000;

/** Throws ACCESS_DENIED, or QUERY_TOO_HEAVY if there are more rows than an answer can hold. */
export async function accessUse(events: EventStore, viewer: Viewer): Promise<readonly AccessUse[]> {
  requireReading(viewer, 'access');
  const { rows, truncated } = await events.sessionUse(MAX_ROWS);
  if (truncated) throw new StenoError('QUERY_TOO_HEAVY', `more than ${MAX_ROWS} users, nodes and logins`);
  return rows;
}
