/**
 * The runs of saved searches that have a schedule (docs/decisions/0125-saved-searches.md).
 *
 * The authority has no recordings. A viewer takes a due search, runs it with the owner's current rights, and reports:
 *
 *     1. taken: the next run is set one period ahead, so that one viewer gets it            (here, one transaction)
 *     2. run, with the owner's roles and visibility                                         (in the viewer)
 *     3. reported: new hits are noted, a message for each webhook is queued, audit row      (here, one transaction)
 *     4. the message is delivered, again and again under one number until it is accepted    (../webhooks/sender.ts)
 *
 * A crash between 1 and 3 costs a period but no hit: the next run starts where the last successful one did. After a crash between two
 * reports of one run, or a lost answer to 3, hits are reported again; those already noted cause no message. Searches of locked or
 * disabled owners do not run, and those of deleted owners are deleted with the account. Tested in
 * test/cases/saved-searches.test.ts.
 */
import { failureText, reportSearchRun, takeSearchRuns } from '#schemas/api/cases/saved-searches.js';
import type { SearchRun } from '#schemas/api/cases/saved-searches.js';
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import { chunks } from '../records/records.js';
import type { Tx } from '../records/records.js';
import { enqueueSearchHits } from '../records/webhooks.js';
import type { Row } from '#stores/state/schema.js';
import type { Links } from '../web-sessions/web-sessions.js';
import { requireCreate } from './saved-searches.js';
import type { SavedSearchParts } from './saved-searches.js';

export interface SearchRunParts extends SavedSearchParts {
  readonly webhooks: { wake(): void };
}

/** Rows may be stored this long after their time, if a node was cut off or a recording waited in a spool. */
const LATE_MS = 7 * 86_400_000;
/** Searches handed to a viewer at a time. */
const TAKEN = 10;
/** Hits listed in a message. */
const LISTED = 20;

type SearchRow = Row<'saved_searches'>;

export function searchRunRoutes({ records, links, webhooks, clock }: SearchRunParts): readonly Route[] {
  return [
    handle(takeSearchRuns, async () => {
      const now = clock();
      const due = await records.read((db) =>
        db.selectFrom('saved_searches').selectAll().where('next_at', '<=', now).orderBy('next_at').limit(TAKEN).execute(),
      );
      const runs: SearchRun[] = [];
      for (const row of due) {
        const owner = await ownerOf(links, row.owner);
        const taken = await records.actOn(async (tx) => {
          const { numUpdatedRows } = await tx
            .updateTable('saved_searches')
            .set({ next_at: now + Number(row.every_ms), ...('refused' in owner ? { error: owner.refused } : {}) })
            .where('id', '=', row.id)
            .where('version', '=', row.version)
            .where('next_at', '=', row.next_at)
            .executeTakeFirst();
          const mine = numUpdatedRows === 1n;
          return { result: mine, rows: mine && 'refused' in owner ? failureRows(row, owner.refused, now) : [] };
        });
        if (!taken || 'refused' in owner) continue;
        runs.push({ id: row.id, version: Number(row.version), query: row.query, owner, from: fromOf(row), began_at: now });
      }
      return runs;
    }),
    handle(reportSearchRun, async ({ body }) => {
      const now = clock();
      const { id, version, began_at: began, error, done, hits } = body;
      const known = await records.read((db) => db.selectFrom('saved_searches').selectAll().where('id', '=', id).executeTakeFirst());
      // Roles and locks may have changed since the run was taken: the current ones decide about messages.
      const owner = known === undefined ? undefined : await ownerOf(links, known.owner);
      const fresh = await records.actOn(async (tx) => {
        const row = await tx
          .selectFrom('saved_searches')
          .selectAll()
          .where('id', '=', id)
          .where('version', '=', version)
          .where('every_ms', 'is not', null)
          .executeTakeFirst();
        if (row === undefined || owner === undefined) return { result: 0, rows: [] };
        const failure = 'refused' in owner ? owner.refused : error;
        if (failure !== null) {
          await tx.updateTable('saved_searches').set({ error: failure }).where('id', '=', id).execute();
          return { result: 0, rows: failureRows(row, failure, now) };
        }
        const noted = new Set(await note(tx, id, hits));
        const news = hits.filter(({ key }) => noted.has(key));
        const rows: AuditRow[] = [];
        if (news.length > 0) {
          const { name, query, owner: user } = row;
          const shown = news.toSorted((a, b) => b.at - a.at).slice(0, LISTED);
          const notice = { search: { id, name, owner: user, query }, count: news.length, hits: shown.map(({ key: _, ...hit }) => hit) };
          rows.push(...(await enqueueSearchHits(tx, notice, now)));
          const sessions = [...new Set(news.map(({ session }) => session))].filter((session) => session !== '').slice(0, 100);
          const caller = { actor: user, source: '' };
          rows.push(auditRow(now, caller, { event: 'search.hit', target: id, data: { name, query, hits: news.length, sessions } }));
        }
        if (done) await forget(tx, id, fromOf(row));
        await tx
          .updateTable('saved_searches')
          .set({ told: Number(row.told) + news.length, error: '', ...(done ? { ran_at: Math.min(began, now) } : {}) })
          .where('id', '=', id)
          .execute();
        return { result: news.length, rows };
      });
      if (fresh > 0) webhooks.wake();
      return { fresh };
    }),
  ];
}

/** The owner's current rights, or the reason why the search does not run. */
async function ownerOf(links: Links, user: string): Promise<SearchRun['owner'] | { readonly refused: string }> {
  try {
    const owner = await links.userNow(user);
    requireCreate(user, owner.roles);
    return owner;
  } catch (error) {
    if (!(error instanceof StenoError) || error.code === 'STORE_UNAVAILABLE') throw error;
    return { refused: failureText(error) };
  }
}

/** One row when a search begins to fail, and one when it fails for another reason. */
function failureRows({ id, owner, name, error }: SearchRow, failure: string, now: number): readonly AuditRow[] {
  if (error === failure) return [];
  const row = auditRow(now, { actor: owner, source: '' }, { event: 'search.run', target: id, data: { name } });
  return [{ ...row, outcome: 'failure', code: failure.split(':', 1)[0]!, reason: failure }];
}

/** Looks back behind the last run that succeeded, by as much as rows may be late. */
function fromOf({ since, ran_at: ran }: SearchRow): number {
  return Math.max(Number(since), Number(ran ?? since) - LATE_MS);
}

/** Notes the hits and returns the new ones; of concurrent reports, one gets each hit. */
async function note(tx: Tx, search: string, hits: readonly { readonly key: string; readonly at: number }[]): Promise<readonly string[]> {
  const fresh: string[] = [];
  for (const part of chunks([...new Map(hits.map((hit) => [hit.key, hit.at])).entries()])) {
    const rows = await tx
      .insertInto('saved_search_hits')
      .values(part.map(([hit, at]) => ({ search, hit, at })))
      .onConflict((on) => on.columns(['search', 'hit']).doNothing())
      .returning('hit')
      .execute();
    fresh.push(...rows.map(({ hit }) => hit));
  }
  return fresh;
}

/** Forgets noted hits older than the start of this run's range: no later run looks there. */
async function forget(tx: Tx, search: string, from: number): Promise<void> {
  await tx.deleteFrom('saved_search_hits').where('search', '=', search).where('at', '<', from).execute();
}
