/** Saved searches, hits of scheduled ones that were announced already, and which user may view which session. */
import type { StateMigration } from '../engine/dialect.js';

export const workbench: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('saved_searches')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('owner', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('query', 'text', (column) => column.notNull())
      .addColumn('shared', types.integer, (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .addColumn('every_ms', types.integer)
      .addColumn('since', types.integer)
      .addColumn('next_at', types.integer)
      .addColumn('ran_at', types.integer)
      .addColumn('told', types.integer, (column) => column.notNull())
      .addColumn('error', 'text', (column) => column.notNull())
      .addUniqueConstraint('saved_searches_name', ['owner', 'name'])
      .execute();
    await schema.createIndex('saved_searches_due').on('saved_searches').column('next_at').execute();
    await schema
      .createTable('saved_search_hits')
      .addColumn('search', 'text', (column) => column.notNull().references('saved_searches.id').onDelete('cascade'))
      .addColumn('hit', 'text', (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('saved_search_hits_pk', ['search', 'hit'])
      .execute();
    await schema
      .createTable('note_tickets')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull())
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
