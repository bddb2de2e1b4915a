/** The language of a saved search: that of searches, as for all existing ones, or SQL. */
import type { StateMigration } from '../engine/dialect.js';

export const savedQueries: StateMigration = {
  async up({ schema }) {
    await schema
      .alterTable('saved_searches')
      .addColumn('language', 'text', (column) => column.notNull().defaultTo('search'))
      .execute();
  },
};
