/** Users' connections to nodes over all gateways: a row per connection, and a row per run of a gateway that is alive. */
import type { StateMigration } from '../engine/dialect.js';

export const sessionPlaces: StateMigration = {
  async up({ schema }, types) {
    await schema
      .createTable('session_place_holders')
      .addColumn('run', 'text', (column) => column.primaryKey().notNull())
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('seen_at', types.integer, (column) => column.notNull())
      .execute();
    await schema
      .createTable('session_places')
      .addColumn('run', 'text', (column) => column.notNull().references('session_place_holders.run').onDelete('cascade'))
      .addColumn('number', types.integer, (column) => column.notNull())
      .addColumn('user', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('session_places_key', ['run', 'number'])
      .execute();
    await schema.createIndex('session_places_user').on('session_places').column('user').execute();
  },
};
