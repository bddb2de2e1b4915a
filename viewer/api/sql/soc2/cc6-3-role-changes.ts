/** Changes of roles: CC6.3. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc63RoleChanges: PackQuery = {
  id: 'cc6.3-role-changes',
  pack: 'soc2',
  criterion: 'CC6.3',
  title: 'Changes of roles',
  proves: 'Roles that were put or removed and users whose roles changed, by whom.',
  sql: `SELECT at, event, target, actor AS by, outcome, code
FROM audit
WHERE at >= {from} AND at < {to} AND event IN ('role.put', 'role.delete', 'user.update', 'access.decide')
ORDER BY at, target`,
};
