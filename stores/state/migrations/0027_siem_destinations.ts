/** Destinations that rows are sent on to: documents, which name their secrets. */
import type { StateMigration } from '../engine/dialect.js';

export const siemDestinations: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('siem_destinations')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('document', 'text', (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
