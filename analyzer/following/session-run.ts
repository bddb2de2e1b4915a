/**
 * One session, from its first row to the mark that it was analyzed.
 *
 *     waiting ──its own row is known──► reading ──rows of the store taken──► live ──over, and its rows are there──► checking
 *        ▲          (kernel rows may        │ ▲                               │                                        │
 *        │           come before)           │ └── rows may have been missed ──┘        counts differ: from the start ──┤
 *        │                                  │                                                                          ▼
 *        └──────── rows after the mark: from the start ◄───────────────────────────────────────────────────────── analyzed
 *
 * While the store is read, rows from the feed wait. Each stream is read only up to the first of these, since the feed brings the rest
 * in order: a session that is followed from its start is never read from the store.
 *
 * Rows from the feed wait in memory until the session is live, because they may not be in the store yet: at most `MAX_HELD` of one
 * session and `MAX_HELD_IN_ALL` in total. Beyond that they are dropped, and the count at the end reveals missed rows.
 *
 * A session is over when its own row says so and its node has reported that the last process is gone. If the node has not, because it
 * is unreachable or a process is still running, the session counts as over `graceMs` after its end if there were no kernel rows, and
 * otherwise when `idleMs` have passed without a row.
 *
 * Write order at the end:
 *   1. the findings are in the store       crash before: no mark, the session is replayed from its first row
 *   2. the mark, an audit row `session.analyzed` with the rules and the numbers of rows
 *                                          crash before: as above; the same findings are written again, which changes nothing
 *
 * Before the mark is written, the number of rows taken is compared with the number stored: this reveals rows that the feed missed, and
 * the session is then replayed from its first row. Tested in follower.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { StenoError } from '#schemas/base/errors.js';
import type { EventSource } from '#schemas/events/kinds.js';
import type { AuditRow, EventRow, FindingRow, ScreenRow, SessionRow } from '#schemas/events/rows.js';
import { isLastRow } from '#schemas/kernel/kernel.js';
import type { Log } from '#runtime/log.js';
import type { StoreRetry } from '#stores/store-retry.js';
import { DetectionRun } from './detection-run.js';
import type { SessionRunParts } from './detection-run.js';
import { sessionSources, storedEvents, storedScreen } from './stored-rows.js';
import type { ReadStore } from './stored-rows.js';

export const ANALYZED = 'session.analyzed';
/**
 * Ten seconds of a busy node, the time that reading a user's past may take. With a lower limit, a session that is this busy from its
 * start would never catch up.
 */
const MAX_HELD = 200_000;
const MAX_HELD_IN_ALL = 500_000;
/**
 * How often, and after which delays, rows that the feed brought are looked up in the store: after 100 ms, 200 ms and so on up to a
 * second, six seconds in total. Rows of drafts arrive up to a second before their block.
 */
const STORED_LOOK_MS = 100;
const LONGEST_LOOK_MS = 1_000;
const STORED_LOOKS = 10;
const MAX_REPLAYS = 3;
/** Number of held rows taken in one turn, so that keystrokes and inserts of the same process are handled in between. */
const TURN_ROWS = 1_000;

export interface SessionParts extends Omit<SessionRunParts, 'onFinding'> {
  readonly store: ReadStore;
  readonly retry: StoreRetry;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  /** Resolves when the finding is durable. */
  readonly write: (row: FindingRow, session: SessionRow | null, first: boolean) => Promise<void>;
  /** Runs work that reads the store, a few sessions at a time. */
  readonly reading: <T>(work: () => Promise<T>) => Promise<T>;
  readonly graceMs: number;
  readonly idleMs: number;
  /** Hash of the rules in force, for the mark. */
  readonly rules: string;
  readonly onRows: (count: number) => void;
  /** Number of rows that all sessions hold. */
  readonly holding: { rows: number };
  readonly onState: (state: SessionState) => void;
}

export type SessionState = 'waiting' | 'reading' | 'live' | 'checking' | 'analyzed';

export class SessionRun {
  readonly session: string;
  readonly #parts: SessionParts;
  #row: SessionRow | null = null;
  #run: DetectionRun | null = null;
  #state: SessionState = 'waiting';
  #held: (EventRow | ScreenRow)[] = [];
  /**
   * For each stream, the first held row that arrived since the feed was last connected: from that row on, the feed has brought
   * everything.
   */
  readonly #heldFrom = new Map<EventSource | 'screen', EventRow | ScreenRow>();
  #again = false;
  #writing: Promise<unknown>[] = [];
  #failed = false;
  #replays = 0;
  #kernelEnded = false;
  /** ms since 1970 at which the last kernel row arrived or was read. */
  #kernelAt: number | null = null;
  #grace: NodeJS.Timeout | undefined;
  #closed = false;
  /** ms since 1970 of the oldest held row. */
  #oldest: number | null = null;

  constructor(session: string, parts: SessionParts) {
    this.session = session;
    this.#parts = parts;
  }

  get state(): SessionState {
    return this.#state;
  }

  get heldSince(): number | null {
    return this.#oldest;
  }

  /** Takes the session's own row, from the feed or from a read of the store. */
  known(row: SessionRow): void {
    if (this.#row === null || row.version > this.#row.version) this.#row = row;
    if (this.#state === 'waiting') this.#read();
    else if (this.#state === 'live') this.#settle();
  }

  take(row: EventRow | ScreenRow): void {
    if (this.#state === 'live' && this.#run !== null) {
      this.#feed(row);
      if (this.#grace !== undefined) this.#settle();
      return;
    }
    if (this.#state === 'analyzed') {
      // The row was sent again, or arrived after everybody had stopped waiting: the run's places tell which.
      if (this.#run !== null && !this.#run.places.isBehind(row)) return;
      this.#run = null;
      this.#move('waiting');
      this.#hold(row);
      if (this.#row !== null) this.#read();
      return;
    }
    this.#hold(row);
  }

  /** Rows may have been missed: reads the store from this session's position. */
  catchUp(): void {
    if (this.#state === 'live') this.#read();
    else if (this.#state === 'reading' || this.#state === 'checking') this.#again = true;
    this.#heldFrom.clear();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#grace);
    this.#letGo();
  }

  #move(state: SessionState): void {
    this.#state = state;
    this.#parts.onState(state);
  }

  #hold(row: EventRow | ScreenRow): void {
    this.#oldest ??= row.at;
    const { holding } = this.#parts;
    if (this.#held.length < MAX_HELD && holding.rows < MAX_HELD_IN_ALL) {
      this.#held.push(row);
      const stream = 'source' in row ? row.source : 'screen';
      if (!this.#heldFrom.has(stream)) this.#heldFrom.set(stream, row);
      holding.rows += 1;
      return;
    }
    this.#letGo();
    this.#again = true;
  }

  #letGo(): readonly (EventRow | ScreenRow)[] {
    const held = this.#held;
    this.#parts.holding.rows -= held.length;
    this.#held = [];
    this.#heldFrom.clear();
    return held;
  }

  #feed(row: EventRow | ScreenRow): void {
    const run = this.#run!;
    const taken = 'source' in row ? run.event(row) : run.screen(row);
    if (!taken) return;
    this.#parts.onRows(1);
    if (!('source' in row) || row.source !== 'kernel') return;
    this.#kernelAt = this.#parts.clock();
    if (isLastRow(row.kind, row.name)) this.#kernelEnded = true;
  }

  #read(): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
    this.#move('reading');
    this.#oldest ??= this.#parts.clock();
    void this.#parts
      .reading(() => this.#readAll())
      .catch((error: unknown) => {
        if (this.#closed || (error instanceof StenoError && error.code === 'DRAINING')) return;
        this.#parts.log.error({ err: error, session: this.session }, 'failed to analyze a session; it is looked at again later');
        this.#run = null;
        this.#letGo();
        this.#move('waiting');
      });
  }

  async #readAll(): Promise<void> {
    const { store, retry } = this.#parts;
    if (this.#run === null) await this.#begin();
    const run = this.#run!;
    do {
      this.#again = false;
      for (const source of sessionSources) {
        // A session normally has one emitter per source; if it has more, everything is read and rows already taken are skipped.
        const after = run.places.ofOnly(source);
        await this.#each(source, () => storedEvents(store, this.session, source, after));
      }
      await this.#each('screen', () => storedScreen(store, this.session, run.places.screen));
      const row = await retry.run(
        () => store.session(this.session),
        () => this.#closed,
      );
      if (row !== undefined && (this.#row === null || row.version > this.#row.version)) this.#row = row;
      await this.#takeHeld();
    } while (this.#again && !this.#closed);
    if (this.#closed) return;
    this.#oldest = null;
    this.#move('live');
    this.#settle();
  }

  /** Takes held rows until none are left, or until rows were dropped meanwhile: then the rows after those must be read first. */
  async #takeHeld(): Promise<void> {
    while (this.#held.length > 0 && !this.#again && !this.#closed) {
      const held = this.#letGo();
      for (let i = 0; i < held.length && !this.#closed; i += TURN_ROWS) {
        for (const row of held.slice(i, i + TURN_ROWS)) this.#feed(row);
        if (held.length > TURN_ROWS) await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  async #begin(): Promise<void> {
    this.#kernelEnded = false;
    this.#kernelAt = null;
    this.#failed = false;
    this.#writing = [];
    this.#run = await DetectionRun.open({ ...this.#parts, onFinding: (row, first) => this.#write(row, first) }, this.#row!);
  }

  /** A page that cannot be read is read again from where the session is then. */
  async #each(stream: EventSource | 'screen', pages: () => AsyncGenerator<readonly (EventRow | ScreenRow)[]>): Promise<void> {
    await this.#parts.retry.run(
      async () => {
        for await (const page of pages()) {
          for (const row of page) this.#feed(row);
          if (this.#closed || this.#isHeld(stream, page.at(-1))) return;
          // Let keystrokes and inserts of the same process run first.
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      () => this.#closed,
    );
  }

  /** Whether the feed has brought this row of the store, and therefore every later row of its emitter. */
  #isHeld(stream: EventSource | 'screen', row: EventRow | ScreenRow | undefined): boolean {
    const first = this.#heldFrom.get(stream);
    if (row === undefined || first === undefined) return false;
    if ('source' in row && 'source' in first && row.emitter !== first.emitter) return false;
    return row.block > first.block || (row.block === first.block && row.index >= first.index);
  }

  #write(row: FindingRow, first: boolean): void {
    const writing = this.#parts.write(row, this.#row, first).catch(() => {
      this.#failed = true;
    });
    this.#writing.push(writing);
    if (this.#writing.length > 100) this.#writing = [Promise.all(this.#writing)];
  }

  /** Checks whether the session is over and no more rows are expected. */
  #settle(): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
    if (this.#closed || this.#state !== 'live' || this.#row === null || this.#row.state === 'live') return;
    this.#grace = setTimeout(() => this.#check(), this.#waitMs(this.#row));
    this.#grace.unref();
  }

  #waitMs({ ended_at: endedAt }: SessionRow): number {
    const { graceMs, idleMs, clock } = this.#parts;
    if (this.#kernelEnded) return 0;
    // For rows stored long ago the time of arrival is unknown: the wait begins when they were read.
    const [from, span] = this.#kernelAt === null ? [endedAt ?? 0, graceMs] : [this.#kernelAt, idleMs];
    return Math.min(span, Math.max(0, from + span - clock()));
  }

  #check(): void {
    this.#grace = undefined;
    this.#move('checking');
    void this.#parts
      .reading(() => this.#finish())
      .catch((error: unknown) => {
        if (this.#closed || (error instanceof StenoError && error.code === 'DRAINING')) return;
        this.#parts.log.error({ err: error, session: this.session }, 'failed to finish a session; it is looked at again later');
        this.#run = null;
        this.#letGo();
        this.#move('waiting');
      });
  }

  async #finish(): Promise<void> {
    const { store, retry, log } = this.#parts;
    const run = this.#run!;
    const stopped = (): boolean => this.#closed;
    const short = await this.#differing(stopped);
    if (this.#closed) return;
    if (short !== undefined || this.#again) {
      this.#again = false;
      if (this.#held.length === 0 && this.#replays >= MAX_REPLAYS) {
        log.warn({ session: this.session, source: short }, 'rows of a session are stored out of their order; it is marked as analyzed');
      } else {
        this.#replays += 1;
        this.#run = null;
        // Missing rows may come after the first held row.
        this.#heldFrom.clear();
        return this.#read();
      }
    }
    const row = this.#row!;
    run.end(row);
    await Promise.all(this.#writing);
    // Without a mark, the session will be examined again.
    if (this.#failed) throw new StenoError('STORE_UNAVAILABLE', 'a finding was not written');
    await retry.run(
      () =>
        store.insert(
          'audit',
          [markOf(row, run, this.#parts)],
          `analyzed ${this.session} ${run.events('recording')} ${run.events('kernel')}`,
        ),
      stopped,
    );
    this.#writing = [];
    run.release();
    this.#move('analyzed');
    for (const held of this.#letGo()) this.take(held);
  }

  /** A source for which the store has a different number of rows than were taken. */
  async #differing(stopped: () => boolean): Promise<EventSource | undefined> {
    const { store, retry } = this.#parts;
    const run = this.#run!;
    for (let look = 1; ; look += 1) {
      const counts = await retry.run(() => store.countKinds(this.session), stopped);
      const stored = (source: EventSource): number => counts.reduce((sum, one) => sum + (one.source === source ? one.count : 0), 0);
      const isOnItsWay = sessionSources.some((source) => stored(source) < run.events(source));
      if (!isOnItsWay || look >= STORED_LOOKS || this.#again || stopped())
        return sessionSources.find((source) => stored(source) !== run.events(source));
      await sleep(Math.min(LONGEST_LOOK_MS, STORED_LOOK_MS * 2 ** (look - 1)));
    }
  }
}

function markOf(row: SessionRow, run: DetectionRun, { clock, rules }: SessionParts): AuditRow {
  const data = {
    rules,
    recording_events: run.events('recording'),
    kernel_events: run.events('kernel'),
    screen_lines: run.screenLines,
    findings: run.findings,
  };
  return {
    id: `analyzed ${row.session} ${run.events('recording')} ${run.events('kernel')}`,
    at: Math.max(clock(), row.started_at),
    event: ANALYZED,
    actor: 'analyzer',
    target: row.session,
    outcome: 'success',
    code: '',
    reason: '',
    source_address: '',
    session: row.session,
    node: row.node,
    login: row.login,
    data: JSON.stringify(data),
  };
}
