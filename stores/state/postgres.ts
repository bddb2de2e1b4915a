/**
 * PostgreSQL as the state store: for several authorities, or if a backed-up database already exists.
 *
 * Transactions are SERIALIZABLE, so code that is correct with SQLite's single writer is correct here; `transact` retries
 * those that lose a race. 64-bit integers are returned as numbers, as in SQLite. `synchronous_commit` is on for
 * every connection, whatever the server's default: a commit that returned survives a power loss. Tested in
 * `postgres.test.ts`, with a real server.
 */
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { StenoError } from '#schemas/base/errors.js';
import { installChangeTriggers } from './directory-changes.js';
import { migrateState } from './migrate.js';
import type { StateSchema } from './schema.js';

export interface PostgresOptions {
  readonly kind: 'postgres';
  /** `postgres://user@host:port/database?…` as libpq reads it; passwords also from `PGPASSWORD` or a pgpass file. */
  readonly url: string;
}

const MAX_CONNECTIONS = 10;
const CONNECT_MS = 10_000;
const STATEMENT_MS = 30_000;
const INT8 = 20;

/** One connection's settings, for queries and for the watch alike. */
export function connectionOptions(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'steno',
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    keepAlive: true,
    options: '-c default_transaction_isolation=serializable -c synchronous_commit=on',
    types: {
      getTypeParser: (oid: number, format?: 'text' | 'binary'): unknown =>
        oid === INT8 ? safeInteger : pg.types.getTypeParser(oid, format as 'text'),
    } as pg.CustomTypesConfig,
  };
}

/** The schema is up to date when it resolves. Errors: STORE_NEWER; STORE_UNAVAILABLE if the server cannot be used. */
export async function openPostgres({ url }: PostgresOptions): Promise<Kysely<StateSchema>> {
  let kysely: Kysely<StateSchema> | undefined;
  try {
    const pool = new pg.Pool({ ...connectionOptions(url), max: MAX_CONNECTIONS });
    // A connection that the server closes is replaced at its next use, and a running query is rejected. pg also emits an
    // error event, which ends the process if nobody listens: the pool listens on idle connections, but not on those in use.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    kysely = new Kysely<StateSchema>({ dialect: new PostgresDialect({ pool }) });
    await migrateState(kysely, 'postgres');
    await publishChanges(kysely);
    await installChangeTriggers(kysely, 'postgres');
    return kysely;
  } catch (error) {
    await kysely?.destroy();
    if (error instanceof StenoError) throw error;
    throw new StenoError('STORE_UNAVAILABLE', `the state store at ${placeOf(url)} cannot be used`, { cause: error });
  }
}

/** The channel on which authorities of one store are notified of changes to published state. */
export const CHANGE_CHANNEL = 'steno_changed';

/** Tables about whose new rows other authorities are notified. The payload is the table's name. */
const published: readonly (keyof StateSchema)[] = ['audit_outbox', 'directory_changes'];

/** Creates triggers that notify of rows when their transaction commits. Recreated at every opening, so that additions to the list take effect. */
async function publishChanges(database: Kysely<StateSchema>): Promise<void> {
  await database.transaction().execute(async (tx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtext('steno publish changes'))`.execute(tx);
    await sql`CREATE OR REPLACE FUNCTION steno_notify() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('${sql.raw(CHANGE_CHANNEL)}', TG_TABLE_NAME); RETURN NULL; END $$`.execute(
      tx,
    );
    // Remove the triggers of older stores, which the change log replaces.
    for (const table of ['roles', 'locks', 'access_requests', 'trusted_clusters', 'ca_keys', 'ca_rotations', 'nodes'])
      await sql`DROP TRIGGER IF EXISTS ${sql.ref(`steno_notify_${table}`)} ON ${sql.table(table)}`.execute(tx);
    for (const table of published) {
      const trigger = sql.ref(`steno_notify_${table}`);
      await sql`DROP TRIGGER IF EXISTS ${trigger} ON ${sql.table(table)}`.execute(tx);
      await sql`CREATE TRIGGER ${trigger} AFTER INSERT ON ${sql.table(table)} FOR EACH STATEMENT EXECUTE FUNCTION steno_notify()`.execute(
        tx,
      );
    }
  });
}

/** The address without the password. */
export function placeOf(url: string): string {
  try {
    const { protocol, hostname, port, pathname } = new URL(url);
    return `${protocol}//${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
  } catch {
    return 'an address that is not a URL';
  }
}

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new StenoError('STORE_UNAVAILABLE', 'the state store holds a number beyond 2^53');
  return value;
}
