/** Restricts a statement of a search to the rows that the user may find. Tested in search.test.ts. */
import type { Conditions } from '../queries/conditions.js';
import { addVisible } from '../queries/visible.js';
import type { SearchScope } from '../search-contract.js';
import type { SearchTable } from './tables.js';

export function addScope(conditions: Conditions, table: SearchTable, scope: SearchScope): void {
  // Whoever may not read the audit log is not asked about it at all.
  if (table.name === 'audit') return;
  if (scope.user !== undefined) conditions.add(`user = ${conditions.bind(scope.user)}`, {});
  // Rows without a session are for users who may see everything.
  if (scope.user !== undefined || scope.visible !== undefined) conditions.add("session != ''", {});
  addVisible(conditions, table.name, scope.visible);
}
