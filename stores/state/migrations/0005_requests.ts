/** Access requests with their reviews, webhooks with pending messages, and the decisions of access reviews. */
import type { StateMigration } from '../engine/dialect.js';

export const requests: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    // No references to users: requests and reviews outlive the users who made them.
    await schema
      .createTable('access_requests')
      .addColumn('id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('user', 'text', (column) => column.notNull())
      .addColumn('state', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('items', 'text', (column) => column.notNull())
      .addColumn('thresholds', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .addColumn('duration', types.integer, (column) => column.notNull())
      .addColumn('decided_at', types.integer)
      .addColumn('ends_at', types.integer)
      .addColumn('version', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('access_requests_created_at').on('access_requests').column('created_at').execute();
    await schema.createIndex('access_requests_state').on('access_requests').columns(['state', 'user']).execute();

    await schema
      .createTable('access_request_reviews')
      .addColumn('request', 'text', (column) => column.notNull().references('access_requests.id').onDelete('cascade'))
      .addColumn('reviewer', 'text', (column) => column.notNull())
      .addColumn('decision', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .addColumn('via', 'text', (column) => column.notNull())
      // One review per person, even if two arrive at the same time.
      .addPrimaryKeyConstraint('access_request_reviews_pk', ['request', 'reviewer'])
      .execute();

    await schema
      .createTable('webhooks')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('document', 'text', (column) => column.notNull())
      .addColumn('updated_at', types.integer, (column) => column.notNull())
      .execute();

    await types
      .serial(schema.createTable('webhook_outbox'), 'id')
      .addColumn('webhook', 'text', (column) => column.notNull().references('webhooks.name').onDelete('cascade'))
      .addColumn('request', 'text', (column) => column.notNull())
      .addColumn('event', 'text', (column) => column.notNull())
      .addColumn('created_at', types.integer, (column) => column.notNull())
      .addColumn('attempts', types.integer, (column) => column.notNull())
      .addColumn('next_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('webhook_outbox_next_at').on('webhook_outbox').column('next_at').execute();

    // The other side's name for a request, such as the key of an issue.
    await schema
      .createTable('webhook_references')
      .addColumn('webhook', 'text', (column) => column.notNull().references('webhooks.name').onDelete('cascade'))
      .addColumn('reference', 'text', (column) => column.notNull())
      .addColumn('request', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('webhook_references_pk', ['webhook', 'reference'])
      .execute();

    // Hashes of accepted answers: each is accepted once.
    await schema
      .createTable('webhook_callbacks')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();

    // Since when a user has held a role without interruption; for holders from before this table, since their account exists.
    await schema
      .createTable('role_holdings')
      .addColumn('user', 'text', (column) => column.notNull().references('users.name').onDelete('cascade'))
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('since', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('role_holdings_pk', ['user', 'role'])
      .execute();

    await types
      .serial(schema.createTable('access_decisions'), 'id')
      .addColumn('user', 'text', (column) => column.notNull())
      .addColumn('role', 'text', (column) => column.notNull())
      .addColumn('decision', 'text', (column) => column.notNull())
      .addColumn('reason', 'text', (column) => column.notNull())
      .addColumn('reviewer', 'text', (column) => column.notNull())
      .addColumn('at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('access_decisions_user').on('access_decisions').columns(['user', 'role', 'at']).execute();
  },
};
