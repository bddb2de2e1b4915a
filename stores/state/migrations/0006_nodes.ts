/** Join tokens, facts recorded when a node joined, and the gateway that holds each node's tunnel. */
import type { StateMigration } from '../engine/dialect.js';

export const nodes: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('join_tokens')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('public_key', 'text', (column) => column.notNull())
      .addColumn('labels', 'text', (column) => column.notNull())
      .addColumn('node_labels', 'text', (column) => column.notNull())
      .addColumn('uses_left', types.integer, (column) => column.notNull())
      .addColumn('created_by', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('join_nonces')
      .addColumn('nonce', 'text', (column) => column.primaryKey().notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('join_nonces_expires_at').on('join_nonces').column('expires_at').execute();

    await schema
      .createTable('joined_nodes')
      .addColumn('node', 'text', (column) => column.primaryKey().notNull().references('nodes.name').onDelete('cascade'))
      .addColumn('token', 'text', (column) => column.notNull())
      .addColumn('service_key', 'text', (column) => column.notNull())
      .addColumn('key_hash', 'text', (column) => column.notNull())
      .addColumn('ssh', 'text', (column) => column.notNull())
      .addColumn('token_labels', 'text', (column) => column.notNull())
      .addColumn('node_labels', 'text', (column) => column.notNull())
      .addColumn('own_labels', 'text', (column) => column.notNull())
      .addColumn('joined_at', types.integer, (column) => column.notNull())
      .addColumn('said_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('node_holders')
      .addColumn('holder', 'text', (column) => column.primaryKey().notNull())
      .addColumn('epoch', 'text', (column) => column.notNull())
      .addColumn('address', 'text', (column) => column.notNull())
      .addColumn('seen_at', types.integer, (column) => column.notNull())
      .execute();

    await schema
      .createTable('node_links')
      .addColumn('node', 'text', (column) => column.notNull())
      .addColumn('holder', 'text', (column) => column.notNull().references('node_holders.holder').onDelete('cascade'))
      .addColumn('since', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('node_links_key', ['node', 'holder'])
      .execute();
  },
};
