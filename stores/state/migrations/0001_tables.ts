/** The tables of `schema.ts`. */
import type { StateMigration } from '../engine/dialect.js';

export const tables: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('users')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('disabled_at', types.integer)
      .execute();

    await schema
      .createTable('roles')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('document', 'text', (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('nodes')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('address', 'text', (column) => column.notNull())
      .addColumn('host_keys', 'text', (column) => column.notNull())
      .addColumn('labels', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('last_seen_at', types.integer)
      .execute();

    // No reference to users: a certificate outlives the user it was issued to.
    await types
      .serial(schema.createTable('certificates'), 'serial')
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('key_id', 'text', (column) => column.notNull())
      .addColumn('user', 'text', (column) => column.notNull())
      .addColumn('principals', 'text', (column) => column.notNull())
      .addColumn('valid_after', types.integer, (column) => column.notNull())
      .addColumn('valid_before', types.integer, (column) => column.notNull())
      .addColumn('issued_at', types.integer, (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .execute();
    await schema.createIndex('certificates_user').on('certificates').columns(['user', 'issued_at']).execute();

    await schema
      .createTable('authorities')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('phase', 'text', (column) => column.notNull())
      .addColumn('public', 'text', (column) => column.notNull())
      .addColumn('private_sealed', types.bytes, (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('sign_in_links')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('used_at', types.integer)
      .execute();
    await schema.createIndex('sign_in_links_expires_at').on('sign_in_links').column('expires_at').execute();

    await schema
      .createTable('web_sessions')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('web_sessions_expires_at').on('web_sessions').column('expires_at').execute();

    await schema
      .createTable('gateways')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('recording_key', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('last_counter', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('audit_outbox')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('row', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('audit_outbox_created_at').on('audit_outbox').column('created_at').execute();

    await schema
      .createTable('locks')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('target_kind', 'text', (column) => column.notNull())
      .addColumn('target', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer)
      .execute();
    await schema.createIndex('locks_target').on('locks').columns(['target_kind', 'target']).execute();
  },
};
