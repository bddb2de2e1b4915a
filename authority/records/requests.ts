/**
 * Access requests in the state store: writes within a transaction, reads on any connection. Also ends requests whose subject has
 * changed: those of a user, when the account passes to somebody else, because grants are given to a person; and those that name a node,
 * when the name is removed or comes to mean another machine, because the grant was for that machine. Tested in
 * ../access/requests.test.ts and ../power/takeover.test.ts.
 */
import type { Kysely } from 'kysely';
import { changedRoles, scopeOfItems, stateAt } from '#schemas/documents/access-request.js';
import type { AccessRequest, Grant, GrantItem, RequestReview, RolePin } from '#schemas/documents/access-request.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { auditRow } from './audit.js';
import type { Caller } from './audit.js';
import type { Tx } from './records.js';
import { endInvitations } from './session-invitations.js';
import { enqueue } from './webhooks.js';

type Db = Kysely<StateSchema>;
export type Pins = Readonly<Record<string, RolePin>>;
/** As stored: reviews are read separately, and role changes are determined with current roles. */
export type StoredRequest = Omit<AccessRequest, 'reviews' | 'revisions' | 'changed'> & { readonly pins: Pins };

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
      pins: JSON.stringify(request.pins),
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
 * Locks the row of the request until the transaction ends, if it is still in `state`: a concurrent decision waits here, and
 * then finds the request decided. Undefined otherwise.
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

/** False if this person has reviewed it before. */
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

/** `roles`: the current ones. */
export async function requestById(db: Db, id: string, now: number, roles: readonly Role[]): Promise<AccessRequest | undefined> {
  const row = await db.selectFrom('access_requests').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : shown(requestOf(row), await reviewsOf(db, id), now, roles);
}

/** Newest first, with their reviews. `roles`: the current ones. */
export async function requestsOf(
  db: Db,
  query: { readonly user?: string; readonly open?: boolean; readonly limit: number },
  now: number,
  roles: readonly Role[],
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
  return rows.map((row) =>
    shown(
      requestOf(row),
      reviews.filter(({ request }) => request === row.id).map(({ request: _, ...review }) => review),
      now,
      roles,
    ),
  );
}

export function shown(
  { pins, ...request }: StoredRequest,
  reviews: readonly RequestReview[],
  now: number,
  roles: readonly Role[],
): AccessRequest {
  const revisions = Object.fromEntries(Object.entries(pins).map(([name, { revision }]) => [name, revision]));
  const state = stateAt(request, now);
  return {
    ...request,
    state,
    reviews,
    revisions,
    changed: state === 'pending' || state === 'approved' ? changedRoles(pins, request.items, roles) : [],
  };
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

export type VoidGrant = Pick<Grant, 'id' | 'user'> & Pick<AccessRequest, 'changed'>;

/**
 * `roles`: the current ones. A grant invalidated by a changed role is omitted; unaware readers thus grant too little rather
 * than too much.
 */
export async function grantsInForce(
  db: Db,
  now: number,
  roles: readonly Role[],
): Promise<{ readonly grants: readonly Grant[]; readonly voided: readonly VoidGrant[] }> {
  const rows = await db
    .selectFrom('access_requests')
    .selectAll()
    .where('state', '=', 'approved')
    .where('ends_at', '>', now)
    .orderBy('id')
    .execute();
  const all = rows.map((row) => {
    const { id, user, ends_at, items, pins } = requestOf(row);
    return { grant: { id, user, ends_at: ends_at ?? 0, items }, changed: changedRoles(pins, items, roles) };
  });
  return {
    grants: all.flatMap(({ grant, changed }) => (changed.length === 0 ? [grant] : [])),
    voided: all.flatMap(({ grant: { id, user }, changed }) => (changed.length === 0 ? [] : [{ id, user, changed }])),
  };
}

/** Records requests that expired, and returns them, so that each ending is reported once. */
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

function requestOf(row: Row<'access_requests'>): StoredRequest {
  return {
    id: row.id,
    user: row.user,
    state: row.state,
    reason: row.reason,
    items: itemsOf(row.items),
    thresholds: JSON.parse(row.thresholds) as StoredRequest['thresholds'],
    pins: pinsOf(row.pins),
    created_at: row.created_at,
    expires_at: row.expires_at,
    duration: row.duration,
    decided_at: row.decided_at,
    ends_at: row.ends_at,
  };
}

function pinsOf(text: string): Pins {
  const pins = JSON.parse(text) as Record<string, { readonly revision: number; readonly document: unknown }>;
  return Object.fromEntries(
    Object.entries(pins).map(([name, { revision, document }]) => [name, { revision, document: roleSchema.parse(document) }]),
  );
}

function itemsOf(text: string): readonly GrantItem[] {
  return JSON.parse(text) as GrantItem[];
}

/** Pending and granted requests of the user, and invitations by and for them. Returns rows for the audit. */
export async function endRequests(tx: Tx, user: string, why: string, caller: Caller, now: number): Promise<readonly AuditRow[]> {
  const open = await tx
    .selectFrom('access_requests')
    .select(['id', 'user'])
    .where('user', '=', user)
    .where('state', 'in', ['pending', 'approved'])
    .execute();
  return [...(await endOpen(tx, open, why, caller, now)), ...(await endInvitations(tx, user, why, caller, now))];
}

/** Pending and granted requests that name the node, by anybody. Returns rows for the audit. */
export async function endRequestsForNode(tx: Tx, node: string, why: string, caller: Caller, now: number): Promise<readonly AuditRow[]> {
  const open = await tx
    .selectFrom('access_requests')
    .select(['id', 'user', 'items'])
    .where('state', 'in', ['pending', 'approved'])
    .execute();
  const naming = open.filter(({ items }) => scopeOfItems(JSON.parse(items) as GrantItem[]).nodes.includes(node));
  return endOpen(tx, naming, why, caller, now);
}

async function endOpen(
  tx: Tx,
  requests: readonly { readonly id: string; readonly user: string }[],
  why: string,
  caller: Caller,
  now: number,
): Promise<readonly AuditRow[]> {
  const rows: AuditRow[] = [];
  for (const { id, user } of requests) {
    const { numUpdatedRows } = await tx
      .updateTable('access_requests')
      .set((e) => ({ state: 'cancelled', decided_at: now, ends_at: null, version: e('version', '+', 1) }))
      .where('id', '=', id)
      // A concurrent decision waits for this transaction, or came first.
      .where('state', 'in', ['pending', 'approved'])
      .executeTakeFirst();
    if (numUpdatedRows === 0n) continue;
    rows.push(
      ...(await enqueue(tx, 'request.cancelled', id, now)),
      auditRow(now, caller, { event: 'request.cancel', target: id, data: { request_user: user, reason: why } }),
    );
  }
  return rows;
}
