/** Findings and what became of them: CC7.3. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc73Findings: PackQuery = {
  id: 'cc7.3-findings',
  pack: 'soc2',
  criterion: 'CC7.3',
  title: 'Findings and what became of them',
  proves:
    'Each finding of the period with the time to the first decision and the last state. Rows without a decision are findings that nobody has looked at.',
  sql: `WITH decided AS (
  SELECT target AS id, min(at) AS first_at, argMax(JSONExtractString(data, 'state'), at) AS decision, argMax(actor, at) AS by
  FROM audit WHERE event = 'finding.triage' AND outcome = 'success' GROUP BY id
)
SELECT f.at AS at, f.severity AS severity, f.rule AS rule, f.user AS user, f.node AS node, if(d.decision = '', f.state, d.decision) AS state, d.by AS decided_by,
  if(d.decision = '', NULL, dateDiff('second', f.at, d.first_at)) AS seconds_to_decision, f.session AS session, f.id AS finding
FROM findings AS f LEFT JOIN decided AS d ON d.id = f.id
WHERE f.at >= {from} AND f.at < {to} AND JSONExtractString(f.data, 'tier') != 'signal'
ORDER BY at, finding`,
};
