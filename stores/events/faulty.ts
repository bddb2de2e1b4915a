/**
 * An event store that fails when told to, and otherwise is the store it wraps.
 *
 * Passes `conformance.ts` while no fault is planned.
 */
import type { AuditRow, EventRow, EventTable, EventTables, FindingRow, SessionRow } from '#schemas/events/rows.js';
import { FaultPlan } from '../faults.js';
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

  events(query: EventQuery): Promise<Page<EventRow>> {
    return this.faults.run('events', () => this.#inner.events(query));
  }

  audit(query: AuditQuery): Promise<Page<AuditRow>> {
    return this.faults.run('audit', () => this.#inner.audit(query));
  }

  findings(query: FindingQuery): Promise<Page<FindingRow>> {
    return this.faults.run('findings', () => this.#inner.findings(query));
  }

  countSessions(...query: Parameters<EventStore['countSessions']>): ReturnType<EventStore['countSessions']> {
    return this.faults.run('countSessions', () => this.#inner.countSessions(...query));
  }

  openedFrom(sessions: readonly string[]): ReturnType<EventStore['openedFrom']> {
    return this.faults.run('openedFrom', () => this.#inner.openedFrom(sessions));
  }

  countKinds(session: string): Promise<readonly KindCount[]> {
    return this.faults.run('countKinds', () => this.#inner.countKinds(session));
  }

  sessionUse(limit: number): ReturnType<EventStore['sessionUse']> {
    return this.faults.run('sessionUse', () => this.#inner.sessionUse(limit));
  }

  screenAround(...query: Parameters<EventStore['screenAround']>): Promise<readonly (readonly ScreenLine[])[]> {
    return this.faults.run('screenAround', () => this.#inner.screenAround(...query));
  }

  screenLines(...query: Parameters<EventStore['screenLines']>): Promise<readonly ScreenLine[]> {
    return this.faults.run('screenLines', () => this.#inner.screenLines(...query));
  }

  readOnlySql(...query: Parameters<EventStore['readOnlySql']>): Promise<SqlResult> {
    return this.faults.run('readOnlySql', () => this.#inner.readOnlySql(...query));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
