/** Users and their credentials in the state store; data access without decisions. */
import type { Kysely } from 'kysely';
import { REMOTE_USER_MARK } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseTraits } from '#schemas/base/identity.js';
import type { Traits } from '#schemas/base/identity.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { assertNameFree, keepName, wasNameReleased } from './names.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema> | Tx;

export interface UserRecord {
  readonly name: string;
  readonly kind: Row<'users'>['kind'];
  readonly connector: string | null;
  readonly roles: readonly string[];
  readonly traits: Traits;
  readonly created_at: number;
  readonly created_by: string;
  readonly disabled_at: number | null;
  readonly password_hash: string | null;
  readonly password_changed_at: number | null;
  /** Users that have held a way into the account (power/guard.ts). */
  readonly handlers: readonly string[];
  /** Records under the name from before this time are not theirs to see. */
  readonly own_since: number | null;
}

export type Device = Row<'mfa_devices'>;

export async function findUser(db: Db, name: string): Promise<UserRecord | undefined> {
  const row = await db.selectFrom('users').selectAll().where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : userOf(row);
}

export async function listUsers(db: Db): Promise<readonly UserRecord[]> {
  return (await db.selectFrom('users').selectAll().orderBy('name').execute()).map(userOf);
}

/**
 * False if a user of this name exists. Throws USER_NAME_USED for a reserved name, and BAD_REQUEST for a name that a user of
 * another cluster may have.
 */
export async function insertUser(
  tx: Tx,
  user: Pick<UserRecord, 'name' | 'kind' | 'connector' | 'roles' | 'traits' | 'created_by' | 'handlers'>,
  now: number,
  returning = false,
): Promise<boolean> {
  if (user.name.includes(REMOTE_USER_MARK))
    throw new StenoError('BAD_REQUEST', `name: ${REMOTE_USER_MARK} is reserved for names of users of other clusters`);
  if (!returning && (await findUser(tx, user.name)) === undefined) await assertNameFree(tx, user.name);
  const ownSince = !returning && (await wasNameReleased(tx, user.name)) ? now : null;
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('users')
    .values({
      name: user.name,
      kind: user.kind,
      connector: user.connector,
      roles: JSON.stringify(user.roles),
      traits: JSON.stringify(user.traits),
      created_by: user.created_by,
      handlers: JSON.stringify(user.handlers),
      own_since: ownSince,
      created_at: now,
      disabled_at: null,
    })
    .onConflict((on) => on.column('name').doNothing())
    .executeTakeFirst();
  if (numInsertedOrUpdatedRows === 1n) await hold(tx, user.name, user.roles, now);
  return numInsertedOrUpdatedRows === 1n;
}

export async function setGrants(tx: Tx, name: string, grants: Pick<UserRecord, 'roles' | 'traits'>, now: number): Promise<void> {
  const before = await findUser(tx, name);
  // Roles held before holdings were recorded count as held since the user was created.
  if (before !== undefined) await hold(tx, name, before.roles, before.created_at);
  await hold(tx, name, grants.roles, now);
  await tx.deleteFrom('role_holdings').where('user', '=', name).where('role', 'not in', grants.roles).execute();
  await tx
    .updateTable('users')
    .set({ roles: JSON.stringify(grants.roles), traits: JSON.stringify(grants.traits) })
    .where('name', '=', name)
    .execute();
}

/** Records since when roles are held; existing entries are kept. */
async function hold(tx: Tx, user: string, roles: readonly string[], since: number): Promise<void> {
  if (roles.length === 0) return;
  await tx
    .insertInto('role_holdings')
    .values([...new Set(roles)].map((role) => ({ user, role, since })))
    .onConflict((on) => on.columns(['user', 'role']).doNothing())
    .execute();
}

export async function setDisabled(tx: Tx, name: string, at: number | null): Promise<void> {
  await tx.updateTable('users').set({ disabled_at: at }).where('name', '=', name).execute();
}

export async function setPassword(tx: Tx, name: string, hash: string | null, now: number): Promise<void> {
  await tx.updateTable('users').set({ password_hash: hash, password_changed_at: now }).where('name', '=', name).execute();
}

/** `ownSince`: null shows the user everything under the name as their own; if omitted, it is unchanged. */
export async function setHandlers(tx: Tx, name: string, handlers: readonly string[], ownSince?: number | null): Promise<void> {
  await tx
    .updateTable('users')
    .set({ handlers: JSON.stringify(handlers), ...(ownSince === undefined ? {} : { own_since: ownSince }) })
    .where('name', '=', name)
    .execute();
}

/** With everything that refers to it; the name is reserved. */
export async function deleteUser(tx: Tx, name: string, now: number): Promise<void> {
  await keepName(tx, name, now);
  await tx.deleteFrom('users').where('name', '=', name).execute();
}

/** Invalidates all credentials of the user: password, devices, codes, invitations, browsers, pending logins. */
export async function voidCredentials(tx: Tx, name: string, now: number): Promise<void> {
  await setPassword(tx, name, null, now);
  for (const table of [
    'mfa_devices',
    'recovery_codes',
    'invitations',
    'ceremonies',
    'web_sessions',
    'sign_in_links',
    'device_logins',
    'session_confirmations',
  ] as const) {
    await tx.deleteFrom(table).where('user', '=', name).execute();
  }
}

/** Signs out the user's browsers, except the one with the given hash, and ends pending links and logins. */
export async function endSessions(tx: Tx, name: string, except?: string): Promise<void> {
  await tx
    .deleteFrom('web_sessions')
    .where('user', '=', name)
    .where('hash', '!=', except ?? '')
    .execute();
  await tx.deleteFrom('sign_in_links').where('user', '=', name).execute();
  await tx.deleteFrom('device_logins').where('user', '=', name).execute();
}

export async function devicesOf(db: Db, user: string): Promise<readonly Device[]> {
  return db.selectFrom('mfa_devices').selectAll().where('user', '=', user).orderBy('created_at').orderBy('id').execute();
}

export async function deviceByCredential(db: Db, credentialId: string): Promise<Device | undefined> {
  return db.selectFrom('mfa_devices').selectAll().where('credential_id', '=', credentialId).executeTakeFirst();
}

export async function insertDevice(tx: Tx, device: Omit<Device, 'last_used_at'>): Promise<void> {
  await tx
    .insertInto('mfa_devices')
    .values({ ...device, last_used_at: null })
    .execute();
}

/** False if the user has no such device. */
export async function deleteDevice(tx: Tx, user: string, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('mfa_devices').where('user', '=', user).where('id', '=', id).executeTakeFirst();
  return numDeletedRows === 1n;
}

/** Consumes the time step of a code; false if it or a later one was used before: of concurrent calls, one succeeds. */
export async function takeStep(tx: Tx, id: string, step: number, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('mfa_devices')
    .set({ counter: step, last_used_at: now })
    .where('id', '=', id)
    .where('counter', '<', step)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Advances a passkey's counter; false if another use was faster. Authenticators without a counter always report zero. */
export async function takeCount(tx: Tx, id: string, before: number, after: number, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('mfa_devices')
    .set({ counter: after, last_used_at: now })
    .where('id', '=', id)
    .where('counter', '=', before)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function replaceRecoveryCodes(tx: Tx, user: string, hashes: readonly string[]): Promise<void> {
  await tx.deleteFrom('recovery_codes').where('user', '=', user).execute();
  await tx
    .insertInto('recovery_codes')
    .values(hashes.map((hash) => ({ hash, user, used_at: null })))
    .execute();
}

/** False if the user has no such code, or it was used. */
export async function takeRecoveryCode(tx: Tx, user: string, hash: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('recovery_codes')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('user', '=', user)
    .where('used_at', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function recoveryCodesLeft(db: Db, user: string): Promise<number> {
  const { left } = await db
    .selectFrom('recovery_codes')
    .select((e) => e.fn.countAll<number>().as('left'))
    .where('user', '=', user)
    .where('used_at', 'is', null)
    .executeTakeFirstOrThrow();
  return Number(left);
}

export async function insertInvitation(tx: Tx, hash: string, user: string, by: string, now: number, expiresAt: number): Promise<void> {
  await tx.deleteFrom('invitations').where('user', '=', user).execute();
  await tx
    .insertInto('invitations')
    .values({ hash, user, created_by: by, created_at: now, expires_at: expiresAt, used_at: null })
    .execute();
}

/** The invitation, if it is still valid. */
export async function findInvitation(db: Db, hash: string, now: number): Promise<Row<'invitations'> | undefined> {
  return db
    .selectFrom('invitations')
    .selectAll()
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Consumes the invitation: of concurrent callers, one gets it. */
export async function takeInvitation(tx: Tx, hash: string, now: number): Promise<Row<'invitations'> | undefined> {
  return tx
    .updateTable('invitations')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .returningAll()
    .executeTakeFirst();
}

export async function insertCeremony(tx: Tx, ceremony: Row<'ceremonies'>): Promise<void> {
  await tx.insertInto('ceremonies').values(ceremony).execute();
}

export async function findCeremony(
  db: Db,
  hash: string,
  kind: Row<'ceremonies'>['kind'],
  now: number,
): Promise<Row<'ceremonies'> | undefined> {
  return db
    .selectFrom('ceremonies')
    .selectAll()
    .where('hash', '=', hash)
    .where('kind', '=', kind)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Consumes the ceremony. */
export async function takeCeremony(
  tx: Tx,
  hash: string,
  kind: Row<'ceremonies'>['kind'],
  now: number,
): Promise<Row<'ceremonies'> | undefined> {
  return tx
    .deleteFrom('ceremonies')
    .where('hash', '=', hash)
    .where('kind', '=', kind)
    .where('expires_at', '>', now)
    .returningAll()
    .executeTakeFirst();
}

function userOf(row: Row<'users'>): UserRecord {
  return {
    ...row,
    roles: JSON.parse(row.roles) as string[],
    traits: parseTraits(row.traits) ?? {},
    handlers: JSON.parse(row.handlers) as string[],
  };
}
