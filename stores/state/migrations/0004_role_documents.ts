/** Fourth step: the text of roles as it was written, and its revision. */
import type { StateMigration } from '../engine/dialect.js';

export const roleDocuments: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .alterTable('roles')
      .addColumn('source', 'text', (column) => column.notNull().defaultTo(''))
      .execute();
    await schema
      .alterTable('roles')
      .addColumn('revision', types.integer, (column) => column.notNull().defaultTo(1))
      .execute();
    await schema
      .alterTable('roles')
      .addColumn('updated_by', 'text', (column) => column.notNull().defaultTo('authority'))
      .execute();
  },
};
