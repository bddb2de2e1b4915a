/** Honey tokens, with their text. */
import type { StateMigration } from '../engine/dialect.js';

export const honeyTokens: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('honey_tokens')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('note', 'text', (column) => column.notNull())
      .addColumn('text', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
