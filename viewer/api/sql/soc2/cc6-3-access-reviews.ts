/** Access reviews: CC6.3. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc63AccessReviews: PackQuery = {
  id: 'cc6.3-access-reviews',
  pack: 'soc2',
  criterion: 'CC6.3',
  title: 'Access reviews',
  proves: 'Who reviewed access and when, and what was decided about which user. No row in the period: nobody reviewed access with Steno.',
  sql: `SELECT at, actor AS reviewer, event, target AS user, JSONExtractString(data, 'role') AS role, JSONExtractString(data, 'decision') AS decision, JSONExtractString(data, 'reason') AS reason
FROM audit
WHERE at >= {from} AND at < {to} AND event IN ('access.review', 'access.decide') AND outcome = 'success'
ORDER BY at, user`,
};
