/** Counts of each rule by the analyzer that reported them, since several analyzers share the sessions. */
import type { StateMigration } from '../engine/dialect.js';

export const ruleCounts: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('rule_counts')
      .addColumn('rule', 'text', (column) => column.notNull())
      .addColumn('analyzer', 'text', (column) => column.notNull())
      .addColumn('hits', types.integer, (column) => column.notNull())
      .addColumn('observations', types.integer, (column) => column.notNull())
      .addColumn('cost_us', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('rule_counts_pk', ['rule', 'analyzer'])
      .execute();
    await schema.createIndex('rule_counts_analyzer').on('rule_counts').column('analyzer').execute();
  },
};
