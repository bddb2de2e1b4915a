/** Who has used what: the last session of each user on each node as each login, for access reviews. Tested in server.test.ts. */
import type { AccessUse } from '#schemas/access-review.js';
import { StenoError } from '#schemas/errors.js';
import type { EventStore } from '#stores/events/contract.js';
import { requireReading } from './access.js';
import type { Viewer } from './access.js';

const MAX_ROWS = 100_000;

/** Throws ACCESS_DENIED, or QUERY_TOO_HEAVY where there is more than one answer can hold. */
export async function accessUse(events: EventStore, viewer: Viewer, _query: object): Promise<readonly AccessUse[]> {
  requireReading(viewer, 'access');
  const { rows, truncated } = await events.readOnlySql(
    'SELECT user, node, login, toUnixTimestamp64Milli(max(started_at)), count() FROM sessions GROUP BY user, node, login ORDER BY user, node, login',
    { maxRows: MAX_ROWS, maxSeconds: 30 },
  );
  if (truncated) throw new StenoError('QUERY_TOO_HEAVY', `more than ${MAX_ROWS} users, nodes and logins`);
  return rows.map(([user, node, login, last, count]) => ({
    user: String(user),
    node: String(node),
    login: String(login),
    last_at: Number(last),
    count: Number(count),
  }));
}
