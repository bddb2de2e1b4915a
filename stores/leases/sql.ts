/**
 * Leases in the state store, SQLite and PostgreSQL: one row per lease held. The row's number is the token.
 *
 * Expiry goes by the store's clock: PostgreSQL's own, so that authorities whose clocks differ agree; the process's with SQLite,
 * which has one. Tested in leases.test.ts.
 */
import { sql } from 'kysely';
import type { Kysely, Transaction } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import { beginsWith } from '../state/begins-with.js';
import type { StateEngine } from '../state/engine/dialect.js';
import type { StateSchema } from '../state/schema.js';
import { transact } from '../state/transaction.js';
import { MAX_HELD_NAMES, MAX_LEASE_MS } from '#schemas/api/services/leases.js';
import type { LeaseClaim, LeaseRequest, Leases } from './contract.js';

type Tx = Transaction<StateSchema>;
type StoreClock = (tx: Tx) => Promise<number>;

export function storeClock(engine: StateEngine, clock: () => number): StoreClock {
  if (engine === 'sqlite') return async () => clock();
  return async (tx) => {
    const { rows } = await sql<{ now: string | number }>`SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now`.execute(
      tx,
    );
    return Number(rows[0]!.now);
  };
}

export class SqlLeases implements Leases {
  readonly #db: Kysely<StateSchema>;
  readonly #now: StoreClock;

  constructor(db: Kysely<StateSchema>, now: StoreClock) {
    this.#db = db;
    this.#now = now;
  }

  async acquire({ name, holder, ttlMs }: LeaseRequest): Promise<number | null> {
    assertSpan(ttlMs);
    try {
      return await transact(this.#db, async (tx) => {
        const now = await this.#now(tx);
        const held = await tx.selectFrom('leases').selectAll().where('name', '=', name).executeTakeFirst();
        if (held !== undefined) {
          if (held.holder !== holder && counts(held.expires_at, now)) return null;
          await tx.deleteFrom('leases').where('token', '=', held.token).execute();
        }
        const { token } = await tx
          .insertInto('leases')
          .values({ name, holder, expires_at: now + ttlMs })
          .returning('token')
          .executeTakeFirstOrThrow();
        return token;
      });
    } catch (error) {
      // Another process has inserted a row of this name meanwhile.
      if ((error as { code?: unknown }).code === '23505') return null;
      throw error;
    }
  }

  async renew({ name, holder, token, ttlMs }: LeaseClaim & { readonly ttlMs: number }): Promise<boolean> {
    assertSpan(ttlMs);
    return transact(this.#db, async (tx) => {
      const now = await this.#now(tx);
      const { numUpdatedRows } = await tx
        .updateTable('leases')
        .set({ expires_at: now + ttlMs })
        .where('token', '=', token)
        .where('name', '=', name)
        .where('holder', '=', holder)
        // Another process may take an expired lease at any moment, so its holder must ask for a new one.
        .where('expires_at', '>', now)
        .where('expires_at', '<=', now + MAX_LEASE_MS)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    });
  }

  async release({ name, holder, token }: LeaseClaim): Promise<void> {
    await transact(this.#db, (tx) =>
      tx.deleteFrom('leases').where('token', '=', token).where('name', '=', name).where('holder', '=', holder).execute(),
    );
  }

  async held(prefix: string): Promise<readonly string[]> {
    return transact(this.#db, async (tx) => {
      const now = await this.#now(tx);
      const rows = await tx
        .selectFrom('leases')
        .select('name')
        .where(beginsWith('name', prefix))
        .where('expires_at', '>', now)
        .where('expires_at', '<=', now + MAX_LEASE_MS)
        .limit(MAX_HELD_NAMES)
        .execute();
      return rows.map(({ name }) => name).sort();
    });
  }
}

/** Throws LEASE_LOST unless the token is current, which rolls the transaction back. */
export async function fence(tx: Tx, { name, token }: Pick<LeaseClaim, 'name' | 'token'>): Promise<void> {
  const held = await tx.selectFrom('leases').select('token').where('name', '=', name).executeTakeFirst();
  if (held?.token !== token) throw new StenoError('LEASE_LOST', name);
}

function counts(expiresAt: number, now: number): boolean {
  return expiresAt > now && expiresAt <= now + MAX_LEASE_MS;
}

function assertSpan(ttlMs: number): void {
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > MAX_LEASE_MS) throw new StenoError('INTERNAL', `a lease of ${ttlMs} ms`);
}
