/**
 * Sends stored rows to one destination: events, audit rows and findings, in the order in which they were stored, each at least once.
 *
 *     position read ──► page of rows ──► lines ──► delivered ──► position kept ──► next page, or a look every second
 *                          ▲                          │
 *                          └────── again, later ◄─────┘ the destination is away, or says no
 *
 *   1. a page is delivered     crash before 2: it is delivered again, with the same ids
 *   2. its position is kept    crash after: nothing is repeated
 *
 * While a destination is unreachable, only one page is held; rows wait in the event store as long as it keeps them. A line that the
 * destination refuses on its own is counted, logged and skipped. Of several analyzers the one with the lease sends. Tested in
 * exporter.test.ts.
 */
import { z } from 'zod';
import type { SiemReport } from '#schemas/api/recordings/status.js';
import type { Log } from '#runtime/log.js';
import { pause } from '#runtime/pause.js';
import type { ChangeTable, EventStore, StoredPosition } from '#stores/events/contract.js';
import type { Alone } from '#stores/leases/keeper.js';
import type { SiemDestination } from './config.js';
import { linesOf } from './lines.js';
import { MAX_BATCH_BYTES, RefusedLines } from './sending.js';
import type { Line, WayOut } from './sending.js';

export type ExportedStore = Pick<EventStore, 'changes' | 'changesEnd' | 'countChanges' | 'readPosition' | 'keepPosition'>;

export interface ExporterParts {
  readonly store: ExportedStore;
  readonly destination: Pick<SiemDestination, 'name' | 'format' | 'send' | 'from'>;
  readonly way: WayOut;
  /** If omitted, nobody else shares the store. */
  readonly alone?: Alone;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  readonly lookMs?: number;
  readonly firstRetryMs?: number;
  readonly pageRows?: number;
}

const LOOK_MS = 1_000;
const COUNT_EVERY_MS = 10_000;
const PAGE_ROWS = 1_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const STANDBY_MS = 2_000;

const stored = z.strictObject({ table: z.string(), block: z.int(), offset: z.int() });
const keptPosition = z.strictObject({
  version: z.int(),
  tables: z.strictObject({ events: stored.optional(), audit: stored.optional(), findings: stored.optional() }),
});

export class Exporter {
  readonly #parts: ExporterParts;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  #version = 0;
  #positions: Partial<Record<ChangeTable, StoredPosition>> = {};
  #state: SiemReport['state'] = 'waiting';
  #error = '';
  #sent = 0;
  #refused = 0;
  #waiting = 0;
  #countedAt = 0;
  /** ms since 1970 from which on there have been undelivered rows. */
  #behindSince: number | null = null;

  constructor(parts: ExporterParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  report(): SiemReport {
    const lag = this.#behindSince === null ? 0 : Math.max(0, this.#parts.clock() - this.#behindSince);
    const { name, format } = this.#parts.destination;
    return {
      name,
      format,
      state: this.#state,
      error: this.#error,
      sent: this.#sent,
      refused: this.#refused,
      waiting: this.#waiting,
      lag_ms: lag,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#parts.way.close();
  }

  async #run(): Promise<void> {
    const { alone, destination, log } = this.#parts;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        if (alone === undefined) await this.#export(signal);
        else {
          const { kind } = await alone(`analyze/siem-${destination.name}`, (lease) =>
            this.#export(AbortSignal.any([signal, lease.signal])),
          );
          if (kind === 'held elsewhere') this.#state = 'elsewhere';
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#failing(error);
        log.warn({ err: error, destination: destination.name }, 'rows cannot be sent on; trying again');
      }
      await pause(this.#parts.firstRetryMs ?? STANDBY_MS, signal);
    }
  }

  async #export(signal: AbortSignal): Promise<void> {
    const { destination, lookMs = LOOK_MS, clock } = this.#parts;
    await this.#begin();
    while (!signal.aborted) {
      let more = false;
      for (const table of destination.send) more = (await this.#page(table, signal)) || more;
      if (signal.aborted) return;
      if (more) {
        if (clock() - this.#countedAt >= COUNT_EVERY_MS) await this.#count();
        continue;
      }
      this.#state = 'sending';
      this.#error = '';
      this.#behindSince = null;
      this.#waiting = 0;
      await pause(lookMs, signal);
    }
  }

  /** The position at which to continue; for a new destination, the initial position is saved immediately, so that no later row is lost. */
  async #begin(): Promise<void> {
    const { destination, store } = this.#parts;
    const text = await store.readPosition(`siem/${destination.name}`);
    const kept = text === null ? null : keptPosition.parse(JSON.parse(text));
    this.#version = kept?.version ?? 0;
    this.#positions = { ...(kept?.tables as Partial<Record<ChangeTable, StoredPosition>> | undefined) };
    const added = destination.send.filter((table) => this.#positions[table] === undefined);
    for (const table of added)
      this.#positions[table] = destination.from === 'now' ? await store.changesEnd(table) : { table: '', block: 0, offset: 0 };
    if (added.length > 0) await this.#keep();
  }

  /** Returns whether there are more rows. */
  async #page(table: ChangeTable, signal: AbortSignal): Promise<boolean> {
    const { store, pageRows = PAGE_ROWS } = this.#parts;
    const after = this.#positions[table]!;
    const { rows, position, more } = await store.changes({ table, after, limit: pageRows });
    if (rows.length === 0) return false;
    this.#behindSince ??= this.#parts.clock();
    for (const batch of batches(linesOf(table, rows))) await this.#deliver(batch, signal);
    if (signal.aborted) return false;
    this.#positions[table] = position;
    await this.#keep();
    return more;
  }

  /** Resolves when the lines were delivered, or when the signal aborts. */
  async #deliver(lines: readonly Line[], signal: AbortSignal): Promise<void> {
    const { way, log, destination, firstRetryMs = FIRST_RETRY_MS } = this.#parts;
    let wait = firstRetryMs;
    while (!signal.aborted) {
      try {
        await way.send(lines, signal);
        this.#sent += lines.length;
        this.#state = 'sending';
        this.#error = '';
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof RefusedLines) {
          if (lines.length > 1) {
            const half = lines.length >> 1;
            await this.#deliver(lines.slice(0, half), signal);
            await this.#deliver(lines.slice(half), signal);
            return;
          }
          this.#refused += 1;
          log.error({ err: error, destination: destination.name, row: uidOf(lines[0]!) }, 'a destination refused a row; it is passed over');
          return;
        }
        if (this.#state !== 'failing')
          log.warn({ err: error, destination: destination.name }, 'a destination does not take rows; trying again');
        this.#failing(error);
        await this.#count().catch(() => undefined);
        await pause(wait, signal);
        wait = Math.min(wait * 2, LONGEST_RETRY_MS);
      }
    }
  }

  #failing(error: unknown): void {
    this.#state = 'failing';
    this.#error = (error instanceof Error ? error.message : String(error)).slice(0, 256);
  }

  async #count(): Promise<void> {
    const { destination, store, clock } = this.#parts;
    if (clock() - this.#countedAt < COUNT_EVERY_MS) return;
    this.#countedAt = clock();
    let count = 0;
    for (const table of destination.send) count += await store.countChanges(table, this.#positions[table]!);
    this.#waiting = count;
  }

  async #keep(): Promise<void> {
    const { destination, store } = this.#parts;
    this.#version += 1;
    const kept = { version: this.#version, tables: this.#positions };
    await store.keepPosition(`siem/${destination.name}`, this.#version, JSON.stringify(kept));
  }
}

/** Each batch has at most `MAX_BATCH_BYTES`, or one line. */
function* batches(lines: readonly Line[]): Generator<readonly Line[]> {
  let batch: Line[] = [];
  let bytes = 0;
  for (const line of lines) {
    const length = Buffer.byteLength(line.json);
    if (batch.length > 0 && bytes + length > MAX_BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(line);
    bytes += length;
  }
  if (batch.length > 0) yield batch;
}

function uidOf({ json }: Line): string {
  return (JSON.parse(json) as { readonly metadata: { readonly uid: string } }).metadata.uid;
}
