/**
 * The spool: a folder that holds every recording from its first byte until ingest has stored the last.
 *
 *     SPOOL/<session>.cast, <session>.<offset>.cast    signed lines (session-files.ts)
 *     SPOOL/<session>.state                            journal (journal.ts)
 *     SPOOL/<session>-events.*                         the same for the session's event log
 *     SPOOL/counter                                    session counter (counter.ts)
 *     SPOOL/events/                                    audit rows (runtime/uplink/event-queue.ts); `.refused`: kept for inspection
 *     SPOOL/quarantine/                                recordings that ingest refused; nothing reads them
 *
 * Durability: data is written immediately and fsynced at most a second later, all dirty sessions together. Room: above `high`
 * bytes, sessions are asked to pause until usage falls below `low`; the limit itself is the smaller of the budget and the
 * size that leaves 5 % of the disk free. One process owns the folder. Tested in spool.test.ts.
 */
import { join } from 'node:path';
import type { RecordingSource, SessionSource } from '#runtime/uplink/source.js';
import type { SignedLog } from './signed-log.js';
import type { Files } from './files.js';
import { Sender } from './sender.js';
import { SessionFiles } from './session-files.js';
import type { SpoolShare } from './session-files.js';

export const DEFAULT_BUDGET = 1 << 30;
const FLUSH_MS = 500;
/** Concurrent fsyncs: libuv has four threads, and name lookups need one too. */
const FLUSHES = 3;

export interface SpoolOptions {
  readonly folder: string;
  readonly files: Files;
  /** Bytes of lines on disk. */
  readonly budget: number;
  /** Called when a recording was moved to quarantine. */
  readonly onQuarantine: (log: SignedLog, code: string, detail: string) => void;
}

export class Spool implements SpoolShare, RecordingSource {
  readonly files: Files;
  readonly folder: string;
  descriptors = 0;
  onWork: ((session: SessionSource) => void) | null = null;
  readonly #budget: number;
  readonly #onQuarantine: SpoolOptions['onQuarantine'];
  readonly #senders = new Map<string, Sender>();
  readonly #dirty = new Set<SessionFiles>();
  readonly #urgent = new Set<SessionFiles>();
  readonly #waiting = new Set<() => void>();
  #bytes = 0;
  #limit = 0;
  #limitAge = Infinity;
  #folderDirty = false;
  #relieved = false;
  #timer: NodeJS.Timeout | null = null;
  #urgentFlush: Promise<void> | null = null;
  #flush: Promise<void> | null = null;

  constructor(options: SpoolOptions) {
    this.files = options.files;
    this.folder = options.folder;
    this.#budget = options.budget;
    this.#onQuarantine = options.onQuarantine;
    this.files.makeFolder(this.folder);
    this.files.makeFolder(join(this.folder, 'quarantine'));
    this.#measure();
  }

  /** Bytes of lines in the spool. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Recordings not yet stored to their end. Event logs do not count, as they stay open after their session has ended. */
  get unstored(): number {
    let count = 0;
    for (const { stream } of this.#senders.values()) if (stream === 'recording') count += 1;
    return count;
  }
  get limit(): number {
    return this.#limit;
  }
  /** Sessions should pause, and new strict ones should not begin. */
  get full(): boolean {
    return this.#bytes > this.#limit * 0.9;
  }
  /** Paused sessions may continue. */
  get roomy(): boolean {
    return this.#bytes <= this.#limit * 0.8;
  }
  get scarce(): boolean {
    return this.#bytes > this.#limit * 0.5;
  }

  /** Makes a log visible to the uplink. `ends`: callbacks for progress of storing and for the removal of the log. */
  enlist(log: SignedLog, ends: { readonly stored?: (bytes: number) => void; readonly gone?: () => void } = {}): void {
    const { name } = log.files;
    const sender = new Sender(log, {
      stored: (bytes) => ends.stored?.(bytes),
      finished: () => {
        this.#senders.delete(name);
        this.#dirty.delete(log.files);
        log.files.remove();
        this.#checkRoom();
        ends.gone?.();
      },
      refused: (code, detail) => {
        this.#senders.delete(name);
        this.#dirty.delete(log.files);
        log.files.moveTo(join(this.folder, 'quarantine'));
        this.namesChanged();
        this.#checkRoom();
        this.#onQuarantine(log, code, detail);
        ends.gone?.();
      },
    });
    this.#senders.set(name, sender);
    log.onProgress = (checkpoint) => {
      // A checkpoint may leave once it is fsynced.
      if (checkpoint) void this.flushSoon(log.files);
      else this.onWork?.(sender);
    };
  }

  sessions(): Iterable<SessionSource> {
    return this.#senders.values();
  }

  /** Calls back once when there is room. */
  onRoom(callback: () => void): void {
    this.#waiting.add(callback);
    if (!this.full) queueMicrotask(() => this.#checkRoom());
  }

  grew(bytes: number): void {
    this.#bytes += bytes;
    // Disk usage by others is checked once per 16 MiB written.
    this.#limitAge += Math.abs(bytes);
    if (this.#limitAge > 16 << 20) this.#measure();
    if (bytes < 0) this.#checkRoom();
    if (!this.full) this.#relieved = false;
    else if (!this.#relieved) {
      this.#relieved = true;
      setImmediate(() => {
        for (const sender of this.#senders.values()) sender.relieve();
      });
    }
  }

  wroteTo(session: SessionFiles): void {
    this.#dirty.add(session);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.flush();
    }, FLUSH_MS);
  }

  namesChanged(): void {
    this.#folderDirty = true;
  }

  /** Syncs this session together with the others that ask in the same turn of the event loop. */
  flushSoon(session: SessionFiles): Promise<void> {
    this.#urgent.add(session);
    this.#urgentFlush ??= new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      const sessions = [...this.#urgent];
      this.#urgent.clear();
      this.#urgentFlush = null;
      return this.#sync(sessions);
    });
    return this.#urgentFlush;
  }

  /** Syncs everything written so far. */
  async flush(): Promise<void> {
    while (this.#flush !== null) await this.#flush;
    const sessions = [...this.#dirty];
    this.#flush = this.#sync(sessions).finally(() => {
      this.#flush = null;
    });
    await this.#flush;
  }

  async #sync(sessions: readonly SessionFiles[]): Promise<void> {
    for (const session of sessions) this.#dirty.delete(session);
    if (this.#folderDirty) {
      this.#folderDirty = false;
      // Names first: a synced file without a synced name is lost in a power cut.
      await this.files.syncFolder(this.folder).catch(() => {
        this.#folderDirty = true;
      });
    }
    const queue = sessions.values();
    const worker = async (): Promise<void> => {
      for (const session of queue) {
        await session.flush();
        const sender = this.#senders.get(session.name);
        if (sender !== undefined) this.onWork?.(sender);
      }
    };
    await Promise.all(Array.from({ length: FLUSHES }, worker));
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.flush();
    if (this.#urgentFlush !== null) await this.#urgentFlush;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #measure(): void {
    const { free, total } = this.files.disk(this.folder);
    this.#limit = Math.max(0, Math.min(this.#budget, this.#bytes + free - total * 0.05));
    this.#limitAge = 0;
  }

  #checkRoom(): void {
    if (this.#waiting.size === 0 || !this.roomy) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const callback of waiting) callback();
  }
}
