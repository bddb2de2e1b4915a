/**
 * Batches the rows of all sessions into few inserts to the event store.
 *
 * An insert costs milliseconds regardless of size, so rows that arrive while one runs, or within `interval` of its start, go
 * into the next. A failed batch is repeated unchanged under the same token. A batch that the store refuses for good is split
 * up, so that the rows of one session cannot hold up the others. Rows are idempotent by (session, block, index), so rows
 * resent in other batches are not shown twice. Tested in faults.test.ts.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import type { AuditRow, EventRow, EventTable, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import type { RowMessage } from '#schemas/row-feed.js';
import type { EventStore } from '#stores/events/contract.js';
import type { Backlog } from './backlog.js';
import type { StoreRetry } from '#stores/store-retry.js';

/** Maximum rows per insert; inserts of up to 50,000 rows are atomic by contract. */
const MAX_BATCH_ROWS = 20_000;

export interface RowSet {
  /** Identifies the set of rows; the same rows have the same id. */
  readonly id: string;
  readonly screen?: readonly ScreenRow[];
  readonly events?: readonly EventRow[];
  readonly sessions?: readonly SessionRow[];
  readonly audit?: readonly AuditRow[];
}

interface Job {
  readonly rows: RowSet;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const tables = ['events', 'screen', 'sessions', 'audit'] as const satisfies readonly EventTable[];

export class RowBatch {
  readonly #store: EventStore;
  readonly #retry: StoreRetry;
  readonly #interval: number;
  readonly #backlog: Backlog | undefined;
  readonly #taken: (rows: RowMessage) => void;
  /** Rows passed to `taken` that are not in the store yet, in order. */
  readonly #pending = new Set<RowMessage>();
  #queue: Job[] = [];
  #running: Promise<void> | undefined;

  /** `interval`: ms between the starts of two inserts. `taken`: called with rows as they are added, in insertion order. */
  constructor(
    store: EventStore,
    retry: StoreRetry,
    interval: number,
    backlog?: Backlog,
    taken: (rows: RowMessage) => void = () => undefined,
  ) {
    this.#taken = taken;
    this.#backlog = backlog;
    this.#store = store;
    this.#retry = retry;
    this.#interval = interval;
  }

  /** Resolves when the rows are durable. Rejects if the store refuses them for good, or on close. */
  add(rows: RowSet): Promise<void> {
    const count = tables.reduce((sum, table) => sum + (rows[table]?.length ?? 0), 0);
    this.#backlog?.add(count);
    const { events = [], screen = [], sessions = [] } = rows;
    const told: RowMessage = { events, screen, sessions };
    this.#pending.add(told);
    this.#taken(told);
    return new Promise<void>((resolve, reject) => {
      this.#queue.push({ rows, resolve, reject });
      this.#running ??= this.#run();
    }).finally(() => {
      this.#pending.delete(told);
      this.#backlog?.settle(count);
    });
  }

  /** Rows passed to `taken` that the store may not have yet. */
  pending(): Iterable<RowMessage> {
    return this.#pending;
  }

  /** Waits for the insert in progress; call it after closing the retry. */
  async close(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Include rows that arrive in this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      const started = performance.now();
      await this.#insert(this.#next());
      const left = this.#interval - (performance.now() - started);
      if (this.#queue.length > 0 && left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    }
    // In the same turn in which the queue was seen empty: rows added a moment later must start the next run.
    this.#running = undefined;
  }

  #next(): Job[] {
    let rows = 0;
    let end = 0;
    for (; end < this.#queue.length; end++) {
      const { screen, events } = this.#queue[end]!.rows;
      rows += (screen?.length ?? 0) + (events?.length ?? 0);
      if (end > 0 && rows > MAX_BATCH_ROWS) break;
    }
    return this.#queue.splice(0, end);
  }

  async #insert(jobs: readonly Job[]): Promise<void> {
    const hash = createHash('sha256');
    for (const { rows } of jobs) hash.update(`${rows.id}\n`);
    const token = hash.digest('hex');
    try {
      for (const table of tables) {
        const rows = jobs.flatMap((job) => (job.rows[table] ?? []) as readonly never[]);
        if (rows.length > 0) await this.#retry.run(() => this.#store.insert(table, rows, token));
      }
    } catch (error) {
      const refused = error instanceof StenoError && error.code !== 'DRAINING';
      if (refused && jobs.length > 1) {
        for (const job of jobs) await this.#insert([job]);
        return;
      }
      for (const { reject } of jobs) reject(error);
      return;
    }
    for (const { resolve } of jobs) resolve();
  }
}
