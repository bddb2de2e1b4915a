/** Kubernetes clusters that gateways serve. Each change has a new revision, so that gateways recognize an outdated upstream. */
import type { StateMigration } from '../engine/dialect.js';

export const kubeClusters: StateMigration = {
  async up(database, types) {
    await database.schema
      .createTable('kube_clusters')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('labels', 'text', (column) => column.notNull())
      .addColumn('revision', types.integer, (column) => column.notNull())
      .addColumn('upstream_sealed', types.bytes, (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
