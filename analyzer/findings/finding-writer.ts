/**
 * Writes findings to the event store.
 *
 *   1. the row of a finding is inserted       crash before: the session has no mark (../following/session-run.ts) and is replayed; the
 *                                             same detection gives the same id, and the row appears then
 *   2. waiting parties are notified           crash before: the replay inserts the row again, which changes nothing, and notifies again.
 *                                             `known` says which findings the store had; receivers decide how to treat those
 *
 * Findings that arrive during an insert go into the next one. Inserts are retried until the store answers; up to `MAX_WAITING` findings
 * wait, and further ones are dropped and counted, and their sessions get no mark. Tested in finding-writer.test.ts.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import type { FindingRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import type { StoreRetry } from '#stores/store-retry.js';

const MAX_WAITING = 100_000;
const MAX_INSERT = 5_000;

interface Waiting {
  readonly row: FindingRow;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class FindingWriter {
  readonly #events: Pick<EventStore, 'insert'>;
  readonly #retry: StoreRetry;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  #written = 0;
  #dropped = 0;

  constructor(events: Pick<EventStore, 'insert'>, retry: StoreRetry) {
    this.#events = events;
    this.#retry = retry;
  }

  get written(): number {
    return this.#written;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves when the row is durable. Rejects if too many findings wait, if the store refuses the row, and on close. */
  add(row: FindingRow): Promise<void> {
    if (this.#queue.length >= MAX_WAITING) {
      this.#dropped += 1;
      return Promise.reject(new StenoError('STORE_UNAVAILABLE', 'too many findings wait to be written'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ row, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits for the insert in progress; call it after closing the retry. */
  async close(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // Findings of this turn of the event loop are inserted together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) await this.#insert(this.#queue.splice(0, MAX_INSERT));
    this.#running = undefined;
  }

  async #insert(batch: readonly Waiting[]): Promise<void> {
    const rows = batch.map(({ row }) => row);
    const token = createHash('sha256')
      .update(rows.map(({ id, version }) => `${id} ${version}\n`).join(''))
      .digest('hex');
    try {
      await this.#retry.run(() => this.#events.insert('findings', rows, token));
    } catch (error) {
      const refused = error instanceof StenoError && error.code !== 'DRAINING';
      if (refused && batch.length > 1) {
        for (const one of batch) await this.#insert([one]);
        return;
      }
      if (refused) this.#dropped += batch.length;
      for (const { reject } of batch) reject(error);
      return;
    }
    this.#written += rows.length;
    for (const { resolve } of batch) resolve();
  }
}
