/**
 * Follows all sessions: distributes the rows of the feeds to their sessions, and finds rows that the feeds missed in the store.
 *
 * The feed provides speed, the store completeness. The follower searches for sessions without a mark (session-run.ts), newest first:
 * those of the last `lookBack` at each new connection and once an hour, and those of the last hour every `SWEEP_MS`. Each session is
 * read from its current position. A finished session is kept in memory, without its detectors, until `MAX_FINISHED` others have
 * finished. Tested in follower.test.ts.
 */
import { LRUCache } from 'lru-cache';
import { shareOf } from '#schemas/events/shares.js';
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';
import type { RowMessage } from '#schemas/row-feed.js';
import { LoginRowsOfSessions } from './logins.js';
import { ANALYZED, SessionRun } from './session-run.js';
import type { SessionParts } from './session-run.js';

const SWEEP_MS = 30_000;
const SWEEP_SESSIONS = 10_000;
/** Most sweeps cover only recent sessions: over millions of sessions, a full sweep takes the event store a second. */
const RECENT_MS = 3_600_000;
const WHOLE_EVERY_MS = 3_600_000;
/** Number of sessions that may read the store at the same time. */
const READERS = 4;
const MAX_OPEN = 20_000;
const MAX_FINISHED = 20_000;

export interface FollowerOptions extends Omit<SessionParts, 'reading' | 'onRows' | 'onState' | 'holding'> {
  /** Milliseconds: older sessions without a mark are left to a hunt. */
  readonly lookBack: number;
  readonly sweepMs?: number;
  /** Only sessions in these shares are followed; events of others become observations. If omitted, all sessions are followed. */
  readonly shares?: ReadonlySet<number>;
}

export interface FollowerReport {
  /** Sessions being followed, and how many of these are behind. */
  readonly open: number;
  readonly behind: number;
  /** Rows taken since the start. */
  readonly rows: number;
  /** ms since 1970 of the oldest row that has not been examined yet; null if there is none. */
  readonly oldest: number | null;
  /** Sessions that were not followed because there were too many. */
  readonly overflow: number;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #open = new Map<string, SessionRun>();
  /** The logins of sessions that others follow. */
  readonly #logins = new LoginRowsOfSessions();
  readonly #finished = new LRUCache<string, SessionRun>({ max: MAX_FINISHED });
  readonly #waiting: (() => void)[] = [];
  readonly #holding = { rows: 0 };
  #readers = 0;
  #rows = 0;
  #overflow = 0;
  #sweep: Promise<void> | undefined;
  #sweepAgain = false;
  /** ms since 1970 at which the next sweep covers all of `lookBack`. */
  #wholeAt = 0;
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.sweep(), options.sweepMs ?? SWEEP_MS);
    this.#timer.unref();
  }

  take({ events, screen, sessions }: RowMessage): void {
    if (this.#closed) return;
    for (const row of events) {
      if (row.session !== '' && this.#isFollowed(row.session)) this.#takeRow(row);
      else if (!this.#logins.take(row)) this.#options.onObservation({ kind: 'event', row });
    }
    for (const row of screen) if (this.#isFollowed(row.session)) this.#takeRow(row);
    for (const row of sessions) if (this.#isFollowed(row.session)) this.#sessionOf(row.session)?.known(row);
  }

  /** Called after a new connection: earlier rows are read from the store. */
  async missed(): Promise<void> {
    for (const run of this.#open.values()) run.catchUp();
    this.#wholeAt = 0;
    await this.sweep();
  }

  /** Searches for sessions without a mark. */
  async sweep(): Promise<void> {
    if (this.#sweep !== undefined) {
      this.#sweepAgain = true;
      return this.#sweep;
    }
    this.#sweep = this.#sweepOnce().finally(() => {
      this.#sweep = undefined;
    });
    await this.#sweep;
    if (!this.#sweepAgain) return;
    this.#sweepAgain = false;
    await this.sweep();
  }

  report(): FollowerReport {
    const behind = [...this.#open.values()].filter(({ heldSince }) => heldSince !== null);
    return {
      open: this.#open.size,
      behind: behind.length,
      rows: this.#rows,
      oldest: behind.reduce<number | null>((oldest, { heldSince }) => Math.min(oldest ?? Infinity, heldSince!), null),
      overflow: this.#overflow,
    };
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const run of this.#open.values()) run.close();
    for (const next of this.#waiting.splice(0)) next();
  }

  #isFollowed(session: string): boolean {
    const { shares } = this.#options;
    return shares?.has(shareOf(session)) ?? true;
  }

  #takeRow(row: EventRow | ScreenRow): void {
    this.#sessionOf(row.session)?.take(row);
  }

  #sessionOf(session: string): SessionRun | undefined {
    const open = this.#open.get(session);
    if (open !== undefined) return open;
    const finished = this.#finished.get(session);
    if (finished !== undefined) return finished;
    if (this.#open.size >= MAX_OPEN) {
      this.#overflow += 1;
      return undefined;
    }
    const run = new SessionRun(session, {
      ...this.#options,
      reading: (work) => this.#reading(work),
      holding: this.#holding,
      onRows: (count) => {
        this.#rows += count;
      },
      onState: (state) => this.#moved(session, run, state === 'analyzed'),
    });
    this.#open.set(session, run);
    return run;
  }

  #moved(session: string, run: SessionRun, finished: boolean): void {
    if (finished) {
      this.#open.delete(session);
      this.#finished.set(session, run);
    } else if (!this.#open.has(session)) {
      this.#finished.delete(session);
      this.#open.set(session, run);
    }
  }

  async #sweepOnce(): Promise<void> {
    const { store, retry, clock, lookBack, log } = this.#options;
    try {
      const now = clock();
      const isWhole = now >= this.#wholeAt;
      const from = Math.max(0, now - (isWhole ? lookBack : Math.min(lookBack, RECENT_MS)));
      const rows = await retry.run(
        () => store.sessionsWithoutAudit({ event: ANALYZED, from, limit: SWEEP_SESSIONS }),
        () => this.#closed,
      );
      if (this.#closed) return;
      // If there are more, the next sweep finds the sessions older than these.
      if (isWhole && rows.length < SWEEP_SESSIONS) this.#wholeAt = now + WHOLE_EVERY_MS;
      for (const row of rows)
        if (this.#isFollowed(row.session) && !this.#finished.has(row.session)) this.#sessionOf(row.session)?.known(row);
    } catch (error) {
      if (!this.#closed) log.error({ err: error }, 'failed to look for sessions that were not analyzed; trying again later');
    }
  }

  async #reading<T>(work: () => Promise<T>): Promise<T> {
    while (this.#readers >= READERS && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#readers += 1;
    try {
      return await work();
    } finally {
      this.#readers -= 1;
      this.#waiting.shift()?.();
    }
  }
}
