/**
 * A transaction that is retried after a serialization failure.
 *
 * PostgreSQL runs serializable transactions concurrently and aborts those whose outcome no serial order explains (SQLSTATE
 * 40001, 40P01); its documentation says to retry them. SQLite has one writer and never aborts one. `change` may therefore
 * run more than once, and its effects outside the transaction must allow for that. If the connection is lost during the commit,
 * the outcome is unknown: STORE_UNAVAILABLE, without a retry. Tested in `postgres.test.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
import type { StateSchema } from './schema.js';

const LOST_RACES: ReadonlySet<unknown> = new Set(['40001', '40P01']);
/** Texts of pg and pg-pool, which give these errors no code. */
const LOST_CONNECTION =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client (has encountered a connection error|was closed) and is not queryable)/;
const MAX_RUNS = 20;
const LONGEST_PAUSE_MS = 100;

/**
 * Whether an error of a query means that the store cannot be reached or cannot serve now, rather than that the query is
 * wrong: SQLSTATE classes 08 (connection), 53 (resources), 57P (shutdown), and the operating system's errors of sockets.
 */
export function isStoreFailure(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === 'string')
    return /^(08...|53...|57P..|ECONN[A-Z]+|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|SQLITE_(BUSY|IOERR|FULL|CANTOPEN|READONLY)[A-Z_]*)$/.test(
      code,
    );
  return error instanceof Error && LOST_CONNECTION.test(error.message);
}

export async function transact<T>(database: Kysely<StateSchema>, change: (tx: Transaction<StateSchema>) => Promise<T>): Promise<T> {
  for (let run = 1; ; run += 1) {
    try {
      return await database.transaction().execute(change);
    } catch (error) {
      if (run >= MAX_RUNS || !LOST_RACES.has((error as { code?: unknown }).code)) throw error;
      await sleep(Math.random() * Math.min(2 ** run, LONGEST_PAUSE_MS));
    }
  }
}
