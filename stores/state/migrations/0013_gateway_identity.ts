/**
 * Data that belongs to gateways and not to nodes: the names by which clients dial them, their host keys, and the users'
 * connections for which they have requested session certificates.
 */
import type { Kysely } from 'kysely';
import { canonicalHost } from '#schemas/base/host-name.js';
import type { StateMigration } from '../engine/dialect.js';

/** How long existing gateways keep their names without a sign of life. */
const KEPT_MS = 30 * 86_400_000;

export const gatewayIdentity: StateMigration = {
  async up(database, types) {
    const { schema } = database;
    await schema
      .createTable('gateway_names')
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('until', types.integer, (column) => column.notNull())
      .addPrimaryKeyConstraint('gateway_names_key', ['gateway', 'name'])
      .execute();
    await schema
      .createTable('gateway_host_keys')
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('key_hash', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('gateway_host_keys_key', ['gateway', 'key_hash'])
      .execute();
    await schema
      .createTable('user_proofs')
      .addColumn('hash', 'text', (column) => column.primaryKey().notNull())
      .addColumn('gateway', 'text', (column) => column.notNull())
      .addColumn('login', 'text', (column) => column.notNull())
      .addColumn('node', 'text', (column) => column.notNull())
      .addColumn('seen_at', types.integer, (column) => column.notNull())
      .addColumn('expires_at', types.integer, (column) => column.notNull())
      .execute();
    await schema.createIndex('user_proofs_expires_at').on('user_proofs').column('expires_at').execute();
    await schema
      .alterTable('nodes')
      .addColumn('node_principals', types.integer, (column) => column.notNull().defaultTo(0))
      .execute();
    await keepNames(database as Kysely<Before>);
  },
};

interface Before {
  certificates: { kind: string; key_id: string; principals: string; valid_before: number };
  gateway_names: { gateway: string; name: string; until: number };
}

async function keepNames(database: Kysely<Before>): Promise<void> {
  const prefix = 'host gateway/';
  const rows = await database
    .selectFrom('certificates')
    .select(['key_id', 'principals', 'valid_before'])
    .where('kind', '=', 'host')
    .where('key_id', 'like', `${prefix}%`)
    .execute();
  const names = new Map<string, { gateway: string; name: string; until: number }>();
  for (const { key_id, principals, valid_before } of rows) {
    const gateway = key_id.slice(prefix.length);
    // Nobody dials a gateway by the name of the service, and a node may have that name.
    for (const name of (JSON.parse(principals) as string[])
      .map(canonicalHost)
      .filter((one) => one !== gateway && one !== `${gateway}.steno`)) {
      const key = JSON.stringify([gateway, name]);
      names.set(key, { gateway, name, until: Math.max(Number(valid_before) + KEPT_MS, names.get(key)?.until ?? 0) });
    }
  }
  for (const row of names.values()) await database.insertInto('gateway_names').values(row).execute();
}
