/** Invitations into live sessions, in the state store: rows within a transaction. Tested in ../access/session-invitations.test.ts. */
import type { AuditRow } from '#schemas/events/rows.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import type { Row } from '#stores/state/schema.js';
import { auditRow } from './audit.js';
import type { Caller } from './audit.js';
import type { Reader, Tx } from './records.js';

export type StoredInvitation = Row<'session_invitations'>;

/** How long an ended invitation is listed, in ms. */
const KEPT_MS = 7 * 86_400_000;
const MAX_LISTED = 500;

export async function invitationNamed(db: Reader, id: string): Promise<StoredInvitation | undefined> {
  return db.selectFrom('session_invitations').selectAll().where('id', '=', id).executeTakeFirst();
}

/** Newest first. `user` null: everybody's. */
export async function invitationsOf(db: Reader, user: string | null): Promise<readonly StoredInvitation[]> {
  return db
    .selectFrom('session_invitations')
    .selectAll()
    .$if(user !== null, (query) => query.where((e) => e.or([e('user', '=', user!), e('invited_by', '=', user!)])))
    .orderBy('created_at', 'desc')
    .limit(MAX_LISTED)
    .execute();
}

/** The invitations that gateways need, including used ones, whose users may be in the session. */
export async function invitationsInForce(db: Reader, now: number): Promise<readonly SessionInvitation[]> {
  const rows = await db
    .selectFrom('session_invitations')
    .selectAll()
    .where('expires_at', '>', now)
    .where('revoked_at', 'is', null)
    .orderBy('id')
    .execute();
  return rows.map(({ id, session, user, mode, reason, invited_by: by, roles, traits, own_since: since, expires_at }) => ({
    ...{ id, session, user, mode, reason, by },
    roles: JSON.parse(roles) as SessionInvitation['roles'],
    traits: JSON.parse(traits) as SessionInvitation['traits'],
    since: since === null ? null : Number(since),
    expires_at: Number(expires_at),
  }));
}

/** Invitations that are open or used, by this user or altogether. */
export async function countInvitations(tx: Tx, by: string | null, now: number): Promise<number> {
  const { count } = await tx
    .selectFrom('session_invitations')
    .select((of) => of.fn.countAll().as('count'))
    .where('expires_at', '>', now)
    .where('revoked_at', 'is', null)
    .$if(by !== null, (query) => query.where('invited_by', '=', by!))
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** False if it has already ended. */
export async function revoke(tx: Tx, id: string, by: string, now: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('session_invitations')
    .set({ revoked_at: now, revoked_by: by })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** Revokes invitations for the user and by the user. Returns rows for the audit. */
export async function endInvitations(tx: Tx, user: string, why: string, caller: Caller, now: number): Promise<readonly AuditRow[]> {
  const open = await tx
    .selectFrom('session_invitations')
    .select(['id', 'session', 'user', 'node', 'login'])
    .where((e) => e.or([e('user', '=', user), e('invited_by', '=', user)]))
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', now)
    .execute();
  const rows: AuditRow[] = [];
  for (const { id, session, user: invited, node, login } of open)
    if (await revoke(tx, id, caller.actor, now))
      rows.push(
        auditRow(now, caller, {
          event: 'session_invitation.revoke',
          target: id,
          session,
          node,
          login,
          data: { user: invited, reason: why },
        }),
      );
  return rows;
}

/** Ends the invitations of ended sessions. */
export async function endSessionInvitations(tx: Tx, sessions: readonly string[], now: number): Promise<void> {
  if (sessions.length > 0)
    await tx
      .updateTable('session_invitations')
      .set({ expires_at: now })
      .where('session', 'in', sessions)
      .where('expires_at', '>', now)
      .execute();
}

/** Marks an invitation as used, as reported by the gateway that holds the session. */
export async function markUsed(tx: Tx, id: string, session: string, now: number): Promise<void> {
  await tx
    .updateTable('session_invitations')
    .set({ used_at: now })
    .where('id', '=', id)
    .where('session', '=', session)
    .where('used_at', 'is', null)
    .execute();
}

export async function forgetInvitations(tx: Tx, now: number): Promise<void> {
  await tx
    .deleteFrom('session_invitations')
    .where('expires_at', '<', now - KEPT_MS)
    .execute();
}
