/** Sessions after access was taken away: CC6.2. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc62SessionsAfterRemoval: PackQuery = {
  id: 'cc6.2-sessions-after-removal',
  pack: 'soc2',
  criterion: 'CC6.2',
  title: 'Sessions after access was taken away',
  proves:
    'Sessions that began while their user was disabled or deleted. The control works when there are none: an empty answer is the proof.',
  sql: `WITH removals AS (
  SELECT target AS user, at AS removed_at FROM audit WHERE event IN ('user.disable', 'user.delete') AND outcome = 'success'
), returns AS (
  SELECT target AS user, groupArray(at) AS returned FROM audit WHERE event IN ('user.enable', 'user.create') AND outcome = 'success' GROUP BY user
)
SELECT s.session AS session, s.user AS user, s.node AS node, s.started_at AS started_at, max(r.removed_at) AS removed_at
FROM sessions AS s
INNER JOIN removals AS r ON r.user = s.user
LEFT JOIN returns AS b ON b.user = s.user
WHERE s.started_at >= {from} AND s.started_at < {to} AND s.started_at > r.removed_at
  AND NOT arrayExists(x -> x > r.removed_at AND x <= s.started_at, b.returned)
GROUP BY session, user, node, started_at
ORDER BY started_at, session`,
};
