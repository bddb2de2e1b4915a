/**
 * Opens the state store: SQLite for one authority, PostgreSQL (postgres.ts) for several. Every query is written through
 * Kysely, so both run the same code.
 *
 * Durability of SQLite: WAL with synchronous=FULL, so a commit that returned survives a power loss. One writer at a time;
 * other writers wait for at most `busyTimeoutMs`. The file and its companions (`-wal`, `-shm`) hold sealed CA keys and are
 * readable by their owner only. Tested in `state.test.ts`.
 */
import { chmod, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { Kysely, SqliteAdapter, SqliteDialect } from 'kysely';
import type { DialectAdapter } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import { installChangeTriggers } from './directory-changes.js';
import { migrateState } from './migrate.js';
import type { PostgresOptions } from './postgres.js';
import type { StateSchema } from './schema.js';

export interface SqliteOptions {
  readonly kind: 'sqlite';
  /** Created with mode 0600, its folder with 0700. */
  readonly file: string;
}

export type StateOptions = SqliteOptions | PostgresOptions;

const busyTimeoutMs = 5_000;

/**
 * The schema is up to date when it resolves. Close with `destroy()`. Errors: STORE_NEWER; STORE_UNAVAILABLE if the
 * file cannot be opened, is not a database, or stays locked.
 */
export async function openState(options: StateOptions): Promise<Kysely<StateSchema>> {
  // Load the driver only when it is used.
  return options.kind === 'postgres' ? (await import('./postgres.js')).openPostgres(options) : openSqlite(options);
}

async function openSqlite(options: SqliteOptions): Promise<Kysely<StateSchema>> {
  let database: Database.Database | undefined;
  let kysely: Kysely<StateSchema> | undefined;
  try {
    await mkdir(dirname(options.file), { recursive: true, mode: 0o700 });
    // SQLite gives the companion files the mode of the main file, so set the mode before SQLite opens the file.
    const file = await open(options.file, 'a', 0o600);
    await file.close();
    await chmod(options.file, 0o600);
    database = new Database(options.file, { timeout: busyTimeoutMs });
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    // The file may have been edited by somebody else, so its schema must not call functions with side effects.
    database.pragma('trusted_schema = OFF');
    kysely = new Kysely<StateSchema>({ dialect: new TransactionalSqliteDialect({ database }) });
    await migrateState(kysely, 'sqlite');
    await installChangeTriggers(kysely, 'sqlite');
    return kysely;
  } catch (error) {
    if (kysely !== undefined) await kysely.destroy();
    else database?.close();
    if (error instanceof StenoError) throw error;
    throw new StenoError('STORE_UNAVAILABLE', `the state store at ${options.file} cannot be opened`, { cause: error });
  }
}

/** SQLite supports definitions in transactions; Kysely's own adapter does not use this. */
class TransactionalSqliteDialect extends SqliteDialect {
  override createAdapter(): DialectAdapter {
    return new TransactionalSqliteAdapter();
  }
}

class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}
