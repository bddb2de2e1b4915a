/** Eighth step: connectors of single sign-on, accepted assertions, and the person to whom each name belongs. */
import type { StateMigration } from '../engine/dialect.js';

export const connectors: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('connectors')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('document', 'text', (column) => column.notNull())
      .addColumn('secret_sealed', types.bytes, (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('sso_assertions')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('sso_assertions_expires_at').on('sso_assertions').column('expires_at').execute();

    // No reference to users: the name is bound before the user exists.
    await schema
      .createTable('sso_subjects')
      .addColumn('user', 'text', (column) => column.primaryKey().notNull())
      .addColumn('connector', 'text', (column) => column.notNull())
      .addColumn('subject', 'text', (column) => column.notNull())
      .addColumn('bound_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
