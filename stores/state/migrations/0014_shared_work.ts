/**
 * For authorities that share a store, and for services that follow them: the log of changes to published data, leases, and
 * gateways' reports about locks.
 */
import type { StateMigration } from '../engine/dialect.js';

export const sharedWork: StateMigration = {
  async up({ schema }, types) {
    await types
      .serial(schema.createTable('directory_changes'), 'id')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('key', 'text', (column) => column.notNull())
      .execute();
    await types
      .serial(schema.createTable('leases'), 'token')
      .addColumn('name', 'text', (column) => column.notNull().unique())
      .addColumn('holder', 'text', (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('lock_effects')
      .addColumn('lock', 'text', (column) => column.notNull())
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('connections', types.integer, (column) => column.notNull())
      .addColumn('sessions', types.integer, (column) => column.notNull())
      .addColumn('applied_at', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('lock_effects_key', ['lock', 'gateway'])
      .execute();
  },
};
