/** An event store that fails on demand, and otherwise behaves like the store it wraps. */
import type { ResponseMonth } from '#schemas/events/response.js';
import type { ResponseQuery } from './response-contract.js';
import type { AuditRow, EventRow, EventTable, EventTables, SessionRow } from '#schemas/events/rows.js';
import { FaultPlan } from '../faults.js';
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
} from './contract.js';

export type EventOperation = Exclude<keyof EventStore, 'close'>;

export class FaultyEventStore implements EventStore {
  readonly faults = new FaultPlan<EventOperation>();
  readonly #inner: EventStore;

  constructor(inner: EventStore) {
    this.#inner = inner;
  }

  insert<T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void> {
    return this.faults.run('insert', () => this.#inner.insert(table, rows, token));
  }

  sessions(query: SessionQuery): Promise<Page<SessionRow>> {
    return this.faults.run('sessions', () => this.#inner.sessions(query));
  }

  session(id: string): Promise<SessionRow | undefined> {
    return this.faults.run('session', () => this.#inner.session(id));
  }

  searchScreen(query: ScreenQuery): Promise<Page<ScreenHit>> {
    return this.faults.run('searchScreen', () => this.#inner.searchScreen(query));
  }

  searchRows(...[query]: Parameters<EventStore['searchRows']>): ReturnType<EventStore['searchRows']> {
    return this.faults.run('searchRows', () => this.#inner.searchRows(query));
  }

  searchBySession(...[query]: Parameters<EventStore['searchBySession']>): ReturnType<EventStore['searchBySession']> {
    return this.faults.run('searchBySession', () => this.#inner.searchBySession(query));
  }

  searchOverview(...[query]: Parameters<EventStore['searchOverview']>): ReturnType<EventStore['searchOverview']> {
    return this.faults.run('searchOverview', () => this.#inner.searchOverview(query));
  }

  searchValues(...[query]: Parameters<EventStore['searchValues']>): ReturnType<EventStore['searchValues']> {
    return this.faults.run('searchValues', () => this.#inner.searchValues(query));
  }

  events(query: EventQuery): Promise<Page<EventRow>> {
    return this.faults.run('events', () => this.#inner.events(query));
  }

  audit(query: AuditQuery): Promise<Page<AuditRow>> {
    return this.faults.run('audit', () => this.#inner.audit(query));
  }

  findings(query: FindingQuery): Promise<Page<Found>> {
    return this.faults.run('findings', () => this.#inner.findings(query));
  }

  responseByMonth(query: ResponseQuery): Promise<readonly ResponseMonth[]> {
    return this.faults.run('responseByMonth', () => this.#inner.responseByMonth(query));
  }

  patterns(...[query]: Parameters<EventStore['patterns']>): ReturnType<EventStore['patterns']> {
    return this.faults.run('patterns', () => this.#inner.patterns(query));
  }

  alikeSessions(...[query]: Parameters<EventStore['alikeSessions']>): ReturnType<EventStore['alikeSessions']> {
    return this.faults.run('alikeSessions', () => this.#inner.alikeSessions(query));
  }

  countFindings(query: FindingQuery): Promise<readonly FindingCount[]> {
    return this.faults.run('countFindings', () => this.#inner.countFindings(query));
  }

  eventsNamed(ids: readonly string[]): Promise<readonly EventRow[]> {
    return this.faults.run('eventsNamed', () => this.#inner.eventsNamed(ids));
  }

  countSessions(...query: Parameters<EventStore['countSessions']>): ReturnType<EventStore['countSessions']> {
    return this.faults.run('countSessions', () => this.#inner.countSessions(...query));
  }

  openedFrom(sessions: readonly string[]): ReturnType<EventStore['openedFrom']> {
    return this.faults.run('openedFrom', () => this.#inner.openedFrom(sessions));
  }

  timeline(...[session, parts]: Parameters<EventStore['timeline']>): ReturnType<EventStore['timeline']> {
    return this.faults.run('timeline', () => this.#inner.timeline(session, parts));
  }

  countKinds(session: string): Promise<readonly KindCount[]> {
    return this.faults.run('countKinds', () => this.#inner.countKinds(session));
  }

  views(query: ViewsQuery): ReturnType<EventStore['views']> {
    return this.faults.run('views', () => this.#inner.views(query));
  }

  sessionUse(limit: number): ReturnType<EventStore['sessionUse']> {
    return this.faults.run('sessionUse', () => this.#inner.sessionUse(limit));
  }

  screenAround(...query: Parameters<EventStore['screenAround']>): Promise<readonly (readonly ScreenLine[])[]> {
    return this.faults.run('screenAround', () => this.#inner.screenAround(...query));
  }

  linesBeside(...query: Parameters<EventStore['linesBeside']>): ReturnType<EventStore['linesBeside']> {
    return this.faults.run('linesBeside', () => this.#inner.linesBeside(...query));
  }

  screenLines(...query: Parameters<EventStore['screenLines']>): Promise<readonly ScreenLine[]> {
    return this.faults.run('screenLines', () => this.#inner.screenLines(...query));
  }

  screenRows(...query: Parameters<EventStore['screenRows']>): ReturnType<EventStore['screenRows']> {
    return this.faults.run('screenRows', () => this.#inner.screenRows(...query));
  }

  sessionsWithoutAudit(...query: Parameters<EventStore['sessionsWithoutAudit']>): ReturnType<EventStore['sessionsWithoutAudit']> {
    return this.faults.run('sessionsWithoutAudit', () => this.#inner.sessionsWithoutAudit(...query));
  }

  readOnlySql(...query: Parameters<EventStore['readOnlySql']>): Promise<SqlResult> {
    return this.faults.run('readOnlySql', () => this.#inner.readOnlySql(...query));
  }

  sqlProgress(mark: string): ReturnType<EventStore['sqlProgress']> {
    return this.faults.run('sqlProgress', () => this.#inner.sqlProgress(mark));
  }

  scan(...args: Parameters<EventStore['scan']>): ReturnType<EventStore['scan']> {
    return this.faults.run('scan', () => this.#inner.scan(...args));
  }

  changes<T extends ChangeTable>(query: ChangeQuery<T>): Promise<Changes<T>> {
    return this.faults.run('changes', () => this.#inner.changes(query));
  }

  changesEnd(table: ChangeTable): Promise<StoredPosition> {
    return this.faults.run('changesEnd', () => this.#inner.changesEnd(table));
  }

  countChanges(...[table, after]: Parameters<EventStore['countChanges']>): Promise<number> {
    return this.faults.run('countChanges', () => this.#inner.countChanges(table, after));
  }

  readPosition(name: string): Promise<string | null> {
    return this.faults.run('readPosition', () => this.#inner.readPosition(name));
  }

  keepPosition(...[name, version, position]: Parameters<EventStore['keepPosition']>): Promise<void> {
    return this.faults.run('keepPosition', () => this.#inner.keepPosition(name, version, position));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
