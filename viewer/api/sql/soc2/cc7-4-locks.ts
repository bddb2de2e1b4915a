/** Locks, and how fast they held: CC7.4. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc74Locks: PackQuery = {
  id: 'cc7.4-locks',
  pack: 'soc2',
  criterion: 'CC7.4',
  title: 'Locks, and how fast they held',
  proves: 'Each lock with who put it and why, and the sessions that gateways ended for it, with the seconds between the two.',
  sql: `WITH held AS (
  SELECT target AS id, min(at) AS first_at, max(at) AS last_at, count() AS rows FROM audit WHERE event = 'lock.enforced' GROUP BY id
)
SELECT l.at AS at, l.actor AS by, l.target AS lock, JSONExtractString(l.data, 'lock', 'reason') AS reason, h.rows AS enforcements,
  if(h.rows = 0, NULL, dateDiff('millisecond', l.at, h.first_at)) AS ms_to_first, l.outcome AS outcome
FROM audit AS l LEFT JOIN held AS h ON h.id = l.target
WHERE l.at >= {from} AND l.at < {to} AND l.event = 'lock.put'
ORDER BY at, lock`,
};
