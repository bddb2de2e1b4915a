/**
 * Names of removed users.
 *
 *     (never used) ──user made──► in use ──removed──► kept ──released by who administers everything──► free ──made──► in use
 *
 * Many records refer to users by name alone: recordings, audit rows, external identities named in webhooks and roles. A
 * removed user's name is therefore reserved until somebody decides that another user may have it; the new user owns only
 * what is recorded from then on (`own_since` of the snapshot). A single sign-on user who returns as the same subject of the
 * same provider is the same person, and needs no decision. Tested in ../people/users/names.test.ts.
 */
import type { Kysely } from 'kysely';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { StateSchema } from '#stores/state/schema.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema> | Tx;

/**
 * For the snapshot. `names_since`: users whose name another user had before, and since when it is theirs; `own_since`: also
 * users whose account others have controlled, and from when on records under the name are theirs to see.
 */
export async function namesSince(db: Db): Promise<Pick<Snapshot, 'names_since' | 'own_since'>> {
  const again = await db
    .selectFrom('user_names')
    .innerJoin('users', 'users.name', 'user_names.name')
    .where('released_at', 'is not', null)
    .select(['users.name as name', 'created_at'])
    .execute();
  const own = await db.selectFrom('users').select(['name', 'own_since']).where('own_since', 'is not', null).execute();
  return {
    names_since: Object.fromEntries(again.map(({ name, created_at: at }) => [name, at])),
    own_since: Object.fromEntries(own.map(({ name, own_since: at }) => [name, at ?? 0])),
  };
}

/** Whether a user of this name would be another person than before. */
export async function wasNameReleased(db: Db, name: string): Promise<boolean> {
  return (
    (await db.selectFrom('user_names').select('name').where('name', '=', name).where('released_at', 'is not', null).executeTakeFirst()) !==
    undefined
  );
}

/** Whether the name is reserved for a removed user. */
export async function isNameKept(db: Db, name: string): Promise<boolean> {
  return (
    (await db.selectFrom('user_names').select('name').where('name', '=', name).where('released_at', 'is', null).executeTakeFirst()) !==
    undefined
  );
}

/** Throws USER_NAME_USED. */
export async function assertNameFree(tx: Tx, name: string): Promise<void> {
  if (await isNameKept(tx, name)) throw new StenoError('USER_NAME_USED', name);
}

export async function keepName(tx: Tx, name: string, now: number): Promise<void> {
  const columns = { removed_at: now, released_at: null };
  await tx
    .insertInto('user_names')
    .values({ name, ...columns })
    .onConflict((on) => on.column('name').doUpdateSet(columns))
    .execute();
}

/** False if the name is not reserved. */
export async function releaseName(tx: Tx, name: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('user_names')
    .set({ released_at: now })
    .where('name', '=', name)
    .where('released_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function keptNames(db: Db): Promise<readonly { readonly name: string; readonly removed_at: number }[]> {
  return db.selectFrom('user_names').select(['name', 'removed_at']).where('released_at', 'is', null).orderBy('name').execute();
}
