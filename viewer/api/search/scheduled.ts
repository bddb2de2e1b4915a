/**
 * Runs the scheduled searches that the authority hands to this viewer, and reports their hits
 * (../../../authority/cases/saved-searches.ts has the order of writes). A run finds only what the owner may view at that moment.
 *
 * A run starts one week before the beginning of the last successful run, since rows may be stored late; the authority knows which hits
 * were already reported. A run that finds more than MAX_RUN_HITS fails and says so, because a partial answer would omit hits silently.
 * Tested in test/cases/saved-searches.test.ts.
 */
import { createHash } from 'node:crypto';
import { MAX_REPORTED_HITS, MAX_RUN_HITS, failureText, reportSearchRun, takeSearchRuns } from '#schemas/api/cases/saved-searches.js';
import type { SearchRun, SearchRunHit } from '#schemas/api/cases/saved-searches.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { eventId } from '#schemas/events/rows.js';
import type { Log } from '#runtime/log.js';
import type { FoundRow } from '#stores/events/search-contract.js';
import { expressionOf, scopeOf } from './find.js';
import type { FindParts } from './find.js';
import { placeOf } from './found.js';

export interface ScheduledParts extends Pick<FindParts, 'events' | 'access' | 'clock'> {
  /** Sends to the authority, as this viewer. */
  readonly send: Send;
  readonly log: Log;
}

/** Interval between requests for due searches; a period is at least a minute. */
const ASK_MS = 15_000;

export class ScheduledSearches {
  readonly #parts: ScheduledParts;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(parts: ScheduledParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.run().finally(() => {
        if (!this.#closed) this.start();
      });
    }, ASK_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Runs the due searches. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#runDue().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #runDue(): Promise<void> {
    const { send, log } = this.#parts;
    try {
      // The authority hands out a few at a time, and each search once per period.
      for (;;) {
        const runs = await call(send, takeSearchRuns, { body: {} });
        if (runs.length === 0) return;
        for (const run of runs) {
          // A search that was taken but not run is handed out again after its period.
          if (this.#closed) return;
          await this.#runOne(run);
        }
      }
    } catch (error) {
      log.warn({ err: error }, 'failed to run scheduled searches');
    }
  }

  async #runOne(run: SearchRun): Promise<void> {
    const { id, version, began_at } = run;
    const report = { id, version, began_at };
    const { send } = this.#parts;
    let hits: readonly SearchRunHit[];
    try {
      hits = await this.#hitsOf(run);
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      await call(send, reportSearchRun, { body: { ...report, error: failureText(error), done: true, hits: [] } });
      return;
    }
    let from = 0;
    do {
      const some = hits.slice(from, from + MAX_REPORTED_HITS);
      from += some.length;
      await call(send, reportSearchRun, { body: { ...report, error: null, done: from >= hits.length, hits: some } });
    } while (from < hits.length);
  }

  /** Throws ACCESS_DENIED, QUERY_TOO_HEAVY, STORE_UNAVAILABLE. */
  async #hitsOf({ query, owner, from }: SearchRun): Promise<readonly SearchRunHit[]> {
    const { events, access, clock } = this.#parts;
    const asked = expressionOf(query, clock);
    const page = await events.searchRows({
      expression: { kind: 'all', of: [asked, { kind: 'field', field: 'after', match: { kind: 'range', from, to: null } }] },
      scope: scopeOf(access, access.viewer(owner)),
      limit: MAX_RUN_HITS,
    });
    if (page.next !== null)
      throw new StenoError('QUERY_TOO_HEAVY', `more than ${MAX_RUN_HITS} hits since ${new Date(from).toISOString()}: narrow the search`);
    return page.rows.filter((row) => !isOwnTrace(row)).map((row) => ({ key: keyOf(row), ...placeOf(row) }));
  }
}

/** Audit rows about reporting and viewing hits contain the query: finding them would create new hits endlessly. */
function isOwnTrace(found: FoundRow): boolean {
  return found.table === 'audit' && /^(?:search\..*|webhook\.send|recording\.search)$/.test(found.row.event);
}

/** Identifies a row, however often it is stored; for a session, by the command, which does not change. */
function keyOf(found: FoundRow): string {
  return createHash('sha256')
    .update(`${found.table}\0${identityOf(found)}`)
    .digest('hex');
}

function identityOf(found: FoundRow): string {
  switch (found.table) {
    case 'screen':
      return `${found.row.session}:${found.row.block}.${found.row.index}`;
    case 'sessions':
      return found.row.session;
    case 'events':
      return eventId(found.row);
    case 'findings':
    case 'audit':
      return found.row.id;
  }
}
