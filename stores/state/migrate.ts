/**
 * Brings the state store to the schema of this code, or refuses one that is newer.
 *
 * Kysely's migrator runs each step and its own record of it in one transaction if the engine has transactions over
 * definitions (SQLite, PostgreSQL have), so a crash leaves only complete steps. Tested in `state.test.ts`.
 */
import { Migrator } from 'kysely';
import type { Kysely, Migration } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import { columnTypes } from './engine/dialect.js';
import type { StateEngine, StateMigration } from './engine/dialect.js';
import { firstMigrations } from './migrations/from-0001.js';
import { secondMigrations } from './migrations/from-0011.js';
import { thirdMigrations } from './migrations/from-0021.js';

/** By number; the order of the names is the order of the steps. */
export const migrations: Readonly<Record<string, StateMigration>> = { ...firstMigrations, ...secondMigrations, ...thirdMigrations };

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
  // A record of a step that this code does not have means a newer store; the migrator would call it corrupt.
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
