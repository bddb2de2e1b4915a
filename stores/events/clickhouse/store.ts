/**
 * The event store on ClickHouse: embedded (chDB) or a server, the same statements for both.
 *
 * How repeats stay invisible: the engine merges rows of one identity in the background; until then sessions and findings are
 * read FINAL, so that the highest version wins, and repeats of other rows are left out of pages (`queries/paging.ts`).
 * Product reads are the named, parameterised queries of `queries/`; a person's SQL alone goes through the guard of `sql/`, on a
 * connection of its own.
 *
 * Tested in `stores/events/clickhouse/store.test.ts` and by `stores/events/conformance.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow, EventRow, EventTable, EventTables, FindingRow, SessionRow } from '#schemas/events/rows.js';
import { columns, encodeRows, insertColumns } from '../engine/columns.js';
import { insertToken, parseQuery, sqlLimits } from '../contract.js';
import type {
  AuditQuery,
  EventQuery,
  EventStore,
  FindingQuery,
  KindCount,
  Page,
  ScreenHit,
  ScreenLine,
  ScreenQuery,
  SessionQuery,
  SqlResult,
} from '../contract.js';
import { openEngine } from '../engine/engine.js';
import type { Engine, EngineOptions } from '../engine/engine.js';
import { insertError } from '../engine/failures.js';
import { migrate } from '../migrations/migrate.js';
import { listAudit } from '../queries/audit.js';
import { countKinds, listEvents } from '../queries/events.js';
import { openedFrom } from '../queries/opened-from.js';
import { listFindings } from '../queries/findings.js';
import { screenAround, screenLines, searchScreen } from '../queries/screen.js';
import { countSessions, listSessions, readSession, sessionUse } from '../queries/sessions.js';
import { SqlGuard } from '../sql/guard.js';

/** Rows of one INSERT; the engine writes as many as this in one piece. */
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

  constructor(engine: Engine) {
    this.#engine = engine;
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

  events(query: EventQuery): Promise<Page<EventRow>> {
    return listEvents(this.#engine, query);
  }

  audit(query: AuditQuery): Promise<Page<AuditRow>> {
    return listAudit(this.#engine, query);
  }

  findings(query: FindingQuery): Promise<Page<FindingRow>> {
    return listFindings(this.#engine, query);
  }

  countSessions(query: Parameters<EventStore['countSessions']>[0]): ReturnType<EventStore['countSessions']> {
    return countSessions(this.#engine, query);
  }

  countKinds(session: string): Promise<readonly KindCount[]> {
    return countKinds(this.#engine, session);
  }

  openedFrom(sessions: readonly string[]): ReturnType<EventStore['openedFrom']> {
    return openedFrom(this.#engine, sessions);
  }

  sessionUse(limit: number): ReturnType<EventStore['sessionUse']> {
    return sessionUse(this.#engine, limit);
  }

  screenAround(...[places, each]: Parameters<EventStore['screenAround']>): Promise<readonly (readonly ScreenLine[])[]> {
    return screenAround(this.#engine, places, each);
  }

  screenLines(...[session, after, limit]: Parameters<EventStore['screenLines']>): Promise<readonly ScreenLine[]> {
    return screenLines(this.#engine, session, after, limit);
  }

  async readOnlySql(...[sql, limits, visible]: Parameters<EventStore['readOnlySql']>): Promise<SqlResult> {
    return await this.#guard.run(sql, parseQuery(sqlLimits, limits), visible);
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }
}
