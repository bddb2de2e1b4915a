/** Clusters that this one trusts, and this cluster's own statement. */
import type { StateMigration } from '../engine/dialect.js';

export const clusters: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('trusted_clusters')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('document', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('own_cluster')
      .addColumn('id', types.integer, (column) => column.primaryKey().notNull())
      .addColumn('gateways', 'text', (column) => column.notNull())
      .addColumn('updates', 'text')
      .execute();
  },
};
