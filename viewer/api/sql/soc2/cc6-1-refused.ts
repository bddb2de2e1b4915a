/** Refused at the door: CC6.1. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc61Refused: PackQuery = {
  id: 'cc6.1-refused',
  pack: 'soc2',
  criterion: 'CC6.1',
  title: 'Refused at the door',
  proves:
    'Attempts that a certificate, role or lock did not allow, by person and reason: the control refuses, and what it refuses is on record. Strangers who showed nothing are counted in strangers.turned_away.',
  sql: `SELECT actor, event, code, count() AS attempts, min(at) AS first, max(at) AS last, groupUniqArray(5)(node) AS nodes
FROM audit
WHERE at >= {from} AND at < {to} AND outcome = 'failure' AND event IN ('auth.refused', 'session_certificate.issue', 'kube.refused', 'user.login', 'strangers.turned_away')
GROUP BY actor, event, code
ORDER BY attempts DESC, actor, event, code`,
};
