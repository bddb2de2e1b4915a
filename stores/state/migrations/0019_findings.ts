/** The current decision about each finding. The rows of the audit log are its history. */
import type { StateMigration } from '../engine/dialect.js';

export const findings: StateMigration = {
  async up(database, types) {
    await database.schema
      .createTable('finding_states')
      .addColumn('finding', 'text', (column) => column.primaryKey().notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('by', 'text', (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .execute();
  },
};
