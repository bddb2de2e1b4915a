/** Notes on sessions, and cases with their items and history. Removed items stay, with the user who removed them and the time. */
import type { StateMigration } from '../engine/dialect.js';

export const cases: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('notes')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('offset_ms', types.integer)
      .addColumn('text', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('removed_by', 'text')
      .addColumn('removed_at', types.integer)
      .execute();
    await schema.createIndex('notes_session').on('notes').column('session').execute();
    await schema
      .createTable('cases')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('title', 'text', (column) => column.notNull())
      .addColumn('summary', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('assignee', 'text')
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .addColumn('closing', 'text')
      .addColumn('signed', 'text')
      .execute();
    await schema
      .createTable('case_items')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('case', 'text', (column) => column.notNull())
      .addColumn('position', types.integer, (column) => column.notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('offset_ms', types.integer)
      .addColumn('finding', 'text', (column) => column.notNull())
      .addColumn('query', 'text', (column) => column.notNull())
      .addColumn('note', 'text', (column) => column.notNull())
      .addColumn('added_by', 'text', (column) => column.notNull())
      .addColumn('added_at', types.integer, (column) => column.notNull())
      .addColumn('removed_by', 'text')
      .addColumn('removed_at', types.integer)
      .addUniqueConstraint('case_items_order', ['case', 'position'])
      .execute();
    await schema
      .createTable('case_history')
      .addColumn('case', 'text', (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .addColumn('by', 'text', (column) => column.notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('text', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('case_history_pk', ['case', 'version'])
      .execute();
  },
};
