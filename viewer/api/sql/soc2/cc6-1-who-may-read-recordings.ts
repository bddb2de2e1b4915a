/** Who looked at recordings: CC6.1. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc61WhoMayReadRecordings: PackQuery = {
  id: 'cc6.1-who-may-read-recordings',
  pack: 'soc2',
  criterion: 'CC6.1',
  title: 'Who looked at recordings',
  proves:
    'Everybody who opened, followed, exported or searched recordings or ran SQL, how often, and what was refused. Access to recordings is a right of roles, and each use of it is a row of the audit log.',
  sql: `SELECT viewer, countIf(action = 'view') AS views, countIf(action = 'follow') AS follows, countIf(action = 'export') AS exports,
  countIf(action = 'search') AS searches, countIf(action = 'query') AS queries, countIf(outcome = 'failure') AS refused, uniqExactIf(session, session != '') AS sessions, max(at) AS last
FROM viewings
WHERE at >= {from} AND at < {to}
GROUP BY viewer
ORDER BY viewer`,
};
