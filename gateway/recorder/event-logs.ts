/**
 * Event logs: the kernel events of sessions, sent as rows by their node and chained and signed by this gateway.
 *
 *     none ──node says that it records──► open ──last row, and quiet for `QUIET_MS`──────────► ended ──all stored──► gone
 *                                          │ └──no row for 24 h, the session being over──►──┘
 *                                          └──the gateway dies──► recovered: open, at the last row that is on disk
 *
 * Write order for a batch of rows:
 *   1. Rows whose position is not after the last one are dropped: they are already in the log. The others are appended to the
 *      spool as lines, with one write per call. Crash: the node has no acknowledgement and sends them again; rows already on
 *      disk are recognized by their positions.
 *   2. Blocks, chain and checkpoints follow (../spool/signed-log.ts), and go to ingest over the uplink. Crash: recovered
 *      as recordings are.
 *   3. Ingest acknowledges the rows as stored. Only then is the node acknowledged and free to forget them. Crash before the
 *      node is acknowledged: it sends the rows again, and step 1 drops them.
 *
 * Event logs may fill at most half of the spool; the other half is reserved for terminal input and output. Tested in
 * event-logs.test.ts.
 */
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { isLastRow } from '#schemas/kernel/kernel.js';
import { isAfter } from '#schemas/recording/event-places.js';
import type { EventPlace } from '#schemas/recording/event-places.js';
import type { LineBody, RecordingHeader } from '#schemas/recording/line.js';
import type { LogMark } from '../spool/journal.js';
import { SessionFiles } from '../spool/session-files.js';
import { SignedLog } from '../spool/signed-log.js';
import type { LogParts } from '../spool/signed-log.js';
import type { Spool } from '../spool/spool.js';
import type { Due, Wheel } from './wheel.js';

/** After its last row, a log stays open this long for rows still in flight. */
const QUIET_MS = 2_000;
const SILENT_MS = 24 * 3_600_000;
const RETRY_MS = 1_000;
/** A node's rows may arrive this much earlier than its report that it is recording. */
const EARLY_MS = 4_000;
const MAX_WITHOUT = 1_000;

export interface EventLogParts {
  readonly spool: Spool;
  readonly wheel: Wheel;
  readonly log: LogParts;
  /** Monotonic milliseconds, also the wheel's clock. */
  readonly monotonic: () => number;
  /** Whether the session is still running on this gateway. */
  readonly live: (session: string) => boolean;
}

export class EventLogs {
  readonly #parts: EventLogParts;
  readonly #logs = new Map<string, EventLog>();
  readonly #waiting = new Map<string, Set<() => void>>();
  /** Sessions whose log did not begin in time; rows for them are not waited for again. */
  readonly #without = new Set<string>();
  #closed = false;

  constructor(parts: EventLogParts) {
    this.#parts = parts;
  }

  /**
   * Begins the log of the session whose recording has this header. `sender`: the node whose rows it takes. Throws RECORDING_IMPOSSIBLE or
   * SPOOL_FULL.
   */
  begin({ version, term, timestamp, steno }: RecordingHeader, sender = steno.node): void {
    if (this.#logs.has(steno.session)) return;
    const files = new SessionFiles(this.#parts.spool, steno.session, undefined, 'events');
    const signed = new SignedLog(files, steno.gateway, steno.counter, this.#parts.log);
    try {
      signed.begin({ version, term, timestamp, steno: { ...steno, stream: 'events' } });
    } catch (error) {
      files.discard();
      throw error;
    }
    this.#add(signed, { node: sender, last: null, over: false }, Math.max(0, this.#parts.log.wallClock() - steno.started_at));
  }

  /** Continues a log that a previous gateway process left behind. */
  resume(signed: SignedLog, mark: LogMark): void {
    this.#add(signed, mark, signed.last);
    // Its checkpoints are sent once everything is synced, including data written by the previous process.
    void this.#parts.spool.flushSoon(signed.files);
  }

  /**
   * The open log of a session; waits up to `EARLY_MS` for one that is about to begin. Null: there is none, and none will
   * come.
   */
  async find(session: string): Promise<EventLog | null> {
    const known = this.#logs.get(session);
    if (known !== undefined || this.#without.has(session) || !this.#parts.live(session)) return known ?? null;
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(session) ?? new Set();
      this.#waiting.set(session, waiting);
      const done = (): void => {
        clearTimeout(timer);
        waiting.delete(done);
        if (waiting.size === 0) this.#waiting.delete(session);
        resolve();
      };
      const timer = setTimeout(done, EARLY_MS);
      waiting.add(done);
    });
    const begun = this.#logs.get(session);
    if (begun !== undefined) return begun;
    this.#without.add(session);
    if (this.#without.size > MAX_WITHOUT) this.#without.delete(this.#without.values().next().value!);
    return null;
  }

  /**
   * Whether there is room for more rows. If there is not, it waits briefly before answering and signs whatever could then be
   * freed.
   */
  async room(): Promise<boolean> {
    if (!this.#parts.spool.scarce) return true;
    // Only signed data can be stored and freed.
    for (const log of this.#logs.values()) log.settle();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return !this.#parts.spool.scarce;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Takes no more rows; rows already taken stay in the spool, signed. */
  close(): void {
    this.#closed = true;
    for (const done of [...this.#waiting.values()].flatMap((waiting) => [...waiting])) done();
    for (const log of this.#logs.values()) log.stop();
  }

  #add(signed: SignedLog, mark: LogMark, at: number): void {
    const { session } = signed.files;
    const log = new EventLog(signed, mark, this.#parts, this.#parts.monotonic() - at);
    if (!signed.ended) this.#logs.set(session, log);
    this.#parts.spool.enlist(signed, {
      stored: (bytes) => log.stored(bytes),
      gone: () => {
        this.#logs.delete(session);
        log.gone();
      },
    });
    for (const done of this.#waiting.get(session) ?? []) done();
  }
}

export class EventLog implements Due {
  readonly #log: SignedLog;
  readonly #parts: EventLogParts;
  /** The wheel's time at session time 0. */
  readonly #start: number;
  readonly #node: string;
  /** Position of the last appended row, and of the last row in a line that is complete for the chain. */
  #last: EventPlace | null;
  #over: boolean;
  #heardAt: number;
  #stopped = false;
  /** Everything before this offset is stored. */
  #stored = 0;
  readonly #watchers = new Set<() => void>();

  constructor(log: SignedLog, { node, last, over }: LogMark, parts: EventLogParts, start: number) {
    this.#log = log;
    this.#parts = parts;
    this.#start = start;
    this.#node = node;
    this.#last = last;
    this.#over = over;
    this.#heardAt = parts.monotonic();
    log.mark = () => ({ node, last: this.#last, over: this.#over });
    this.#schedule();
  }

  /** The node whose rows this log holds. */
  get node(): string {
    return this.#node;
  }

  /**
   * Appends rows in order of position. Returns the offset up to which the log must be stored before the node may forget the
   * rows; null if the log has ended. Throws RECORDING_IMPOSSIBLE or SPOOL_FULL, in which case no row was appended.
   */
  take(rows: readonly KernelRow[]): number | null {
    if (this.#log.ended || this.#stopped) return null;
    let last = this.#last;
    const fresh: LineBody[] = [];
    const places: EventPlace[] = [];
    for (const [, ...fields] of rows) {
      const place = { block: fields[0], index: fields[1] };
      if (!isAfter(place, last)) continue;
      last = place;
      places.push(place);
      fresh.push({ code: 'e', data: fields });
    }
    if (fresh.length > 0) {
      this.#heardAt = this.#parts.monotonic();
      this.#log.lines(fresh, this.#now(), (i) => {
        this.#last = places[i]!;
        const { data } = fresh[i]! as { readonly data: readonly unknown[] };
        this.#over ||= isLastRow(data[3], data[9]);
      });
      this.#schedule();
    }
    return this.#log.files.size;
  }

  /** Whether everything up to `offset` is in the event store and the object store, or in quarantine. */
  isStored(offset: number): boolean {
    return offset <= this.#stored;
  }

  /** Calls back whenever more is stored; returns a function that stops it. */
  watch(callback: () => void): () => void {
    this.#watchers.add(callback);
    return () => this.#watchers.delete(callback);
  }

  due(): void {
    if (this.#stopped) return;
    try {
      if (this.#parts.monotonic() >= this.#endsAt) {
        if (this.#over || !this.#parts.live(this.#log.files.session)) this.#log.end(this.#over ? 'complete' : 'interrupted', this.#now());
        else this.#heardAt = this.#parts.monotonic();
      } else this.#log.tick(this.#now());
    } catch {
      // The disk refuses the write: retry shortly. Rows that are not signed are not acknowledged either.
      this.#parts.wheel.at(this, this.#parts.monotonic() + RETRY_MS);
      return;
    }
    this.#schedule();
  }

  /** Signs everything appended so far, ahead of schedule. */
  settle(): void {
    try {
      this.#log.settle(this.#now());
    } catch {
      return;
    }
  }

  stop(): void {
    this.settle();
    this.#stopped = true;
    this.#parts.wheel.cancel(this);
  }

  stored(bytes: number): void {
    this.#stored = Math.max(this.#stored, bytes);
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** The log is stored to its end, or quarantined. */
  gone(): void {
    this.#parts.wheel.cancel(this);
    this.stored(Infinity);
  }

  get #endsAt(): number {
    return this.#heardAt + (this.#over ? QUIET_MS : SILENT_MS);
  }

  #now(): number {
    return Math.max(0, Math.floor(this.#parts.monotonic() - this.#start));
  }

  #schedule(): void {
    if (this.#log.ended || this.#stopped) return;
    this.#parts.wheel.at(this, Math.min(this.#log.dueAt + this.#start, this.#endsAt));
  }
}
