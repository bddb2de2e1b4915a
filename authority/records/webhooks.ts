/** Webhooks in the state store: documents, what waits to go out, what came back. Tested in ../webhooks/webhooks.test.ts. */
import type { Kysely } from 'kysely';
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import type { Webhook, WebhookEvent } from '#schemas/documents/webhook.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { auditRow } from './audit.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema>;
export type Waiting = Row<'webhook_outbox'>;

/** What waits for one webhook at most: when nobody has answered for so many, more would help nobody. */
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

/** Puts the event out for every webhook that wants it; the rows tell of those that have too much waiting already. */
export async function enqueue(tx: Tx, event: WebhookEvent, request: string, now: number): Promise<readonly AuditRow[]> {
  const dropped: AuditRow[] = [];
  for (const webhook of await webhooksOf(tx)) {
    if (!webhook.events.includes(event)) continue;
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
          { event: 'webhook.send', target: webhook.name, data: { event, request } },
          new StenoError('TOO_MANY', 'waiting messages'),
        ),
      );
      continue;
    }
    await tx
      .insertInto('webhook_outbox')
      .values({ webhook: webhook.name, request, event, created_at: now, attempts: 0, next_at: now })
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

/** True for the one sender that gets it; it is due again at `until`, whatever becomes of the sender. */
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

/** True the first time a callback comes; of many at once for one of them. */
export async function takeCallback(tx: Tx, hash: string, expiresAt: number, now: number): Promise<boolean> {
  await tx.deleteFrom('webhook_callbacks').where('expires_at', '<=', now).execute();
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('webhook_callbacks')
    .values({ hash, expires_at: expiresAt })
    .onConflict((on) => on.column('hash').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}
