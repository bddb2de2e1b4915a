/** Kubernetes clusters that gateways lead to. Each change has a revision of its own, so that gateways know an older upstream. */
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
