/**
 * Ending access requests when what they are about is no longer what was asked for: a user's when the account passes into other
 * hands, since what was granted was granted to a person; and those that name a node when the name goes or comes to mean another
 * machine, since what was granted was that machine. Tested in ../power/takeover.test.ts.
 */
import { scopeOfItems } from '#schemas/documents/access-request.js';
import type { GrantItem } from '#schemas/documents/access-request.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { auditRow } from './audit.js';
import type { Caller } from './audit.js';
import type { Tx } from './records.js';
import { enqueue } from './webhooks.js';

/** Open ones and granted ones of the user. Rows for the audit. */
export async function endRequests(tx: Tx, user: string, why: string, caller: Caller, now: number): Promise<readonly AuditRow[]> {
  const open = await tx
    .selectFrom('access_requests')
    .select(['id', 'user'])
    .where('user', '=', user)
    .where('state', 'in', ['pending', 'approved'])
    .execute();
  return end(tx, open, why, caller, now);
}

/** Open ones and granted ones that name the node, whoever asked. Rows for the audit. */
export async function endRequestsForNode(tx: Tx, node: string, why: string, caller: Caller, now: number): Promise<readonly AuditRow[]> {
  const open = await tx
    .selectFrom('access_requests')
    .select(['id', 'user', 'items'])
    .where('state', 'in', ['pending', 'approved'])
    .execute();
  const naming = open.filter(({ items }) => scopeOfItems(JSON.parse(items) as GrantItem[]).nodes.includes(node));
  return end(tx, naming, why, caller, now);
}

async function end(
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
      // Whoever races to decide it waits for this transaction, or was first.
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
