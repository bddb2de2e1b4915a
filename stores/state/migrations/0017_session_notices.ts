/** Notices to live sessions (schemas/session-notice.ts), published for a short time. */
import type { StateMigration } from '../engine/dialect.js';

export const sessionNotices: StateMigration = {
  async up(database, types) {
    await database.schema
      .createTable('session_notices')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('text', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
