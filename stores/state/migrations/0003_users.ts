/** Third step: users' credentials, logins in progress, failed guesses, confirmations of sessions, and bots. */
import type { StateMigration } from '../engine/dialect.js';

export const users: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .alterTable('users')
      .addColumn('kind', 'text', (column) => column.notNull().defaultTo('local'))
      .execute();
    await schema.alterTable('users').addColumn('connector', 'text').execute();
    await schema
      .alterTable('users')
      .addColumn('traits', 'text', (column) => column.notNull().defaultTo('{}'))
      .execute();
    await schema
      .alterTable('users')
      .addColumn('created_by', 'text', (column) => column.notNull().defaultTo('authority'))
      .execute();
    await schema.alterTable('users').addColumn('password_hash', 'text').execute();
    await schema.alterTable('users').addColumn('password_changed_at', types.integer).execute();

    await schema
      .alterTable('web_sessions')
      .addColumn('via', 'text', (column) => column.notNull().defaultTo('link'))
      .execute();
    await schema.alterTable('web_sessions').addColumn('mfa', 'text').execute();

    await schema.alterTable('sign_in_links').addColumn('session_until', types.integer).execute();
    await schema.alterTable('sign_in_links').addColumn('mfa', 'text').execute();

    await schema
      .createTable('mfa_devices')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('label', 'text', (column) => column.notNull())
      .addColumn('secret_sealed', types.bytes)
      .addColumn('credential_id', 'text', (column) => column.unique())
      .addColumn('public_key', types.bytes)
      .addColumn('counter', types.integer, (column) => column.notNull())
      .addColumn('transports', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('last_used_at', types.integer)
      .execute();
    await schema.createIndex('mfa_devices_user').on('mfa_devices').column('user').execute();

    await schema
      .createTable('recovery_codes')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('used_at', types.integer)
      .execute();
    await schema.createIndex('recovery_codes_user').on('recovery_codes').column('user').execute();

    await schema
      .createTable('invitations')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('used_at', types.integer)
      .execute();

    // Steps of an enrolment or a passkey login: the expected answer, which must arrive once and in time.
    await schema
      .createTable('ceremonies')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('user', 'text', (column) => column.references('users.name').onDelete('cascade'))
      .addColumn('secret_sealed', types.bytes, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('ceremonies_expires_at').on('ceremonies').column('expires_at').execute();

    // No reference to users: guesses for unknown names are counted too.
    await schema
      .createTable('guesses')
      .addColumn('key', 'text', (column) => column.primaryKey().notNull())
      .addColumn('failures', types.integer, (column) => column.notNull())
      .addColumn('last_at', types.integer, (column) => column.notNull())
      .addColumn('blocked_until', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('login_attempts')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('connector', 'text', (column) => column.notNull())
      .addColumn('binding', 'text', (column) => column.notNull())
      .addColumn('kept_sealed', types.bytes, (column) => column.notNull())
      .addColumn('parked', 'text')
      .addColumn('next', 'text', (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('used_at', types.integer)
      .execute();
    await schema.createIndex('login_attempts_expires_at').on('login_attempts').column('expires_at').execute();

    await schema
      .createTable('device_logins')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user_code', 'text', (column) => column.notNull().unique())
      .addColumn('public_key', 'text', (column) => column.notNull())
      .addColumn('tls_key', 'text')
      .addColumn('client', 'text', (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .addColumn('wanted_user', 'text')
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('polled_at', types.integer)
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('user', 'text', (column) => column.references('users.name').onDelete('cascade'))
      .addColumn('mfa', 'text')
      .execute();
    await schema.createIndex('device_logins_expires_at').on('device_logins').column('expires_at').execute();

    await schema
      .createTable('session_confirmations')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('node', 'text', (column) => column.notNull())
      .addColumn('login', 'text', (column) => column.notNull())
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('mfa', 'text')
      .execute();
    await schema.createIndex('session_confirmations_expires_at').on('session_confirmations').column('expires_at').execute();

    await schema
      .createTable('bot_tokens')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('bot', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('used_at', types.integer)
      .execute();

    await schema
      .createTable('bot_instances')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('bot', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('public_key', 'text', (column) => column.notNull())
      .addColumn('generation', types.integer, (column) => column.notNull())
      .addColumn('attempt', 'text')
      .addColumn('joined_at', types.integer, (column) => column.notNull())
      .addColumn('renewed_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('source', 'text', (column) => column.notNull())
      .addColumn('stopped_at', types.integer)
      .execute();
  },
};
