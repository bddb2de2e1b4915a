/** What a saved search is written in: the language of searches, as all were until now, or SQL. */
import type { StateMigration } from '../engine/dialect.js';

export const savedQueries: StateMigration = {
  async up({ schema }) {
    await schema
      .alterTable('saved_searches')
      .addColumn('language', 'text', (column) => column.notNull().defaultTo('search'))
      .execute();
  },
};
