/**
 * The spool: a folder that holds every recording from its first byte until ingest has stored its last.
 *
 *     SPOOL/<session>.cast, <session>.<offset>.cast    signed lines (session-files.ts)
 *     SPOOL/<session>.state                            journal (journal.ts)
 *     SPOOL/counter                                    session counter (counter.ts)
 *     SPOOL/events/                                    audit rows (runtime/uplink/event-queue.ts); `.refused`: kept for a person
 *     SPOOL/quarantine/                                recordings that ingest refused; nothing reads them
 *
 * Durability: written at once, fsynced at most a second later, all dirty sessions together. Room: above `high` bytes
 * sessions are asked to pause until it falls below `low`; the limit itself is the smaller of the budget and what leaves
 * 5 % of the disk free. One process owns the folder. Tested in spool.test.ts.
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
/** fsyncs at a time: libuv has four threads, and name lookups want one too. */
const FLUSHES = 3;

export interface SpoolOptions {
  readonly folder: string;
  readonly files: Files;
  /** Bytes of lines on disk. */
  readonly budget: number;
  /** A recording went to quarantine. */
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
  /** Recordings that are not stored to their end. */
  get unstored(): number {
    return this.#senders.size;
  }
  get limit(): number {
    return this.#limit;
  }
  /** Sessions should pause; new strict ones should not begin. */
  get full(): boolean {
    return this.#bytes > this.#limit * 0.9;
  }
  /** Whoever paused may go on. */
  get roomy(): boolean {
    return this.#bytes <= this.#limit * 0.8;
  }
  get scarce(): boolean {
    return this.#bytes > this.#limit * 0.5;
  }

  /** Puts a log into the uplink's view. */
  enlist(log: SignedLog): void {
    const session = log.files.session;
    const sender = new Sender(log, {
      finished: () => {
        this.#senders.delete(session);
        this.#dirty.delete(log.files);
        log.files.remove();
        this.#checkRoom();
      },
      refused: (code, detail) => {
        this.#senders.delete(session);
        this.#dirty.delete(log.files);
        log.files.moveTo(join(this.folder, 'quarantine'));
        this.namesChanged();
        this.#checkRoom();
        this.#onQuarantine(log, code, detail);
      },
    });
    this.#senders.set(session, sender);
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
    // How much of the disk others take is looked at every 16 MiB.
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

  /** Syncs this session with the others that ask in the same turn of the event loop. */
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
      // The names first: a synced file without a synced name is lost in a power cut.
      await this.files.syncFolder(this.folder).catch(() => {
        this.#folderDirty = true;
      });
    }
    const queue = sessions.values();
    const worker = async (): Promise<void> => {
      for (const session of queue) {
        await session.flush();
        const sender = this.#senders.get(session.session);
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
