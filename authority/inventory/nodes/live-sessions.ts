/**
 * Live sessions by the gateway that holds them: rows over a transaction. They hang on the holder's row (presence.ts), so a gateway
 * that is silent holds no session, and a new run of it begins with none. Tested in live-sessions.test.ts.
 */
import type { LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { chunks } from '../../records/records.js';
import type { Reader, Tx } from '../../records/records.js';

/** Of one holder: as many as an ingest takes on one connection. */
const MAX_LIVE_SESSIONS = 20_000;
const GATEWAY = 'gateway/';
const INGEST = 'ingest/';

/** Rejects TOO_MANY: then the whole report is undone, and the gateway says everything again. */
export async function beginSessions(tx: Tx, holder: string, sessions: readonly string[], now: number): Promise<void> {
  if (sessions.length === 0) return;
  for (const part of chunks(sessions)) {
    await tx
      .insertInto('live_sessions')
      .values(part.map((session) => ({ session, holder, since: now })))
      .onConflict((on) => on.columns(['session', 'holder']).doNothing())
      .execute();
  }
  const { count } = await tx
    .selectFrom('live_sessions')
    .where('holder', '=', holder)
    .select((of) => of.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  if (Number(count) > MAX_LIVE_SESSIONS) throw new StenoError('TOO_MANY', `live sessions of ${holder}`);
}

export async function endSessions(tx: Tx, holder: string, sessions: readonly string[]): Promise<void> {
  for (const part of chunks(sessions))
    await tx.deleteFrom('live_sessions').where('holder', '=', holder).where('session', 'in', part).execute();
}

/** Of holders that were silent since `before`: nobody is told of them any more. */
export async function forgetSessions(tx: Tx, before: number): Promise<void> {
  await tx
    .deleteFrom('live_sessions')
    .where('holder', 'in', (of) => of.selectFrom('node_holders').select('holder').where('seen_at', '<', before))
    .execute();
}

/**
 * `after`: who was seen since then is there. A session's id is known to nobody before its gateway has made it, so of two that
 * claim it, the one that said so first has it.
 */
export async function sessionHolder(db: Reader, session: string, after: number): Promise<LiveSessionHolder> {
  const row = await db
    .selectFrom('live_sessions')
    .innerJoin('node_holders', 'node_holders.holder', 'live_sessions.holder')
    .select(['node_holders.holder as holder', 'ingest', 'since'])
    .where('session', '=', session)
    .where('seen_at', '>', after)
    .orderBy('since')
    .executeTakeFirst();
  if (row === undefined) throw new StenoError('NOT_FOUND', `no gateway that is there holds ${session}`);
  return {
    session,
    gateway: row.holder.slice(GATEWAY.length),
    ingest: row.ingest.startsWith(INGEST) ? row.ingest.slice(INGEST.length) : null,
    since: row.since,
  };
}
