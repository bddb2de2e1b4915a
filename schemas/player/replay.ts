/**
 * Replays a recording from its segments onto a terminal: the page's, which is asciinema-player's, and that of `steno join`.
 *
 *     loading ──► paused ◄──► playing ──last event──► ended
 *                    ▲  seek │  ▲  seek                 │ seek or play
 *                    └───────┴──┴────────────────────────┘          failed: a segment cannot be read; seek tries again
 *
 * The player's own segmented driver asks for another index, reads the neighbours of every segment, and knows neither
 * speed changes nor skipped idle time nor live sessions; hence this one. A seek needs one segment: its keyframe, then
 * its events up to the moment. The next segment is fetched ahead. A live session's tail behaves as one more segment;
 * at its end the replay follows. Clock and timers are passed in. Tested in replay.test.ts.
 */
import { segmentAt } from '../api/recordings/opening.js';
import { SegmentCache } from './segments.js';
import type { ParsedLines, ScreenEvent, Size } from './segments.js';
import { Tail } from './tail.js';
import type { Appended } from './tail.js';

export interface ReplayIndex extends Size {
  readonly duration: number;
  readonly live: boolean;
  readonly block: number;
  readonly segments: readonly { readonly start: number }[];
}

/** What the terminal is told; the names are those of asciinema-player's drivers. */
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
  /** A segment that is known already. */
  readonly first?: { readonly n: number; readonly lines: ParsedLines } | null;
  /** A bare newline also returns the carriage: sessions without a terminal. */
  readonly newlines: boolean;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Runs it once after so many ms, unless what this answers is called before. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Runs what may wait until the screen is drawn. */
  readonly later?: (run: () => void) => void;
  /** Where to begin in ms; `end` follows a live session. */
  readonly startAt: number | 'end';
}

export interface ReplayState {
  readonly phase: 'loading' | 'paused' | 'playing' | 'ended' | 'failed';
  readonly duration: number;
  /** Session time in ms up to which blocks are cut: no search finds what came after. */
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
/** How fast what was missed of a live session is shown. */
const CATCH_UP_SPEED = 4;
/** Output within a frame is drawn together. */
const FRAME_MS = 16;
/** Strings of this length are fed at once: fewer calls into the terminal. */
const FEED_CHARACTERS = 1 << 17;

export class Replay {
  readonly #parts: ReplayParts;
  readonly #cache: SegmentCache;
  readonly #tail: Tail;
  readonly #listeners = new Set<() => void>();
  #index: ReplayIndex;
  #state: ReplayState;
  #dispatch: Dispatch | null = null;
  /** Index of the segment the terminal stands in; `segments.length` is the tail. */
  #segment = 0;
  /** Whether anything was drawn at all: a first segment that cannot be read leaves the terminal nowhere. */
  #placed = false;
  #events: readonly ScreenEvent[] = [];
  #next = 0;
  #position = 0;
  /** Where a seek under way leads. */
  #target: number | null = null;
  /** While playing: the moment at which the session clock showed `#position`. */
  #since = 0;
  /** Calls the timer off; undefined: none runs. */
  #timer: (() => void) | undefined;
  /** Counts seeks: what an older one still waits for no longer counts. */
  #generation = 0;
  /** Whether idle time was skipped before catching up began; null while nobody catches up. */
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

  /** Shows the moment where the replay begins on this terminal, and everything from then on. */
  async open(dispatch: Dispatch): Promise<void> {
    this.#dispatch = dispatch;
    const { startAt } = this.#parts;
    if (startAt === 'end' && this.#state.live) return this.follow();
    await this.seek(startAt === 'end' ? 0 : startAt);
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

  /** Shows the screen at `target` ms; goes on playing if it was. Resolves when the terminal has it. */
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

  /** To the next change of the screen, or to the one before; pauses. Resolves when the terminal shows it. */
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

  /** Fetches what a seek to `target` would need: somebody is about to go there. */
  prepare(target: number): void {
    const { segments, duration } = this.#index;
    if (segments.length > 0 && target < duration) this.#cache.prefetch(segmentAt(segments, target));
  }

  /** To the end of a live session, and on with it. */
  async follow(): Promise<void> {
    if (!this.#state.live) return;
    // Blocks may come while the segment before them is fetched.
    do {
      await this.seek(this.#tail.until);
      if (this.#state.phase === 'failed' || this.#dispatch === null) return;
    } while (this.#position < this.#tail.until);
    this.#set({ ...this.#caughtUp(), phase: 'playing' });
    this.#dispatch?.('playing');
  }

  /** Plays what was missed of a live session, fast and without its idle time, and then follows it. */
  catchUp(): void {
    if (!this.#state.live || this.#state.following) return;
    this.#skippedBefore ??= this.#state.skipIdle;
    this.#rebase();
    this.#set({ speed: Math.max(CATCH_UP_SPEED, this.#state.speed), skipIdle: true });
    if (this.#state.phase === 'paused') this.play();
    else this.#reschedule();
  }

  /** Lines of the next block of a live session. */
  live(text: string): void {
    this.#took(this.#tail.append(text));
  }

  /** Lines of a block that is not cut yet (schemas/feed.ts). */
  draft(text: string, begins: boolean): void {
    this.#took(this.#tail.draft(text, begins));
  }

  #took({ events, differs }: Appended): void {
    // Who follows has seen every segment to its end, and goes on in the tail.
    if (this.#state.following) this.#segment = this.#index.segments.length;
    if (this.#segment === this.#index.segments.length) this.#events = this.#tail.events;
    if (this.#state.following) {
      this.#apply(events);
      this.#next = this.#events.length;
      this.#position = this.#tail.until;
    }
    this.#set(this.#lengths());
    if (differs && this.#segment === this.#index.segments.length) {
      // The terminal shows what was drafted: drawn anew from the keyframe before it.
      this.#placed = false;
      void (this.#state.following ? this.follow() : this.seek(this.#target ?? this.position));
      return;
    }
    if (!this.#state.following && this.#state.phase === 'playing' && this.#timer === undefined) this.#schedule();
  }

  /** The last block that is known, to ask for what follows. */
  get block(): number {
    return this.#tail.block;
  }

  /** Characters waiting in the tail for a segment to take them over. */
  get tailCharacters(): number {
    return this.#tail.characters;
  }

  /** A newer index of the same recording. */
  update(index: ReplayIndex): void {
    const wasTail = this.#segment === this.#index.segments.length;
    const behind = index.block > this.#tail.block;
    const repacked = !segmentsContinue(this.#index, index);
    const dropped = this.#tail.stored(index.block, index.duration);
    const segments = this.#index.segments.length;
    this.#index = index;
    // The last segment of an unsealed recording never grows, but a repacked recording numbers them anew.
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

  /** Session time of the next or last change of the screen beyond `here`; null at the end. */
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

  /** Brings the terminal to `target`: forward from where it stands if that is in the same segment, else from a keyframe. */
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
      // In the first segment nothing was drawn yet, whatever a keyframe there may say.
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
      // All that came so far is shown: on with it.
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

  /** On to the segment after this one; its events go on where this one's ended, so its keyframe is not needed. */
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
      // Of seeks that follow each other only the last one's neighbour is wanted.
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

  /** Makes the clock's present reading its new origin. */
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

  /** At the end of a live session: who looks back next does so at the speed of the session. */
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

/** Whether the segments known before are the first of the newer index. */
function segmentsContinue(before: ReplayIndex, after: ReplayIndex): boolean {
  return after.segments.length >= before.segments.length && before.segments.every(({ start }, n) => after.segments[n]!.start === start);
}
