/**
 * Brings the state store to the schema of this code, or refuses one that is newer.
 *
 * Kysely's migrator runs each step and its own record of it in one transaction where the engine has transactions
 * over definitions (SQLite, PostgreSQL), so a crash leaves whole steps. Tested in `state.test.ts`.
 */
import { Migrator } from 'kysely';
import type { Kysely, Migration } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import { columnTypes } from './engine/dialect.js';
import type { StateEngine, StateMigration } from './engine/dialect.js';
import { tables } from './migrations/0001_tables.js';
import { caKeys } from './migrations/0002_ca_keys.js';
import { users } from './migrations/0003_users.js';
import { roleDocuments } from './migrations/0004_role_documents.js';
import { requests } from './migrations/0005_requests.js';
import { nodes } from './migrations/0006_nodes.js';
import { clusters } from './migrations/0007_clusters.js';
import { connectors } from './migrations/0008_connectors.js';
import { requestNonces } from './migrations/0009_request_nonces.js';
import { sessionPlaces } from './migrations/0010_session_places.js';
import { streamsInFull } from './migrations/0011_streams_in_full.js';
import { power } from './migrations/0012_power.js';
import { gatewayIdentity } from './migrations/0013_gateway_identity.js';
import { sharedWork } from './migrations/0014_shared_work.js';
import { services } from './migrations/0015_services.js';
import { liveSessions } from './migrations/0016_live_sessions.js';
import { sessionNotices } from './migrations/0017_session_notices.js';
import { kubeClusters } from './migrations/0018_kube_clusters.js';

/** By number; the names are the order. */
export const migrations: Readonly<Record<string, StateMigration>> = {
  '0001_tables': tables,
  '0002_ca_keys': caKeys,
  '0003_users': users,
  '0004_role_documents': roleDocuments,
  '0005_requests': requests,
  '0006_nodes': nodes,
  '0007_clusters': clusters,
  '0008_connectors': connectors,
  '0009_request_nonces': requestNonces,
  '0010_session_places': sessionPlaces,
  '0011_streams_in_full': streamsInFull,
  '0012_power': power,
  '0013_gateway_identity': gatewayIdentity,
  '0014_shared_work': sharedWork,
  '0015_services': services,
  '0016_live_sessions': liveSessions,
  '0017_session_notices': sessionNotices,
  '0018_kube_clusters': kubeClusters,
};

export async function migrateState<Schema>(
  database: Kysely<Schema>,
  engine: StateEngine,
  steps: Readonly<Record<string, StateMigration>> = migrations,
): Promise<void> {
  const types = columnTypes[engine];
  const provided: Record<string, Migration> = {};
  for (const [name, { up }] of Object.entries(steps)) provided[name] = { up: (on: Kysely<unknown>) => up(on, types) };
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: () => Promise.resolve(provided) },
    migrationTableName: 'schema_migrations',
    migrationLockTableName: 'schema_migrations_lock',
  });
  // A record of a step that this code does not have is a newer store; the migrator would call it corrupt.
  const applied = await appliedNames(database);
  const unknown = applied.find((name) => !Object.hasOwn(steps, name));
  if (unknown !== undefined) throw new StenoError('STORE_NEWER', `state step ${unknown}`);
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw new StenoError('STORE_UNAVAILABLE', 'a step of the state schema failed', { cause: error });
}

async function appliedNames<Schema>(database: Kysely<Schema>): Promise<readonly string[]> {
  const tables_ = await database.introspection.getTables({ withInternalKyselyTables: true });
  if (!tables_.some(({ name }) => name === 'schema_migrations')) return [];
  const untyped = database as unknown as Kysely<{ schema_migrations: { name: string } }>;
  const rows = await untyped.selectFrom('schema_migrations').select('name').execute();
  return rows.map(({ name }) => name);
}
