/**
 * CA keys by generation, so that a rotation can hold two keys of one CA; the key that seals them; and the phase of each
 * rotation. Replaces `authorities`, whose keys become generation 1.
 */
import { sql } from 'kysely';
import type { StateMigration } from '../engine/dialect.js';

export const caKeys: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('ca_keys')
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('generation', types.integer, (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('signer', 'text', (column) => column.notNull())
      .addColumn('public', 'text', (column) => column.notNull())
      .addColumn('private_sealed', types.bytes)
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('retired_at', types.integer)
      .addPrimaryKeyConstraint('ca_keys_primary', ['name', 'generation'])
      .execute();
    await sql`INSERT INTO ca_keys (name, generation, state, signer, public, private_sealed, created_at)
      SELECT name, 1, 'active', 'sealed', public, private_sealed, created_at FROM authorities`.execute(database);
    await schema.dropTable('authorities').execute();

    await schema
      .createTable('ca_rotations')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('phase', 'text', (column) => column.notNull())
      .addColumn('changed_at', types.integer, (column) => column.notNull())
      .addColumn('changed_by', 'text', (column) => column.notNull())
      .addColumn('switched_at', types.integer)
      .addColumn('grace_ms', types.integer)
      .execute();

    await schema
      .createTable('ca_seals')
      .addColumn('id', types.integer, (column) => column.primaryKey().notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('kdf', 'text', (column) => column.notNull())
      .addColumn('wrapped', types.bytes, (column) => column.notNull())
      .addColumn('changed_at', types.integer, (column) => column.notNull())
      .execute();
  },
};
