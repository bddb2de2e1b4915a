/**
 * Limits on guessing, per account and per source address, stored so that a restart resets nothing.
 *
 *     account: 5 free failures, then 2 s, doubled by each further one, up to 15 min; forgotten a day after the last
 *     source:  30 free failures, then 5 s, doubled, up to 15 min; forgotten an hour after the last
 *
 * An attempt is counted before it is checked, in one statement, so that concurrent attempts all count; a correct one is
 * taken back. Unknown names are counted the same way. While an account is blocked, passkeys still work: they cannot be
 * guessed, and guessing at a name must not lock out its owner. Tested in users.test.ts.
 */
import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import { sourceKey as keyOf } from '#schemas/base/ip-address.js';
import type { StateSchema } from '#stores/state/schema.js';
import type { Records, Tx } from '../../records/records.js';

interface Limit {
  readonly free: number;
  readonly firstMs: number;
  readonly forgetMs: number;
}

const limits = {
  user: { free: 5, firstMs: 2_000, forgetMs: 24 * 3_600_000 },
  source: { free: 30, firstMs: 5_000, forgetMs: 3_600_000 },
  code: { free: 10, firstMs: 5_000, forgetMs: 3_600_000 },
} as const satisfies Record<string, Limit>;
const LONGEST_MS = 15 * 60_000;
/** At least as long as any limit looks back. */
const GUESSES_KEPT_MS = 24 * 3_600_000;

export type GuessKey = `${keyof typeof limits}:${string}`;

export class Guesses {
  readonly #records: Records;
  readonly #clock: () => number;

  constructor(records: Records, clock: () => number) {
    this.#records = records;
    this.#clock = clock;
  }

  /** Counts an attempt under every key. Throws LOGIN_BLOCKED if one of them must wait. */
  async take(keys: readonly GuessKey[]): Promise<void> {
    const now = this.#clock();
    await this.#records.actOn(async (tx) => {
      for (const key of keys) await takeOne(tx, key, now);
      return { result: undefined, rows: [] };
    });
  }
}

/** Removes counts that no limit looks back to. */
export async function purgeGuesses(db: Kysely<StateSchema>, now: number): Promise<void> {
  await db
    .deleteFrom('guesses')
    .where('last_at', '<=', now - GUESSES_KEPT_MS)
    .where('blocked_until', '<=', now)
    .execute();
}

/** The attempt was correct: an account is reset, a source gets this one back. */
export async function forgive(tx: Tx, keys: readonly GuessKey[]): Promise<void> {
  for (const key of keys) {
    if (key.startsWith('user:')) await tx.deleteFrom('guesses').where('key', '=', key).execute();
    else
      await tx
        .updateTable('guesses')
        .set((e) => ({ failures: e('failures', '-', 1), blocked_until: 0 }))
        .where('key', '=', key)
        .where('failures', '>', 0)
        .execute();
  }
}

async function takeOne(tx: Tx, key: GuessKey, now: number): Promise<void> {
  const { free, firstMs, forgetMs } = limits[key.slice(0, key.indexOf(':')) as keyof typeof limits];
  const row = await tx
    .insertInto('guesses')
    .values({ key, failures: 1, last_at: now, blocked_until: 0 })
    .onConflict((on) =>
      on
        .column('key')
        .doUpdateSet({
          failures: sql<number>`case when guesses.last_at < ${now - forgetMs} then 1 else guesses.failures + 1 end`,
          last_at: now,
        })
        .where('guesses.blocked_until', '<=', now),
    )
    .returning('failures')
    .executeTakeFirst();
  if (row === undefined) {
    const { blocked_until: until } = await tx
      .selectFrom('guesses')
      .select('blocked_until')
      .where('key', '=', key)
      .executeTakeFirstOrThrow();
    throw new StenoError('LOGIN_BLOCKED', `for ${waitText(until - now)}`);
  }
  if (row.failures < free) return;
  const wait = Math.min(LONGEST_MS, firstMs * 2 ** Math.min(row.failures - free, 20));
  await tx
    .updateTable('guesses')
    .set({ blocked_until: now + wait })
    .where('key', '=', key)
    .execute();
}

/** An IPv6 customer has at least 2^64 addresses: they count as one. */
export function sourceKey(address: string): GuessKey {
  return `source:${keyOf(address)}`;
}

function waitText(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  return seconds < 90 ? `${seconds} s` : `${Math.ceil(seconds / 60)} min`;
}
