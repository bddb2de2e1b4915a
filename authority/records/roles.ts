/** Roles with their text and revision in the state store; data access only. Tested in ../access/roles.test.ts. */
import type { Kysely } from 'kysely';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema> | Tx;

export interface StoredRole {
  readonly role: Role;
  /** YAML; empty for a role stored before texts were kept. */
  readonly source: string;
  readonly revision: number;
  readonly updatedAt: number;
  readonly updatedBy: string;
}

export async function storedRoles(db: Db): Promise<readonly StoredRole[]> {
  return (await db.selectFrom('roles').selectAll().orderBy('name').execute()).map(fromRow);
}

export async function storedRole(db: Db, name: string): Promise<StoredRole | undefined> {
  const row = await db.selectFrom('roles').selectAll().where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : fromRow(row);
}

/** Writes the revision after `before`; false if somebody else wrote in the meantime. */
export async function writeRole(
  tx: Tx,
  role: Role,
  source: string,
  before: StoredRole | undefined,
  by: string,
  now: number,
): Promise<boolean> {
  const columns = { document: JSON.stringify(role), source, updated_at: now, updated_by: by };
  if (before === undefined) {
    const { numInsertedOrUpdatedRows } = await tx
      .insertInto('roles')
      .values({ name: role.name, revision: 1, ...columns })
      .onConflict((on) => on.column('name').doNothing())
      .executeTakeFirst();
    return numInsertedOrUpdatedRows === 1n;
  }
  const { numUpdatedRows } = await tx
    .updateTable('roles')
    .set({ ...columns, revision: before.revision + 1 })
    .where('name', '=', role.name)
    .where('revision', '=', before.revision)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function deleteRole(tx: Tx, name: string): Promise<void> {
  await tx.deleteFrom('roles').where('name', '=', name).execute();
}

/** Users by name; all of them, or only enabled ones. */
export async function holders(
  db: Db,
  which: 'all' | 'enabled',
): Promise<readonly { readonly name: string; readonly roles: readonly string[] }[]> {
  const all = db.selectFrom('users').select(['name', 'roles']).orderBy('name');
  const rows = await (which === 'all' ? all : all.where('disabled_at', 'is', null)).execute();
  return rows.map(({ name, roles }) => ({ name, roles: JSON.parse(roles) as string[] }));
}

function fromRow(row: Row<'roles'>): StoredRole {
  return {
    role: roleSchema.parse(JSON.parse(row.document)),
    source: row.source,
    revision: row.revision,
    updatedAt: row.updated_at,
    updatedBy: row.updated_by,
  };
}
