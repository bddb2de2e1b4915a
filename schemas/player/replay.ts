/**
 * Replays a recording from its segments onto a terminal: that of the page (asciinema-player), or that of `steno join`.
 *
 *     loading ──► paused ◄──► playing ──last event──► ended
 *                    ▲  seek │  ▲  seek                 │ seek or play
 *                    └───────┴──┴────────────────────────┘          failed: a segment cannot be read; seek tries again
 *
 * The player's own segmented driver needs a different index, reads the neighbours of every segment, and supports neither speed changes
 * nor skipping idle time nor live sessions; hence this one. A seek needs one segment: its keyframe, then its events up to the moment.
 * The next segment is prefetched. A live session's tail behaves as one more segment; at its end the replay follows. Clock and timers
 * are passed in. Tested in replay.test.ts.
 */
import { segmentAt } from '../api/recordings/opening.js';
import { SegmentCache } from './segments.js';
import type { ParsedLines, ScreenEvent, Size } from './segments.js';
import { SHORT_MS } from './short.js';
import { Tail } from './tail.js';
import type { Appended } from './tail.js';

export interface ReplayIndex extends Size {
  readonly duration: number;
  readonly live: boolean;
  readonly block: number;
  readonly segments: readonly { readonly start: number }[];
}

/** Events dispatched to the terminal; the names are those of asciinema-player's drivers. */
export interface ReplayEvents {
  readonly reset: { readonly size: Size; readonly init: string; readonly theme: null };
  readonly output: string;
  readonly resize: Size;
  readonly playing: undefined;
  readonly pause: undefined;
  readonly seeked: undefined;
  readonly ended: undefined;
}
export type Dispatch = <Name extends keyof ReplayEvents>(name: Name, data?: ReplayEvents[Name]) => void;

export interface ReplayParts {
  readonly index: ReplayIndex;
  readonly load: (n: number) => Promise<ParsedLines>;
  /** A segment that is already loaded. */
  readonly first?: { readonly n: number; readonly lines: ParsedLines } | null;
  /** Whether a bare newline also returns the carriage, as in sessions without a terminal. */
  readonly newlines: boolean;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Runs `run` once after `ms`, unless the returned function is called first. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Runs work that can wait until the screen is drawn. */
  readonly later?: (run: () => void) => void;
  /** Where to start, in ms. Null: a live session is followed, a short one is shown as it ended, another begins at the beginning. */
  readonly startAt: number | null;
}

export interface ReplayState {
  readonly phase: 'loading' | 'paused' | 'playing' | 'ended' | 'failed';
  readonly duration: number;
  /** Session time in ms up to which blocks are complete; a search finds nothing later. */
  readonly cut: number;
  readonly live: boolean;
  readonly following: boolean;
  readonly speed: number;
  readonly skipIdle: boolean;
  readonly error: string | null;
}

/** Idle time beyond this is skipped, in session ms, after waiting `IDLE_SHOWN_MS` of real time. */
export const IDLE_MS = 2_000;
const IDLE_SHOWN_MS = 400;
/** Speed at which the missed part of a live session is played. */
const CATCH_UP_SPEED = 4;
/** Output within one frame is drawn together. */
const FRAME_MS = 16;
/** Output is fed to the terminal in strings of up to this length, to make fewer calls. */
const FEED_CHARACTERS = 1 << 17;

export class Replay {
  readonly #parts: ReplayParts;
  readonly #cache: SegmentCache;
  readonly #tail: Tail;
  readonly #listeners = new Set<() => void>();
  #index: ReplayIndex;
  #state: ReplayState;
  #dispatch: Dispatch | null = null;
  /** Index of the segment that the terminal is in; `segments.length` means the tail. */
  #segment = 0;
  /** Whether anything has been drawn: if the first segment cannot be read, the terminal has no position. */
  #placed = false;
  #events: readonly ScreenEvent[] = [];
  #next = 0;
  #position = 0;
  /** The target of a seek in progress. */
  #target: number | null = null;
  /** While playing: the monotonic time at which the session clock read `#position`. */
  #since = 0;
  /** Cancels the running timer; undefined if none is running. */
  #timer: (() => void) | undefined;
  /** Counts seeks, so that the continuation of an older seek is ignored. */
  #generation = 0;
  /** Whether idle time was being skipped before catching up began; null when not catching up. */
  #skippedBefore: boolean | null = null;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
    this.#index = parts.index;
    this.#cache = new SegmentCache(parts.load);
    if (parts.first != null) this.#cache.put(parts.first.n, parts.first.lines);
    this.#tail = new Tail(parts.index.block, parts.index.duration, parts.newlines);
    this.#state = {
      phase: 'loading',
      duration: parts.index.duration,
      cut: parts.index.duration,
      live: parts.index.live,
      following: false,
      speed: 1,
      skipIdle: false,
      error: null,
    };
  }

  /** Connects this terminal, shows the starting moment on it, and dispatches everything from then on. */
  async open(dispatch: Dispatch): Promise<void> {
    this.#dispatch = dispatch;
    const { startAt } = this.#parts;
    const { live, duration } = this.#state;
    if (startAt === null && live) return this.follow();
    await this.seek(startAt ?? (duration < SHORT_MS ? duration : 0));
  }

  get state(): ReplayState {
    return this.#state;
  }

  /** Session time in ms. */
  get position(): number {
    if (this.#state.following) return this.#tail.until;
    if (this.#state.phase !== 'playing') return this.#position;
    return Math.min(this.#position + (this.#parts.now() - this.#since) * this.#state.speed, this.#state.duration);
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  play(): void {
    if (this.#state.phase === 'ended' || (this.#state.phase === 'paused' && !this.#state.live && this.#position >= this.#state.duration)) {
      void this.seek(0).then(() => this.play());
      return;
    }
    if (this.#state.phase !== 'paused') return;
    this.#since = this.#parts.now();
    this.#set({ phase: 'playing' });
    this.#dispatch?.('playing');
    this.#schedule();
  }

  pause(): void {
    if (this.#state.phase !== 'playing') return;
    this.#position = this.position;
    this.#stopClock();
    this.#set({ phase: 'paused', following: false });
    this.#dispatch?.('pause');
  }

  toggle(): void {
    if (this.#state.phase === 'playing') this.pause();
    else this.play();
  }

  setSpeed(speed: number): void {
    this.#rebase();
    this.#set({ speed });
    this.#reschedule();
  }

  setSkipIdle(skipIdle: boolean): void {
    this.#rebase();
    this.#set({ skipIdle });
    this.#reschedule();
  }

  /** Shows the screen at `target` ms and keeps playing if it was playing. Resolves when the terminal shows it. */
  async seek(target: number): Promise<void> {
    const resume = this.#state.phase === 'playing';
    const generation = ++this.#generation;
    const at = Math.min(Math.max(0, target), this.#state.duration);
    this.#stopClock();
    this.#target = at;
    try {
      await this.#show(at, generation);
    } catch (error) {
      if (generation === this.#generation) this.#fail(error);
      return;
    }
    if (generation !== this.#generation) return;
    this.#target = null;
    this.#position = at;
    this.#since = this.#parts.now();
    this.#set({ phase: resume ? 'playing' : 'paused', following: false, error: null });
    this.#dispatch?.('seeked');
    this.#prefetch();
    if (resume) this.#schedule();
  }

  /** Pauses and steps to the next or the previous change of the screen. Resolves when the terminal shows it. */
  async step(direction: 1 | -1): Promise<void> {
    this.pause();
    const generation = this.#generation;
    const here = this.#target ?? this.#position;
    let at: number | null = null;
    try {
      at = await this.#changeBeside(here, direction);
    } catch (error) {
      if (generation === this.#generation) this.#fail(error);
      return;
    }
    if (generation === this.#generation && at !== null) await this.seek(at);
  }

  /** Prefetches the segment that a seek to `target` would need, because a seek there is likely. */
  prepare(target: number): void {
    const { segments, duration } = this.#index;
    if (segments.length > 0 && target < duration) this.#cache.prefetch(segmentAt(segments, target));
  }

  /** Jumps to the end of a live session and follows it. */
  async follow(): Promise<void> {
    if (!this.#state.live) return;
    // Blocks may arrive while the segment before them is fetched.
    do {
      await this.seek(this.#tail.until);
      if (this.#state.phase === 'failed' || this.#dispatch === null) return;
    } while (this.#position < this.#tail.until);
    this.#set({ ...this.#caughtUp(), phase: 'playing' });
    this.#dispatch?.('playing');
  }

  /** Plays the missed part of a live session fast and without idle time, then follows the session. */
  catchUp(): void {
    if (!this.#state.live || this.#state.following) return;
    this.#skippedBefore ??= this.#state.skipIdle;
    this.#rebase();
    this.#set({ speed: Math.max(CATCH_UP_SPEED, this.#state.speed), skipIdle: true });
    if (this.#state.phase === 'paused') this.play();
    else this.#reschedule();
  }

  /** Takes the lines of the next block of a live session. */
  live(text: string): void {
    this.#took(this.#tail.append(text));
  }

  /** Takes lines of a block that is not complete yet (schemas/feed.ts). */
  draft(text: string, begins: boolean): void {
    this.#took(this.#tail.draft(text, begins));
  }

  #took({ events, differs }: Appended): void {
    // While following, every segment has been played to its end and the replay continues in the tail.
    if (this.#state.following) this.#segment = this.#index.segments.length;
    if (this.#segment === this.#index.segments.length) this.#events = this.#tail.events;
    if (this.#state.following) {
      this.#apply(events);
      this.#next = this.#events.length;
      this.#position = this.#tail.until;
    }
    this.#set(this.#lengths());
    if (differs && this.#segment === this.#index.segments.length) {
      // The terminal shows the draft, which differs from the block: redraw from the keyframe before it.
      this.#placed = false;
      void (this.#state.following ? this.follow() : this.seek(this.#target ?? this.position));
      return;
    }
    if (!this.#state.following && this.#state.phase === 'playing' && this.#timer === undefined) this.#schedule();
  }

  /** The last known block, from which the live socket continues. */
  get block(): number {
    return this.#tail.block;
  }

  /** Characters in the tail that no segment has taken over yet. */
  get tailCharacters(): number {
    return this.#tail.characters;
  }

  /** Takes a newer index of the same recording. */
  update(index: ReplayIndex): void {
    const wasTail = this.#segment === this.#index.segments.length;
    const behind = index.block > this.#tail.block;
    const repacked = !segmentsContinue(this.#index, index);
    const dropped = this.#tail.stored(index.block, index.duration);
    const segments = this.#index.segments.length;
    this.#index = index;
    // The last segment of an unsealed recording never grows, but repacking renumbers the segments.
    if (repacked) this.#cache.clear();
    this.#set({ ...this.#lengths(), live: index.live });
    if (wasTail) {
      this.#segment = index.segments.length;
      this.#events = this.#tail.events;
      this.#next -= dropped;
    }
    const misplaced = behind || (wasTail && this.#next < 0) || (!wasTail && repacked);
    if (this.#state.phase === 'loading' && !repacked) return;
    if (!index.live && this.#state.following) {
      this.#position = this.#state.duration;
      this.#set({ following: false });
      this.#finish();
      return;
    }
    if (misplaced || (segments === 0 && index.segments.length > 0 && !wasTail))
      void (this.#state.following ? this.follow() : this.seek(this.#target ?? this.position));
    else this.#reschedule();
  }

  close(): void {
    this.#generation += 1;
    this.#stopClock();
    this.#cache.clear();
    this.#dispatch = null;
    this.#listeners.clear();
  }

  /** Session time of the nearest change of the screen after or before `here`; null if there is none. */
  async #changeBeside(here: number, direction: 1 | -1): Promise<number | null> {
    const { segments } = this.#index;
    const tail = this.#tail.events;
    const inTail = segments.length === 0 || (tail.length > 0 && here >= this.#index.duration);
    let n = inTail ? segments.length : segmentAt(segments, here);
    for (; n >= 0 && n <= segments.length; n += direction) {
      const events = n === segments.length ? tail : (this.#cache.peek(n) ?? (await this.#cache.get(n))).events;
      const found = direction === 1 ? events.find(({ at }) => at > here) : events.findLast(({ at }) => at < here);
      if (found !== undefined) return found.at;
    }
    return null;
  }

  /** Brings the terminal to `target`: forward from its position if `target` is in the same segment, otherwise from a keyframe. */
  async #show(target: number, generation: number): Promise<void> {
    const { segments } = this.#index;
    const inTail = this.#tail.events.length > 0 && target >= this.#index.duration;
    const wanted = inTail || segments.length === 0 ? segments.length : segmentAt(segments, target);
    const last = this.#events[this.#next - 1];
    const shown = this.#placed && wanted === this.#segment && (last === undefined || last.at <= target);
    if (!shown) {
      const base = Math.min(wanted, segments.length - 1);
      const lines = base < 0 ? null : (this.#cache.peek(base) ?? (await this.#cache.get(base)));
      if (generation !== this.#generation) return;
      // At the start of the first segment nothing has been drawn yet, even if a keyframe there says otherwise.
      const frame = (base > 0 ? lines?.keyframe : null) ?? { cols: this.#index.cols, rows: this.#index.rows, screen: '' };
      this.#dispatch?.('reset', { size: { cols: frame.cols, rows: frame.rows }, init: frame.screen, theme: null });
      this.#segment = wanted;
      this.#placed = true;
      if (wanted === segments.length) {
        if (lines !== null) this.#apply(lines.events);
        this.#events = this.#tail.events;
      } else {
        this.#events = lines!.events;
      }
      this.#next = 0;
    }
    const end = this.#next + countUntil(this.#events, this.#next, target);
    this.#apply(this.#events.slice(this.#next, end));
    this.#next = end;
  }

  #apply(events: readonly ScreenEvent[]): void {
    let text = '';
    const feed = (): void => {
      if (text !== '') this.#dispatch?.('output', text);
      text = '';
    };
    for (const event of events) {
      if (event.kind === 'output') {
        text += event.text;
        if (text.length >= FEED_CHARACTERS) feed();
      } else {
        feed();
        this.#dispatch?.('resize', { cols: event.cols, rows: event.rows });
      }
    }
    feed();
  }

  #schedule(): void {
    this.#clearTimer();
    if (this.#state.following) return;
    const event = this.#events[this.#next];
    if (event !== undefined) {
      const ahead = event.at - this.position;
      if (this.#state.skipIdle && ahead > IDLE_MS) {
        this.#timer = this.#parts.after(IDLE_SHOWN_MS, () => {
          this.#position = event.at;
          this.#since = this.#parts.now();
          this.#tick();
        });
      } else {
        this.#timer = this.#parts.after(Math.max(FRAME_MS / 4, Math.min(ahead / this.#state.speed, 2 ** 30)), () => this.#tick());
      }
      return;
    }
    if (this.#segment < this.#index.segments.length - 1 || (this.#segment < this.#index.segments.length && this.#tail.events.length > 0)) {
      void this.#advance();
      return;
    }
    if (this.#state.live) {
      // Everything received so far has been shown: start following.
      this.#set(this.#caughtUp());
      return;
    }
    const rest = this.#state.skipIdle ? Math.min(this.#state.duration - this.position, IDLE_MS) : this.#state.duration - this.position;
    this.#timer = this.#parts.after(Math.max(0, rest / this.#state.speed), () => this.#finish());
  }

  #tick(): void {
    this.#timer = undefined;
    if (this.#state.phase !== 'playing') return;
    const end = this.#next + countUntil(this.#events, this.#next, this.position + FRAME_MS / 2);
    this.#apply(this.#events.slice(this.#next, end));
    this.#next = end;
    this.#schedule();
  }

  /** Moves on to the next segment; its events continue where this one's ended, so its keyframe is not needed. */
  async #advance(): Promise<void> {
    const generation = this.#generation;
    const n = this.#segment + 1;
    if (n === this.#index.segments.length) {
      this.#segment = n;
      this.#events = this.#tail.events;
      this.#next = 0;
      this.#schedule();
      return;
    }
    let lines = this.#cache.peek(n);
    if (lines === undefined) {
      this.#rebase();
      try {
        lines = await this.#cache.get(n);
      } catch (error) {
        if (generation === this.#generation) this.#fail(error);
        return;
      }
      if (generation !== this.#generation || this.#state.phase !== 'playing') return;
      this.#since = this.#parts.now();
    }
    this.#segment = n;
    this.#events = lines.events;
    this.#next = 0;
    this.#prefetch();
    this.#schedule();
  }

  #prefetch(): void {
    const generation = this.#generation;
    (this.#parts.later ?? ((run) => run()))(() => {
      // In a series of seeks, only the last one needs its next segment prefetched.
      if (generation === this.#generation && this.#segment + 1 < this.#index.segments.length) this.#cache.prefetch(this.#segment + 1);
    });
  }

  #finish(): void {
    this.#stopClock();
    this.#position = this.#state.duration;
    this.#set({ phase: 'ended' });
    this.#dispatch?.('ended');
  }

  #fail(error: unknown): void {
    this.#stopClock();
    this.#set({ phase: 'failed', following: false, error: error instanceof Error ? error.message : 'this part cannot be read' });
  }

  /** Makes the clock's current reading its new origin. */
  #rebase(): void {
    this.#position = this.position;
    this.#since = this.#parts.now();
  }

  #reschedule(): void {
    if (this.#state.phase === 'playing') this.#schedule();
  }

  #stopClock(): void {
    this.#clearTimer();
  }

  #clearTimer(): void {
    this.#timer?.();
    this.#timer = undefined;
  }

  /** The state changes at the end of a live session: a later seek back plays at the session's own speed again. */
  #caughtUp(): Partial<ReplayState> {
    const skipIdle = this.#skippedBefore ?? this.#state.skipIdle;
    this.#skippedBefore = null;
    return { following: true, speed: Math.min(1, this.#state.speed), skipIdle };
  }

  #lengths(): Pick<ReplayState, 'duration' | 'cut'> {
    const { duration } = this.#index;
    return { duration: Math.max(duration, this.#tail.until), cut: Math.max(duration, this.#tail.cut) };
  }

  #set(change: Partial<ReplayState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}

function countUntil(events: readonly ScreenEvent[], from: number, until: number): number {
  let i = from;
  while (i < events.length && events[i]!.at <= until) i += 1;
  return i - from;
}

/** Whether the segments of the older index are the first segments of the newer one. */
function segmentsContinue(before: ReplayIndex, after: ReplayIndex): boolean {
  return after.segments.length >= before.segments.length && before.segments.every(({ start }, n) => after.segments[n]!.start === start);
}
