/**
 * Users who could get into an account, the role documents that an access request is about, and names that were used before.
 *
 * Open requests are pinned to the current roles. Earlier uses of a name are known from the certificates issued for it.
 */
import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { StateMigration } from '../engine/dialect.js';

interface Before {
  access_requests: { id: string; state: string; items: string; pins: string };
  roles: { name: string; document: string; revision: number };
  users: { name: string; created_at: number; own_since: number | null };
  certificates: { kind: string; user: string; issued_at: number };
  user_names: { name: string; removed_at: number; released_at: number | null };
}

export const power: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .alterTable('users')
      .addColumn('handlers', 'text', (column) => column.notNull().defaultTo('[]'))
      .execute();
    await schema.alterTable('users').addColumn('own_since', types.integer).execute();
    await schema
      .alterTable('connectors')
      .addColumn('handlers', 'text', (column) => column.notNull().defaultTo('[]'))
      .execute();
    await schema
      .alterTable('access_requests')
      .addColumn('pins', 'text', (column) => column.notNull().defaultTo('{}'))
      .execute();
    await schema
      .createTable('user_names')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('removed_at', types.integer, (column) => column.notNull())
      .addColumn('released_at', types.integer)
      .execute();
    const db = database as Kysely<Before>;
    const roles = new Map(
      (await db.selectFrom('roles').select(['name', 'document', 'revision']).execute()).map((role) => [role.name, role]),
    );
    for (const { id, items } of await db
      .selectFrom('access_requests')
      .select(['id', 'items'])
      .where('state', 'in', ['pending', 'approved'])
      .execute()) {
      const names = new Set((JSON.parse(items) as { readonly role: string }[]).map(({ role }) => role));
      const pins = Object.fromEntries(
        [...names].flatMap((name) => {
          const role = roles.get(name);
          return role === undefined ? [] : [[name, { revision: role.revision, document: JSON.parse(role.document) as unknown }]];
        }),
      );
      await db
        .updateTable('access_requests')
        .set({ pins: JSON.stringify(pins) })
        .where('id', '=', id)
        .execute();
    }
    const users = new Map(
      (await db.selectFrom('users').select(['name', 'created_at']).execute()).map(({ name, created_at: at }) => [name, at]),
    );
    const used = await db
      .selectFrom('certificates')
      .select(['user', sql<number>`min(issued_at)`.as('first'), sql<number>`max(issued_at)`.as('last')])
      .where('kind', '=', 'user')
      .groupBy('user')
      .execute();
    for (const { user: name, first, last } of used) {
      const created = users.get(name);
      // A certificate from before the user was created belonged to an earlier user of the name.
      if (created === undefined)
        await db
          .insertInto('user_names')
          .values({ name, removed_at: Number(last), released_at: null })
          .execute();
      else if (Number(first) < created) {
        await db.insertInto('user_names').values({ name, removed_at: created, released_at: created }).execute();
        await db.updateTable('users').set({ own_since: created }).where('name', '=', name).execute();
      }
    }
  },
};
