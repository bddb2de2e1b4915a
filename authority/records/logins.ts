/** Pending logins in the state store; data access without decisions. Single-use rows are taken in one statement. */
import type { Kysely } from 'kysely';
import type { Row, StateSchema } from '#stores/state/schema.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema> | Tx;

export async function insertAttempt(tx: Tx, attempt: Omit<Row<'login_attempts'>, 'parked' | 'used_at'>): Promise<void> {
  await tx
    .insertInto('login_attempts')
    .values({ ...attempt, parked: null, used_at: null })
    .execute();
}

export async function findAttempt(db: Db, hash: string, now: number): Promise<Row<'login_attempts'> | undefined> {
  return db
    .selectFrom('login_attempts')
    .selectAll()
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Stores an answer that arrived without the browser's cookie; the first one counts. */
export async function parkAnswer(tx: Tx, hash: string, answer: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('login_attempts')
    .set({ parked: answer })
    .where('hash', '=', hash)
    .where('parked', 'is', null)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function takeAttempt(tx: Tx, hash: string, binding: string, now: number): Promise<Row<'login_attempts'> | undefined> {
  return tx
    .updateTable('login_attempts')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('binding', '=', binding)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .returningAll()
    .executeTakeFirst();
}

export async function insertDeviceLogin(tx: Tx, login: Omit<Row<'device_logins'>, 'polled_at' | 'state' | 'user' | 'mfa'>): Promise<void> {
  await tx
    .insertInto('device_logins')
    .values({ ...login, polled_at: null, state: 'waiting', user: null, mfa: null })
    .execute();
}

export async function deviceLoginByCode(db: Db, userCode: string, now: number): Promise<Row<'device_logins'> | undefined> {
  return db
    .selectFrom('device_logins')
    .selectAll()
    .where('user_code', '=', userCode)
    .where('state', '=', 'waiting')
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

export async function deviceLogin(db: Db, hash: string, now: number): Promise<Row<'device_logins'> | undefined> {
  return db.selectFrom('device_logins').selectAll().where('hash', '=', hash).where('expires_at', '>', now).executeTakeFirst();
}

/** False if it was decided before or has expired. */
export async function decideDeviceLogin(
  tx: Tx,
  userCode: string,
  decision: Pick<Row<'device_logins'>, 'state' | 'user' | 'mfa'>,
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('device_logins')
    .set(decision)
    .where('user_code', '=', userCode)
    .where('state', '=', 'waiting')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Takes the approved login. */
export async function takeDeviceLogin(tx: Tx, hash: string, now: number): Promise<Row<'device_logins'> | undefined> {
  return tx
    .updateTable('device_logins')
    .set({ state: 'taken' })
    .where('hash', '=', hash)
    .where('state', '=', 'approved')
    .where('expires_at', '>', now)
    .returningAll()
    .executeTakeFirst();
}

export async function insertConfirmation(tx: Tx, confirmation: Omit<Row<'session_confirmations'>, 'state' | 'mfa'>): Promise<void> {
  await tx
    .insertInto('session_confirmations')
    .values({ ...confirmation, state: 'waiting', mfa: null })
    .execute();
}

export async function confirmation(db: Db, hash: string, now: number): Promise<Row<'session_confirmations'> | undefined> {
  return db.selectFrom('session_confirmations').selectAll().where('hash', '=', hash).where('expires_at', '>', now).executeTakeFirst();
}

/** Number of the user's requests that are neither over nor withdrawn. */
export async function waitingConfirmations(db: Db, user: string, now: number): Promise<number> {
  const { waiting } = await db
    .selectFrom('session_confirmations')
    .select((e) => e.fn.countAll<number>().as('waiting'))
    .where('user', '=', user)
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  return Number(waiting);
}

/** Decides a pending request; returns whether it was pending. `until`: the end of an approval; undefined: the end of the request. */
export async function decideConfirmation(
  tx: Tx,
  hash: string,
  user: string,
  { state, mfa, until }: { readonly state: 'approved' | 'denied'; readonly mfa: string | null; readonly until?: number | undefined },
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('session_confirmations')
    .set({ state, mfa, ...(until === undefined ? {} : { expires_at: until }) })
    .where('hash', '=', hash)
    .where('user', '=', user)
    .where('state', '=', 'waiting')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** The matching approval that lasts longest. */
export async function standingConfirmation(
  db: Db,
  wanted: Pick<Row<'session_confirmations'>, 'user' | 'node' | 'login' | 'source'>,
  now: number,
): Promise<{ readonly mfa: string; readonly until: number } | undefined> {
  const row = await db
    .selectFrom('session_confirmations')
    .select(['mfa', 'expires_at'])
    .where('user', '=', wanted.user)
    .where('node', '=', wanted.node)
    .where('login', '=', wanted.login)
    .where('source', '=', wanted.source)
    .where('state', '=', 'approved')
    .where('mfa', 'is not', null)
    .where('expires_at', '>', now)
    .orderBy('expires_at', 'desc')
    .executeTakeFirst();
  return row === undefined ? undefined : { mfa: row.mfa!, until: Number(row.expires_at) };
}

/** Consumes the matching approval and returns the device that approved; undefined if there is none. */
export async function takeConfirmation(
  tx: Tx,
  wanted: Pick<Row<'session_confirmations'>, 'hash' | 'user' | 'node' | 'login' | 'source'>,
  now: number,
): Promise<string | undefined> {
  const row = await tx
    .updateTable('session_confirmations')
    .set({ state: 'taken' })
    .where('hash', '=', wanted.hash)
    .where('user', '=', wanted.user)
    .where('node', '=', wanted.node)
    .where('login', '=', wanted.login)
    .where('source', '=', wanted.source)
    .where('state', '=', 'approved')
    .where('expires_at', '>', now)
    .returning('mfa')
    .executeTakeFirst();
  return row?.mfa ?? undefined;
}

/** Removes rows that can no longer be used. */
export async function purgeLogins(db: Kysely<StateSchema>, now: number): Promise<void> {
  for (const table of ['ceremonies', 'login_attempts', 'device_logins', 'session_confirmations', 'invitations', 'bot_tokens'] as const) {
    await db.deleteFrom(table).where('expires_at', '<=', now).execute();
  }
}
