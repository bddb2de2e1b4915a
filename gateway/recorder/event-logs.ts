/**
 * Event logs: the kernel events of sessions, as rows that their node sends, chained and signed by this gateway.
 *
 *     none ──node says that it records──► open ──last row, and quiet for `QUIET_MS`──────────► ended ──all stored──► gone
 *                                          │ └──no row for 24 h, the session being over──►──┘
 *                                          └──the gateway dies──► recovered: open, at the last row that is on disk
 *
 * Write order, of a batch of rows:
 *   1. Rows whose place is not behind the last one are dropped: they were taken before. The others are appended to the spool
 *      as lines, all of one call in one write. Crash: the node has no acknowledgement, and sends them again; what is on disk
 *      is known by its places.
 *   2. Blocks, chain and checkpoints follow (../spool/signed-log.ts), and go to ingest over the uplink. Crash: as recordings.
 *   3. Ingest says that it has stored them. Only then is the node told, and may forget them. A crash between this
 *      and the word to the node: it sends them again, and 1 drops them.
 *
 * A flood of rows may take half of the spool; the rest is for what users type and see. Tested in event-logs.test.ts.
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

/** After its last row a log waits this long for what was under way. */
const QUIET_MS = 2_000;
const SILENT_MS = 24 * 3_600_000;
const RETRY_MS = 1_000;
/** A node's rows may be here before its word that it records. */
const EARLY_MS = 4_000;
const MAX_WITHOUT = 1_000;

export interface EventLogParts {
  readonly spool: Spool;
  readonly wheel: Wheel;
  readonly log: LogParts;
  /** Monotonic milliseconds, also the wheel's clock. */
  readonly monotonic: () => number;
  /** Whether the session goes on here. */
  readonly live: (session: string) => boolean;
}

export class EventLogs {
  readonly #parts: EventLogParts;
  readonly #logs = new Map<string, EventLog>();
  readonly #waiting = new Map<string, Set<() => void>>();
  /** Sessions whose log did not begin in time: nobody waits for it a second time. */
  readonly #without = new Set<string>();
  #closed = false;

  constructor(parts: EventLogParts) {
    this.#parts = parts;
  }

  /** Begins the log of the session whose recording has this header. Throws RECORDING_IMPOSSIBLE or SPOOL_FULL. */
  begin({ version, term, timestamp, steno }: RecordingHeader): void {
    if (this.#logs.has(steno.session)) return;
    const files = new SessionFiles(this.#parts.spool, steno.session, undefined, 'events');
    const signed = new SignedLog(files, steno.gateway, steno.counter, this.#parts.log);
    try {
      signed.begin({ version, term, timestamp, steno: { ...steno, stream: 'events' } });
    } catch (error) {
      files.discard();
      throw error;
    }
    this.#add(signed, { node: steno.node, last: null, over: false }, Math.max(0, this.#parts.log.wallClock() - steno.started_at));
  }

  /** Goes on with what a gateway of before has left. */
  resume(signed: SignedLog, mark: LogMark): void {
    this.#add(signed, mark, signed.last);
    // Its checkpoints leave once all of it is synced, also what the dead gateway had written.
    void this.#parts.spool.flushSoon(signed.files);
  }

  /** The open log of a session; waits a moment for one that is about to begin. Null: there is none, and there will be none. */
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

  /** Whether there is room for more rows. Where there is none it takes a moment to say so, and what could be freed is signed. */
  async room(): Promise<boolean> {
    if (!this.#parts.spool.scarce) return true;
    // Only what is signed can be stored and freed.
    for (const log of this.#logs.values()) log.settle();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return !this.#parts.spool.scarce;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Nothing is taken any more; what was taken stays in the spool, signed. */
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
  /** Of the rows that were appended, and of those in lines that are whole for the chain. */
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

  /** The node whose rows it takes. */
  get node(): string {
    return this.#node;
  }

  /**
   * Appends rows in the order of their places. Returns the offset up to which the log must be stored before the node may forget them;
   * null: the log has ended. Throws RECORDING_IMPOSSIBLE or SPOOL_FULL, and has taken none then.
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

  /** In the event store and in the object store, or kept in quarantine. */
  isStored(offset: number): boolean {
    return offset <= this.#stored;
  }

  /** Calls back whenever more is stored; returns how to stop. */
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
      // The disk takes nothing: again in a moment. What is not signed is not acknowledged either.
      this.#parts.wheel.at(this, this.#parts.monotonic() + RETRY_MS);
      return;
    }
    this.#schedule();
  }

  /** Signs what there is, early. */
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

  /** It is stored to its end, or kept in quarantine. */
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
