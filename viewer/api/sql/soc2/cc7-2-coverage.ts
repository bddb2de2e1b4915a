/** Sessions started against recordings stored: CC7.2. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc72Coverage: PackQuery = {
  id: 'cc7.2-coverage',
  pack: 'soc2',
  criterion: 'CC7.2',
  title: 'Sessions started against recordings stored',
  proves:
    'For each gateway: counters given to sessions, which have no holes, against sessions in the store. missing is to be 0; the audit log has a row session.start for each session too. Sessions that lasted over the ends of the period count where they began.',
  sql: `SELECT gateway, min(counter) AS first, max(counter) AS last, toInt64(max(counter)) - toInt64(min(counter)) + 1 AS given, uniqExact(counter) AS stored,
  given - toInt64(stored) AS missing, countIf(state = 'sealed') AS sealed, countIf(state = 'interrupted') AS interrupted, countIf(state = 'live') AS live,
  countIf(session NOT IN (SELECT session FROM audit WHERE event = 'session.start' AND outcome = 'success')) AS without_audit
FROM sessions
WHERE started_at >= {from} AND started_at < {to}
GROUP BY gateway
ORDER BY gateway`,
};
