/** Services that join by token (schemas/service-join.ts), and the tokens they join with. */
import type { StateMigration } from '../engine/dialect.js';

export const services: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('service_tokens')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('name', 'text')
      .addColumn('public_key', 'text', (column) => column.notNull())
      .addColumn('uses_left', types.integer, (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('joined_services')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('key_hash', 'text', (column) => column.notNull())
      .addColumn('token', 'text', (column) => column.notNull())
      .addColumn('joined_at', types.integer, (column) => column.notNull())
      .addColumn('removed_at', types.integer)
      .addPrimaryKeyConstraint('joined_services_key', ['kind', 'name'])
      .execute();
  },
};
