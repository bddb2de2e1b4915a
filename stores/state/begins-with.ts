import { sql } from 'kysely';
import type { Expression, SqlBool } from 'kysely';

/** Whether a text column begins with `prefix`: in both engines the same, with capitals apart and without wildcards. */
export function beginsWith(column: string, prefix: string): Expression<SqlBool> {
  return sql<SqlBool>`substr(${sql.ref(column)}, 1, ${prefix.length}) = ${prefix}`;
}
