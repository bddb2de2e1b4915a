/** Webhooks in the state store: documents, outgoing messages, callbacks. Tested in ../webhooks/webhooks.test.ts. */
import type { Kysely } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { RequestEvent, Webhook, WebhookEvent } from '#schemas/documents/webhook.js';
import type { SearchHitNotice } from '#schemas/api/cases/saved-searches.js';
import type { SessionInvitationView } from '#schemas/documents/session-invitation.js';
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { severities } from '#schemas/events/rows.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { auditRow } from './audit.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema>;
export type Waiting = Row<'webhook_outbox'>;

/** Messages waiting per webhook: if nobody has accepted this many, more would not help. */
export const MAX_WAITING = 1_000;

export async function webhooksOf(db: Db): Promise<readonly Webhook[]> {
  const rows = await db.selectFrom('webhooks').selectAll().orderBy('name').execute();
  return rows.map(({ document }) => webhookSchema.parse(JSON.parse(document)));
}

export async function webhookNamed(db: Db, name: string): Promise<Webhook | undefined> {
  const row = await db.selectFrom('webhooks').select('document').where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : webhookSchema.parse(JSON.parse(row.document));
}

export async function putWebhook(tx: Tx, webhook: Webhook, now: number): Promise<void> {
  const document = JSON.stringify(webhook);
  await tx
    .insertInto('webhooks')
    .values({ name: webhook.name, document, updated_at: now })
    .onConflict((on) => on.column('name').doUpdateSet({ document, updated_at: now }))
    .execute();
}

export async function deleteWebhook(tx: Tx, name: string): Promise<void> {
  const { numDeletedRows } = await tx.deleteFrom('webhooks').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StenoError('NOT_FOUND', `webhook ${name}`);
}

/** Queues the event for every subscribed webhook; returns audit rows for those whose queue is full. */
export function enqueue(tx: Tx, event: RequestEvent, request: string, now: number): Promise<readonly AuditRow[]> {
  return putOut(tx, { event, request, payload: null }, { event, request }, () => true, now);
}

/** The same for a finding, included in full, since the authority does not store it. */
export function enqueueFinding(tx: Tx, finding: AnnouncedFinding, now: number): Promise<readonly AuditRow[]> {
  const event = 'finding.new';
  const grave = ({ min_severity: least }: Webhook): boolean => severities.indexOf(finding.severity) >= severities.indexOf(least);
  return putOut(tx, { event, request: '', payload: JSON.stringify(finding) }, { event, finding: finding.id }, grave, now);
}

/** The same for new hits of a scheduled search. */
export function enqueueSearchHits(tx: Tx, notice: SearchHitNotice, now: number): Promise<readonly AuditRow[]> {
  const event = 'search.hit';
  const about = { event, search: notice.search.id };
  return putOut(tx, { event, request: '', payload: JSON.stringify(notice) }, about, () => true, now);
}

/** Queues an invitation as it was created. */
export function enqueueInvitation(tx: Tx, invitation: SessionInvitationView, now: number): Promise<readonly AuditRow[]> {
  const event = 'session.invited';
  return putOut(tx, { event, request: '', payload: JSON.stringify(invitation) }, { event, invitation: invitation.id }, () => true, now);
}

async function putOut(
  tx: Tx,
  message: Pick<Waiting, 'event' | 'request' | 'payload'>,
  about: Readonly<Record<string, string>>,
  wanted: (webhook: Webhook) => boolean,
  now: number,
): Promise<readonly AuditRow[]> {
  const dropped: AuditRow[] = [];
  for (const webhook of await webhooksOf(tx)) {
    const events: readonly WebhookEvent[] = webhook.events;
    if (!events.includes(message.event) || !wanted(webhook)) continue;
    const { count } = await tx
      .selectFrom('webhook_outbox')
      .select((e) => e.fn.countAll<number>().as('count'))
      .where('webhook', '=', webhook.name)
      .executeTakeFirstOrThrow();
    if (Number(count) >= MAX_WAITING) {
      dropped.push(
        auditRow(
          now,
          { actor: 'authority', source: '' },
          { event: 'webhook.send', target: webhook.name, data: about },
          new StenoError('TOO_MANY', 'waiting messages'),
        ),
      );
      continue;
    }
    await tx
      .insertInto('webhook_outbox')
      .values({ webhook: webhook.name, ...message, created_at: now, attempts: 0, next_at: now })
      .execute();
  }
  return dropped;
}

export async function due(db: Db, now: number, limit: number): Promise<readonly Waiting[]> {
  return db.selectFrom('webhook_outbox').selectAll().where('next_at', '<=', now).orderBy('id').limit(limit).execute();
}

/** When the next one is due, or null. */
export async function nextDue(db: Db): Promise<number | null> {
  const { next } = await db
    .selectFrom('webhook_outbox')
    .select((e) => e.fn.min('next_at').as('next'))
    .executeTakeFirstOrThrow();
  return next === null ? null : Number(next);
}

/** True for the one sender that gets it; it becomes due again at `until`, whatever happens to the sender. */
export async function claim(tx: Tx, waiting: Waiting, until: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('webhook_outbox')
    .set({ next_at: until, attempts: waiting.attempts + 1 })
    .where('id', '=', waiting.id)
    .where('next_at', '=', waiting.next_at)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export async function postpone(tx: Tx, id: number, until: number): Promise<void> {
  await tx.updateTable('webhook_outbox').set({ next_at: until }).where('id', '=', id).execute();
}

export async function finish(tx: Tx, id: number): Promise<void> {
  await tx.deleteFrom('webhook_outbox').where('id', '=', id).execute();
}

export async function putReference(tx: Tx, webhook: string, reference: string, request: string): Promise<void> {
  await tx
    .insertInto('webhook_references')
    .values({ webhook, reference, request })
    .onConflict((on) => on.columns(['webhook', 'reference']).doNothing())
    .execute();
}

export async function referenceOf(db: Db, webhook: string, request: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('webhook_references')
    .select('reference')
    .where('webhook', '=', webhook)
    .where('request', '=', request)
    .executeTakeFirst();
  return row?.reference;
}

export async function requestOfReference(db: Db, webhook: string, reference: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('webhook_references')
    .select('request')
    .where('webhook', '=', webhook)
    .where('reference', '=', reference)
    .executeTakeFirst();
  return row?.request;
}

/** True the first time a callback arrives; of concurrent calls, for one. */
export async function takeCallback(tx: Tx, hash: string, expiresAt: number, now: number): Promise<boolean> {
  await tx.deleteFrom('webhook_callbacks').where('expires_at', '<=', now).execute();
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('webhook_callbacks')
    .values({ hash, expires_at: expiresAt })
    .onConflict((on) => on.column('hash').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}
