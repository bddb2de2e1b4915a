/**
 * New findings, announced by analyzers, and suppressions.
 *
 *   1. the finding is durable in the event store                     (by the analyzer)
 *   2. it is announced here; in one transaction its id is noted, and either the first matching suppression makes it
 *      `suppressed`, with the audit row that lists read, or it is queued for every subscribed webhook
 *   3. the session is marked as analyzed                             (by the analyzer)
 *
 * A crash between 1 and 3 repeats the announcement, which the noted id makes harmless. Ids are kept for 30 days, longer than
 * an analyzer looks back. Tested in announcements.test.ts.
 */
import { randomBytes } from 'node:crypto';
import { announceFindings, createSuppression, deleteSuppression, listSuppressions } from '#schemas/api/detection/suppressions.js';
import type { AnnouncedFinding, Suppression } from '#schemas/api/detection/suppressions.js';
import { StenoError } from '#schemas/base/errors.js';
import { suppresses } from '#schemas/documents/suppression.js';
import type { SuppressionScope } from '#schemas/documents/suppression.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Reader, Records, Tx } from '../records/records.js';
import { enqueueFinding } from '../records/webhooks.js';
import { decide } from './triage.js';

export interface AnnouncementParts {
  readonly records: Records;
  readonly webhooks: { wake(): void };
  readonly clock: () => number;
}

const MAX_SUPPRESSIONS = 1_000;
/** How long ended suppressions and announced ids are kept, in ms. */
const KEPT_MS = 90 * 86_400_000;
const ANNOUNCED_MS = 30 * 86_400_000;

export function announcementRoutes({ records, webhooks, clock }: AnnouncementParts): readonly Route[] {
  return [
    handle(listSuppressions, () => records.read(allSuppressions)),
    handle(createSuppression, async ({ caller, body: { scope, reason, duration } }) => {
      const now = clock();
      const made: Suppression = {
        ...{
          id: `s-${BigInt(`0x${randomBytes(8).toString('hex')}`)
            .toString(36)
            .padStart(13, '0')
            .slice(-10)}`,
          scope,
        },
        ...{ reason: reason.trim(), created_by: caller.actor, created_at: now, expires_at: now + duration, hits: 0 },
      };
      const row = auditRow(now, caller, {
        event: 'suppression.create',
        target: made.id,
        data: { scope, reason: made.reason, expires_at: made.expires_at },
      });
      await records.act([row], async (tx) => {
        await tx
          .deleteFrom('suppressions')
          .where('expires_at', '<=', now - KEPT_MS)
          .execute();
        if ((await inForce(tx, now)).length >= MAX_SUPPRESSIONS) throw new StenoError('TOO_MANY', `${MAX_SUPPRESSIONS} suppressions`);
        await tx
          .insertInto('suppressions')
          .values({ ...made, scope: JSON.stringify(scope) })
          .execute();
      });
      return made;
    }),
    handle(deleteSuppression, async ({ caller }, { name }) => {
      const now = clock();
      await records.act([auditRow(now, caller, { event: 'suppression.delete', target: name })], async (tx) => {
        const { numDeletedRows } = await tx.deleteFrom('suppressions').where('id', '=', name).executeTakeFirst();
        if (numDeletedRows === 0n) throw new StenoError('NOT_FOUND', `suppression ${name}`);
      });
    }),
    handle(announceFindings, async ({ body }) => {
      const now = clock();
      const told = await records.actOn(async (tx) => {
        await tx
          .deleteFrom('announced_findings')
          .where('at', '<=', now - ANNOUNCED_MS)
          .execute();
        const suppressions = await inForce(tx, now);
        const rows: AuditRow[] = [];
        let [fresh, suppressed] = [0, 0];
        for (const finding of body.findings) {
          if (!(await note(tx, finding.id, now))) continue;
          fresh += 1;
          const by = suppressions.find(({ scope }) => suppresses(scope, finding));
          if (by === undefined) {
            rows.push(...(await enqueueFinding(tx, finding, now)));
            continue;
          }
          // A user decided before this announcement: that decision stands.
          if (await isDecided(tx, finding.id)) continue;
          suppressed += 1;
          rows.push(await suppress(tx, finding, by, now));
        }
        return { result: { fresh, suppressed }, rows };
      });
      if (told.fresh > told.suppressed) webhooks.wake();
      return told;
    }),
  ];
}

/** True the first time; of concurrent calls, for one of them. */
async function note(tx: Tx, finding: string, at: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('announced_findings')
    .values({ finding, at })
    .onConflict((on) => on.column('finding').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

async function isDecided(tx: Tx, finding: string): Promise<boolean> {
  return (await tx.selectFrom('finding_states').select('finding').where('finding', '=', finding).executeTakeFirst()) !== undefined;
}

async function suppress(tx: Tx, { id }: AnnouncedFinding, by: Suppression, at: number): Promise<AuditRow> {
  await tx
    .updateTable('suppressions')
    .set((of) => ({ hits: of('hits', '+', 1) }))
    .where('id', '=', by.id)
    .execute();
  const caller = { actor: `suppression/${by.id}`, source: '' };
  return (await decide(tx, { finding: id, state: 'suppressed', reason: by.reason, caller, at })).row;
}

async function allSuppressions(db: Reader): Promise<readonly Suppression[]> {
  const rows = await db.selectFrom('suppressions').selectAll().orderBy('created_at', 'desc').orderBy('id').execute();
  return rows.map(({ scope, created_at, expires_at, hits, ...row }) => ({
    ...row,
    scope: JSON.parse(scope) as SuppressionScope,
    ...{ created_at: Number(created_at), expires_at: Number(expires_at), hits: Number(hits) },
  }));
}

/** Oldest first: of several matching suppressions, the oldest counts. */
export async function inForce(db: Reader, now: number): Promise<readonly Suppression[]> {
  return (await allSuppressions(db)).filter(({ expires_at: until }) => until > now).reverse();
}
