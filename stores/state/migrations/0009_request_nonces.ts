/** Nonces of signed requests, for authorities that share a store: only one of them accepts a request. */
import type { StateMigration } from '../engine/dialect.js';

export const requestNonces: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('request_nonces')
      .addColumn('nonce', 'text', (column) => column.primaryKey().notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('request_nonces_expires_at').on('request_nonces').column('expires_at').execute();
  },
};
