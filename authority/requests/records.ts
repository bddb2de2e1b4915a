/**
 * Access requests in the state store: functions over a transaction, reads over any connection. Tested in
 * requests.test.ts.
 */
import type { Kysely } from 'kysely';
import { stateAt } from '#schemas/access-request.js';
import type { AccessRequest, Grant, GrantItem, RequestReview } from '#schemas/access-request.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import type { Tx } from '../records.js';

type Db = Kysely<StateSchema>;
/** As stored: what reviews there are is read beside it. */
export type StoredRequest = Omit<AccessRequest, 'reviews'>;

export async function insertRequest(tx: Tx, request: StoredRequest): Promise<void> {
  await tx
    .insertInto('access_requests')
    .values({
      id: request.id,
      user: request.user,
      state: request.state,
      reason: request.reason,
      items: JSON.stringify(request.items),
      thresholds: JSON.stringify(request.thresholds),
      created_at: request.created_at,
      expires_at: request.expires_at,
      duration: request.duration,
      decided_at: request.decided_at,
      ends_at: request.ends_at,
      version: 1,
    })
    .execute();
}

/**
 * The request, held by this transaction until its end if it is in `state` still: whoever else decides it meanwhile waits
 * here, and then finds it decided. Undefined otherwise.
 */
export async function holdRequest(tx: Tx, id: string, state: 'pending' | 'approved'): Promise<StoredRequest | undefined> {
  const row = await tx
    .updateTable('access_requests')
    .set((e) => ({ version: e('version', '+', 1) }))
    .where('id', '=', id)
    .where('state', '=', state)
    .returningAll()
    .executeTakeFirst();
  return row === undefined ? undefined : requestOf(row);
}

export async function settleRequest(tx: Tx, id: string, change: Pick<StoredRequest, 'state' | 'decided_at' | 'ends_at'>): Promise<void> {
  await tx.updateTable('access_requests').set(change).where('id', '=', id).execute();
}

/** False when this person has reviewed it before. */
export async function insertReview(tx: Tx, request: string, review: RequestReview): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('access_request_reviews')
    .values({ request, ...review })
    .onConflict((on) => on.columns(['request', 'reviewer']).doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

export async function reviewsOf(db: Db, id: string): Promise<readonly RequestReview[]> {
  const rows = await db
    .selectFrom('access_request_reviews')
    .selectAll()
    .where('request', '=', id)
    .orderBy('at')
    .orderBy('reviewer')
    .execute();
  return rows.map(({ request: _, ...review }) => review);
}

export async function requestById(db: Db, id: string, now: number): Promise<AccessRequest | undefined> {
  const row = await db.selectFrom('access_requests').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : { ...aged(requestOf(row), now), reviews: await reviewsOf(db, id) };
}

/** The newest first, with their reviews. */
export async function requestsOf(
  db: Db,
  query: { readonly user?: string; readonly open?: boolean; readonly limit: number },
  now: number,
): Promise<readonly AccessRequest[]> {
  let select = db.selectFrom('access_requests').selectAll().orderBy('created_at', 'desc').orderBy('id').limit(query.limit);
  if (query.user !== undefined) select = select.where('user', '=', query.user);
  if (query.open === true) select = select.where('state', '=', 'pending').where('expires_at', '>', now);
  const rows = await select.execute();
  const reviews =
    rows.length === 0
      ? []
      : await db
          .selectFrom('access_request_reviews')
          .selectAll()
          .where(
            'request',
            'in',
            rows.map(({ id }) => id),
          )
          .orderBy('at')
          .execute();
  return rows.map((row) => ({
    ...aged(requestOf(row), now),
    reviews: reviews.filter(({ request }) => request === row.id).map(({ request: _, ...review }) => review),
  }));
}

export async function pendingCount(db: Db, user: string, now: number): Promise<number> {
  const { count } = await db
    .selectFrom('access_requests')
    .select((e) => e.fn.countAll<number>().as('count'))
    .where('user', '=', user)
    .where('state', '=', 'pending')
    .where('expires_at', '>', now)
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function grantsInForce(db: Db, now: number): Promise<readonly Grant[]> {
  const rows = await db
    .selectFrom('access_requests')
    .selectAll()
    .where('state', '=', 'approved')
    .where('ends_at', '>', now)
    .orderBy('id')
    .execute();
  return rows.map((row) => ({ id: row.id, user: row.user, ends_at: row.ends_at ?? 0, items: itemsOf(row.items) }));
}

/** Writes down what time has decided, and answers what that was; so each ending is told once. */
export async function settleByTime(
  tx: Tx,
  now: number,
): Promise<readonly { readonly id: string; readonly user: string; readonly state: 'expired' | 'over' }[]> {
  const expired = await tx
    .updateTable('access_requests')
    .set({ state: 'expired', decided_at: now })
    .where('state', '=', 'pending')
    .where('expires_at', '<=', now)
    .returning(['id', 'user'])
    .execute();
  const over = await tx
    .updateTable('access_requests')
    .set({ state: 'over' })
    .where('state', '=', 'approved')
    .where('ends_at', '<=', now)
    .returning(['id', 'user'])
    .execute();
  return [
    ...expired.map((request) => ({ ...request, state: 'expired' as const })),
    ...over.map((request) => ({ ...request, state: 'over' as const })),
  ];
}

function aged(request: StoredRequest, now: number): StoredRequest {
  return { ...request, state: stateAt(request, now) };
}

function requestOf(row: Row<'access_requests'>): StoredRequest {
  return {
    id: row.id,
    user: row.user,
    state: row.state,
    reason: row.reason,
    items: itemsOf(row.items),
    thresholds: JSON.parse(row.thresholds) as StoredRequest['thresholds'],
    created_at: row.created_at,
    expires_at: row.expires_at,
    duration: row.duration,
    decided_at: row.decided_at,
    ends_at: row.ends_at,
  };
}

function itemsOf(text: string): readonly GrantItem[] {
  return JSON.parse(text) as GrantItem[];
}
