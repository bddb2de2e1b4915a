/** The gateway and the ingest that hold a live session, and the keys of services that were removed before their certificates expired. */
import { sql } from 'kysely';
import type { StateMigration } from '../engine/dialect.js';

export const liveSessions: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .alterTable('node_holders')
      .addColumn('ingest', 'text', (column) => column.notNull().defaultTo(''))
      .execute();
    await schema
      .createTable('live_sessions')
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('holder', 'text', (column) => column.notNull().references('node_holders.holder').onDelete('cascade'))
      .addColumn('since', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('live_sessions_key', ['session', 'holder'])
      .execute();
    await schema.createIndex('live_sessions_holder').on('live_sessions').column('holder').execute();
    await schema
      .createTable('removed_services')
      .addColumn('key_hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('service', 'text', (column) => column.notNull())
      .addColumn('until', types.integer, (column) => column.notNull())
      .execute();
    // Certificates of services that are already removed are valid for at most a day.
    await sql`INSERT INTO removed_services (key_hash, service, until)
      SELECT key_hash, min(kind || '/' || name), max(removed_at) + 86400000 FROM joined_services
      GROUP BY key_hash HAVING count(removed_at) = count(*)`.execute(database);
  },
};
