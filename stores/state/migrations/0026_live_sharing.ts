/** Participants of live sessions, as reported by their gateways, and invitations to them. */
import type { StateMigration } from '../engine/dialect.js';

export const liveSharing: StateMigration = {
  async up({ schema }, types) {
    await schema.alterTable('live_sessions').addColumn('details', 'text').execute();
    await schema
      .createTable('session_invitations')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('session', 'text', (column) => column.notNull())
      .addColumn('session_user', 'text', (column) => column.notNull())
      .addColumn('node', 'text', (column) => column.notNull())
      .addColumn('login', 'text', (column) => column.notNull())
      .addColumn('user', 'text', (column) => column.notNull())
      .addColumn('mode', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('invited_by', 'text', (column) => column.notNull())
      .addColumn('roles', 'text', (column) => column.notNull())
      .addColumn('traits', 'text', (column) => column.notNull())
      .addColumn('own_since', types.integer)
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('used_at', types.integer)
      .addColumn('revoked_at', types.integer)
      .addColumn('revoked_by', 'text')
      .execute();
    await schema.createIndex('session_invitations_session').on('session_invitations').column('session').execute();
    await schema.createIndex('session_invitations_expiry').on('session_invitations').column('expires_at').execute();
  },
};
