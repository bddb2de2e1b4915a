/** Access that was asked for and approved: CC6.3. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc63Approvals: PackQuery = {
  id: 'cc6.3-approvals',
  pack: 'soc2',
  criterion: 'CC6.3',
  title: 'Access that was asked for and approved',
  proves:
    'Each access request of the period with its reason, who approved or denied it, and how many sessions it was used for. self_approved is to be 0 in every row.',
  sql: `WITH asked AS (
  SELECT target AS id, any(actor) AS user, min(at) AS asked_at, any(JSONExtractString(data, 'reason')) AS reason
  FROM audit WHERE event = 'request.create' AND outcome = 'success' AND at >= {from} AND at < {to} GROUP BY id
), decided AS (
  SELECT target AS id, groupUniqArrayIf(actor, event = 'request.approve') AS approved_by, groupUniqArrayIf(actor, event = 'request.deny') AS denied_by
  FROM audit WHERE event IN ('request.approve', 'request.deny') AND outcome = 'success' GROUP BY id
), used AS (
  SELECT arrayJoin(splitByChar(',', request_id)) AS id, count() AS sessions FROM sessions WHERE request_id != '' GROUP BY id
)
SELECT a.asked_at AS asked_at, a.user AS user, a.reason AS reason, d.approved_by AS approved_by, d.denied_by AS denied_by,
  has(d.approved_by, a.user) AS self_approved, u.sessions AS sessions, a.id AS request
FROM asked AS a LEFT JOIN decided AS d ON d.id = a.id LEFT JOIN used AS u ON u.id = a.id
ORDER BY asked_at, request`,
};
