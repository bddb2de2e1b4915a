/**
 * Live sessions by the gateway that holds them: rows within a transaction. They depend on the holder's row (presence.ts), so
 * a silent gateway holds no session, and a new run of it begins with none. Tested in live-sessions.test.ts.
 */
import type { LiveSessionDetails, LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { chunks } from '../../records/records.js';
import type { Reader, Tx } from '../../records/records.js';
import { endSessionInvitations, markUsed } from '../../records/session-invitations.js';

/** Limit per holder, the number that an ingest accepts on one connection. */
const MAX_LIVE_SESSIONS = 20_000;
const GATEWAY = 'gateway/';
const INGEST = 'ingest/';

/**
 * The limit of sessions per holder. Sessions are counted only when as many have begun as there was room for at the last count, so that a
 * report costs no more where many are live. An authority does not see what others add meanwhile: `forget` makes it count again.
 */
export class SessionRoom {
  readonly #left = new Map<string, number>();

  forget(): void {
    this.#left.clear();
  }

  /** Call once they are inserted. Rejects with TOO_MANY, which undoes the whole report; the gateway then reports everything again. */
  async take(tx: Tx, holder: string, sessions: number): Promise<void> {
    const left = (this.#left.get(holder) ?? 0) - sessions;
    this.#left.set(holder, left);
    if (left >= 0) return;
    const { count } = await tx
      .selectFrom('live_sessions')
      .where('holder', '=', holder)
      .select((of) => of.fn.countAll().as('count'))
      .executeTakeFirstOrThrow();
    if (Number(count) > MAX_LIVE_SESSIONS) throw new StenoError('TOO_MANY', `live sessions of ${holder}`);
    this.#left.set(holder, MAX_LIVE_SESSIONS - Number(count));
  }
}

/** Stores sessions, with the details of those that have any, and returns the details of all other sessions. */
export async function beginSessions(
  tx: Tx,
  holder: string,
  sessions: readonly string[],
  all: readonly LiveSessionDetails[],
  now: number,
): Promise<readonly LiveSessionDetails[]> {
  // PostgreSQL refuses a row that occurs twice in one INSERT.
  const begun = new Set(sessions);
  const details = new Map(all.map((one) => [one.session, one]));
  for (const part of chunks([...begun])) {
    const rows = part.map((session) => {
      const told = details.get(session);
      return { session, holder, since: now, details: told === undefined ? null : JSON.stringify(told) };
    });
    await tx
      .insertInto('live_sessions')
      .values(rows)
      .onConflict((on) =>
        on
          .columns(['session', 'holder'])
          .doUpdateSet(({ fn, ref }) => ({ details: fn.coalesce(ref('excluded.details'), ref('live_sessions.details')) })),
      )
      .execute();
  }
  for (const session of begun) {
    const told = details.get(session);
    if (told !== undefined) await useInvitations(tx, told, now);
  }
  return [...details.values()].filter(({ session }) => !begun.has(session));
}

/** Ends the sessions of this holder, and with them the invitations into them; other holders' sessions are not affected. */
export async function endSessions(tx: Tx, holder: string, sessions: readonly string[], now: number): Promise<void> {
  for (const part of chunks(sessions)) {
    const ended = await tx
      .deleteFrom('live_sessions')
      .where('holder', '=', holder)
      .where('session', 'in', part)
      .returning('session')
      .execute();
    await endSessionInvitations(
      tx,
      ended.map(({ session }) => session),
      now,
    );
  }
}

/** Stores details of sessions that the holder has; details of others are ignored. */
export async function describeSessions(tx: Tx, holder: string, all: readonly LiveSessionDetails[], now: number): Promise<void> {
  for (const details of all) {
    const { numUpdatedRows } = await tx
      .updateTable('live_sessions')
      .set({ details: JSON.stringify(details) })
      .where('session', '=', details.session)
      .where('holder', '=', holder)
      .executeTakeFirst();
    if (numUpdatedRows > 0n) await useInvitations(tx, details, now);
  }
}

async function useInvitations(tx: Tx, { session, participants }: LiveSessionDetails, now: number): Promise<void> {
  for (const { invitation } of participants) if (invitation !== undefined) await markUsed(tx, invitation, session, now);
}

/** Unordered. As in `sessionHolder`, the first gateway that reported a session is believed. */
export async function sessionDetails(db: Reader, sessions: readonly string[], after: number): Promise<readonly LiveSessionDetails[]> {
  const found = new Map<string, LiveSessionDetails>();
  for (const part of chunks(sessions)) {
    const rows = await db
      .selectFrom('live_sessions')
      .innerJoin('node_holders', 'node_holders.holder', 'live_sessions.holder')
      .select(['session', 'details'])
      .where('session', 'in', part)
      .where('seen_at', '>', after)
      .orderBy('since', 'desc')
      .execute();
    for (const { session, details } of rows) {
      found.delete(session);
      if (details !== null) found.set(session, JSON.parse(details) as LiveSessionDetails);
    }
  }
  return [...found.values()];
}

/** Deletes the sessions of holders silent since `before`; they are no longer listed anyway. */
export async function forgetSessions(tx: Tx, before: number): Promise<void> {
  await tx
    .deleteFrom('live_sessions')
    .where('holder', 'in', (of) => of.selectFrom('node_holders').select('holder').where('seen_at', '<', before))
    .execute();
}

/**
 * `after`: holders seen since then count as connected. Only the gateway that created a session knows its id at first, so if
 * two claim it, the first one has it.
 */
export async function sessionHolder(db: Reader, session: string, after: number): Promise<LiveSessionHolder> {
  const row = await db
    .selectFrom('live_sessions')
    .innerJoin('node_holders', 'node_holders.holder', 'live_sessions.holder')
    .select(['node_holders.holder as holder', 'address', 'ingest', 'since'])
    .where('session', '=', session)
    .where('seen_at', '>', after)
    .orderBy('since')
    .executeTakeFirst();
  if (row === undefined) throw new StenoError('NOT_FOUND', `no connected gateway holds ${session}`);
  return {
    session,
    gateway: row.holder.slice(GATEWAY.length),
    address: row.address,
    ingest: row.ingest.startsWith(INGEST) ? row.ingest.slice(INGEST.length) : null,
    since: row.since,
  };
}
