/** Detection rules with their versions, suppressions, announced findings, and webhook messages stored with their content. */
import type { StateMigration } from '../engine/dialect.js';

export const detection: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('rules')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('title', 'text', (column) => column.notNull())
      .addColumn('level', 'text', (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('enabled', types.integer, (column) => column.notNull())
      .execute();
    // No reference to `rules`: a rule that is created again under an id continues its version numbers.
    await schema
      .createTable('rule_versions')
      .addColumn('rule', 'text', (column) => column.notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('text', 'text', (column) => column.notNull())
      .addColumn('origin', 'text', (column) => column.notNull())
      .addColumn('by', 'text', (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('rule_versions_pk', ['rule', 'version'])
      .execute();
    // One row: changes with every rule.
    await schema
      .createTable('rule_set')
      .addColumn('id', types.integer, (column) => column.primaryKey().notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('rule_reports')
      .addColumn('rule', 'text', (column) => column.primaryKey().notNull())
      .addColumn('version', types.integer, (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('detail', 'text', (column) => column.notNull())
      .addColumn('hits', types.integer, (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('suppressions')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('scope', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('hits', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('announced_findings')
      .addColumn('finding', 'text', (column) => column.primaryKey().notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('announced_findings_at').on('announced_findings').column('at').execute();
    // The content of a message that is not about an access request; `request` is then empty.
    await schema.alterTable('webhook_outbox').addColumn('payload', 'text').execute();
  },
};
