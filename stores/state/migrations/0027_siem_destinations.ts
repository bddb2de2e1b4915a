/** SIEM destinations: documents that refer to their secrets by name. */
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
