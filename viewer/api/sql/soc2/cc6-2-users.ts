/** People who came and went: CC6.2. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc62Users: PackQuery = {
  id: 'cc6.2-users',
  pack: 'soc2',
  criterion: 'CC6.2',
  title: 'People who came and went',
  proves: 'Users that were created, changed, disabled, enabled and deleted, by whom.',
  sql: `SELECT at, event, target AS user, actor AS by, outcome, JSONExtractString(data, 'reason') AS reason
FROM audit
WHERE at >= {from} AND at < {to} AND event IN ('user.create', 'user.update', 'user.disable', 'user.enable', 'user.delete', 'user.reset', 'bot.create')
ORDER BY at, user`,
};
