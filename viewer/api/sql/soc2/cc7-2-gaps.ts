/** What was not captured: CC7.2. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc72Gaps: PackQuery = {
  id: 'cc7.2-gaps',
  pack: 'soc2',
  criterion: 'CC7.2',
  title: 'What was not captured',
  proves: 'Gaps by reason: what recordings say that they lack. They are signed like everything else in a recording.',
  sql: `SELECT source, reason, count() AS gaps, uniqExact(session) AS sessions, min(at) AS first, max(at) AS last
FROM events
WHERE at >= {from} AND at < {to} AND kind = 'gap'
GROUP BY source, reason
ORDER BY gaps DESC, source, reason`,
};
