/**
 * An event store that fails when told to, and otherwise is the store it wraps.
 *
 * Passes `conformance.ts` while no fault is planned.
 */
import type { AuditRow, EventRow, EventTable, EventTables, SessionRow } from '#schemas/rows.js';
import { FaultPlan } from '../faults.js';
import type { AuditQuery, EventQuery, EventStore, Page, ScreenHit, ScreenQuery, SessionQuery, SqlLimits, SqlResult } from './contract.js';

export type EventOperation = 'insert' | 'sessions' | 'session' | 'searchScreen' | 'events' | 'audit' | 'readOnlySql';

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

  readOnlySql(sql: string, limits: SqlLimits): Promise<SqlResult> {
    return this.faults.run('readOnlySql', () => this.#inner.readOnlySql(sql, limits));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
