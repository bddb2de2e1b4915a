/**
 * The event store on ClickHouse: embedded (chDB) or a server, the same statements for both.
 *
 * How duplicates stay invisible: the engine merges rows of one identity in the background; until then sessions and findings
 * are read FINAL, so that the highest version wins, and duplicates of other rows are removed from pages
 * (`queries/paging.ts`). Product reads are the named, parameterized queries of `queries/`; only a user's own SQL goes
 * through the guard of `sql/`, on a separate connection.
 *
 * Tested in `stores/events/clickhouse/store.test.ts` and by `stores/events/conformance.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow, EventRow, EventTable, EventTables, SessionRow } from '#schemas/events/rows.js';
import { columns, encodeRows, insertColumns } from '../engine/columns.js';
import { insertToken, parseQuery, sqlLimits } from '../contract.js';
import type {
  AuditQuery,
  ChangeQuery,
  ChangeTable,
  Changes,
  EventQuery,
  EventStore,
  FindingCount,
  FindingQuery,
  Found,
  KindCount,
  Page,
  ScreenHit,
  ScreenLine,
  ScreenQuery,
  SessionQuery,
  SqlResult,
  StoredPosition,
  ViewsQuery,
} from '../contract.js';
import { openEngine } from '../engine/engine.js';
import type { Engine, EngineOptions } from '../engine/engine.js';
import { insertError } from '../engine/failures.js';
import { migrate } from '../migrations/migrate.js';
import { screenRows, sessionsWithoutAudit } from '../queries/analysis.js';
import { listAudit, viewsOf } from '../queries/audit.js';
import { changesEnd, countChanges, keepPosition, readChanges, readPosition } from '../queries/changes.js';
import { countKinds, eventsNamed, listEvents } from '../queries/events.js';
import { openedFrom } from '../queries/opened-from.js';
import { countFindings, listFindings } from '../queries/findings.js';
import { alikeSessions, patterns } from '../queries/patterns.js';
import { responseByMonth } from '../queries/response.js';
import type { ResponseQuery } from '../response-contract.js';
import type { ResponseMonth } from '#schemas/events/response.js';
import { linesBeside, screenAround, screenLines, searchScreen } from '../queries/screen.js';
import { countSessions, listSessions, readSession, sessionUse } from '../queries/sessions.js';
import { Searches } from '../search/searches.js';
import { sessionTimeline } from '../queries/timeline.js';
import { scanTables } from '../sql/scan.js';
import { SqlGuard } from '../sql/guard.js';

/** Rows per INSERT; the engine writes up to this many as one part. */
const insertRows = 50_000;

/** Opens the store and brings its schema up to date. Errors: STORE_UNAVAILABLE, STORE_NEWER, ENGINE_MISSING. */
export async function openEventStore(options: EngineOptions): Promise<EventStore> {
  const engine = await openEngine(options);
  try {
    await migrate(engine);
    return new ClickHouseEventStore(engine);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

export class ClickHouseEventStore implements EventStore {
  readonly #engine: Engine;
  readonly #guard: SqlGuard;
  readonly #searches: Searches;

  constructor(engine: Engine, searches = new Searches(engine)) {
    this.#engine = engine;
    this.#searches = searches;
    this.#guard = new SqlGuard(engine);
  }

  async insert<T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void> {
    parseQuery(insertToken, token);
    if (!Object.hasOwn(columns, table)) throw new StenoError('BAD_REQUEST', 'no such table');
    for (let from = 0; from < rows.length; from += insertRows) {
      const body = encodeRows(table, rows.slice(from, from + insertRows));
      try {
        await this.#engine.insert(table, insertColumns(table), body, `${table} ${from} ${token}`);
      } catch (error) {
        throw insertError(error);
      }
    }
  }

  sessions(query: SessionQuery): Promise<Page<SessionRow>> {
    return listSessions(this.#engine, query);
  }

  session(id: string): Promise<SessionRow | undefined> {
    return readSession(this.#engine, id);
  }

  searchScreen(query: ScreenQuery): Promise<Page<ScreenHit>> {
    return searchScreen(this.#engine, query);
  }

  searchRows(...[query]: Parameters<EventStore['searchRows']>): ReturnType<EventStore['searchRows']> {
    return this.#searches.rows(query);
  }

  searchBySession(...[query]: Parameters<EventStore['searchBySession']>): ReturnType<EventStore['searchBySession']> {
    return this.#searches.bySession(query);
  }

  searchOverview(...[query]: Parameters<EventStore['searchOverview']>): ReturnType<EventStore['searchOverview']> {
    return this.#searches.overview(query);
  }

  searchValues(...[query]: Parameters<EventStore['searchValues']>): ReturnType<EventStore['searchValues']> {
    return this.#searches.values(query);
  }

  events(query: EventQuery): Promise<Page<EventRow>> {
    return listEvents(this.#engine, query);
  }

  audit(query: AuditQuery): Promise<Page<AuditRow>> {
    return listAudit(this.#engine, query);
  }

  findings(query: FindingQuery): Promise<Page<Found>> {
    return listFindings(this.#engine, query);
  }

  responseByMonth(query: ResponseQuery): Promise<readonly ResponseMonth[]> {
    return responseByMonth(this.#engine, query);
  }

  patterns(...[query]: Parameters<EventStore['patterns']>): ReturnType<EventStore['patterns']> {
    return patterns(this.#engine, query);
  }

  alikeSessions(...[query]: Parameters<EventStore['alikeSessions']>): ReturnType<EventStore['alikeSessions']> {
    return alikeSessions(this.#engine, query);
  }

  countFindings(query: FindingQuery): Promise<readonly FindingCount[]> {
    return countFindings(this.#engine, query);
  }

  eventsNamed(ids: readonly string[]): Promise<readonly EventRow[]> {
    return eventsNamed(this.#engine, ids);
  }

  countSessions(query: Parameters<EventStore['countSessions']>[0]): ReturnType<EventStore['countSessions']> {
    return countSessions(this.#engine, query);
  }

  countKinds(session: string): Promise<readonly KindCount[]> {
    return countKinds(this.#engine, session);
  }

  timeline(...[session, parts]: Parameters<EventStore['timeline']>): ReturnType<EventStore['timeline']> {
    return sessionTimeline(this.#engine, session, parts);
  }

  openedFrom(sessions: readonly string[]): ReturnType<EventStore['openedFrom']> {
    return openedFrom(this.#engine, sessions);
  }

  views(query: ViewsQuery): ReturnType<EventStore['views']> {
    return viewsOf(this.#engine, query);
  }

  sessionUse(limit: number): ReturnType<EventStore['sessionUse']> {
    return sessionUse(this.#engine, limit);
  }

  screenAround(...[places, each]: Parameters<EventStore['screenAround']>): Promise<readonly (readonly ScreenLine[])[]> {
    return screenAround(this.#engine, places, each);
  }

  linesBeside(...[places, each]: Parameters<EventStore['linesBeside']>): ReturnType<EventStore['linesBeside']> {
    return linesBeside(this.#engine, places, each);
  }

  screenLines(...[session, after, limit, side]: Parameters<EventStore['screenLines']>): Promise<readonly ScreenLine[]> {
    return screenLines(this.#engine, session, after, limit, side);
  }

  screenRows(...query: Parameters<EventStore['screenRows']>): ReturnType<EventStore['screenRows']> {
    return screenRows(this.#engine, ...query);
  }

  sessionsWithoutAudit(query: Parameters<EventStore['sessionsWithoutAudit']>[0]): ReturnType<EventStore['sessionsWithoutAudit']> {
    return sessionsWithoutAudit(this.#engine, query);
  }

  async readOnlySql(...[sql, limits, scope, running]: Parameters<EventStore['readOnlySql']>): Promise<SqlResult> {
    return await this.#guard.run(sql, parseQuery(sqlLimits, limits), scope, running);
  }

  sqlProgress(mark: string): ReturnType<EventStore['sqlProgress']> {
    return this.#engine.progress(mark);
  }

  scan(...[sql, visible]: Parameters<EventStore['scan']>): ReturnType<EventStore['scan']> {
    return scanTables(this.#engine, sql, visible);
  }

  changes<T extends ChangeTable>(query: ChangeQuery<T>): Promise<Changes<T>> {
    return readChanges(this.#engine, query);
  }

  changesEnd(table: ChangeTable): Promise<StoredPosition> {
    return changesEnd(this.#engine, table);
  }

  countChanges(...[table, after]: Parameters<EventStore['countChanges']>): Promise<number> {
    return countChanges(this.#engine, table, after);
  }

  readPosition(name: string): Promise<string | null> {
    return readPosition(this.#engine, name);
  }

  async keepPosition(...[name, version, position]: Parameters<EventStore['keepPosition']>): Promise<void> {
    try {
      await keepPosition(this.#engine, name, version, position);
    } catch (error) {
      throw insertError(error);
    }
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }
}
