/**
 * The kernel events of a session as far as the page needs them: pages from the API, in order, up to a moment that somebody looks at.
 *
 * Memory is bounded by `MAX_EVENTS`, however long the session. Behind that many the trail begins anew shortly before the moment:
 * what is then known begins at `since`, and processes that began earlier stand at the top of their tree. Tested in trail.test.ts.
 */
import type { KernelEventList } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';

export const MAX_EVENTS = 20_000;
/** What is known reaches so far beyond the moment, in ms of session time. */
const AHEAD_MS = 30_000;
/** A trail that begins anew begins so long before the moment; where so much happened that memory does not reach it, at a quarter of that. */
const BACK_MS = 300_000;
const LEAST_BACK_MS = 1_000;

export interface TrailState {
  readonly events: readonly KernelEventInfo[];
  /** Gaps that the recording tells of. */
  readonly gaps: readonly KernelEventInfo[];
  /** Session time in ms from which on events are known; 0: from the beginning. */
  readonly since: number;
  /** Whether the session has more behind the last one. */
  readonly more: boolean;
  /** Whether the first answer has come. */
  readonly known: boolean;
  readonly error: Error | null;
}

export type LoadEvents = (query: { readonly after?: string; readonly from?: number }) => Promise<KernelEventList>;

export class Trail {
  readonly #load: LoadEvents;
  readonly #listeners = new Set<() => void>();
  #state: TrailState = { events: [], gaps: [], since: 0, more: true, known: false, error: null };
  #wanted = -1;
  /** Looked at last. */
  #moment = 0;
  /** The moment for which the trail began, and how long before it. */
  #begun = { moment: Number.NEGATIVE_INFINITY, back: 0 };
  #running = false;
  #closed = false;
  /** Counts beginnings: an answer for an older one no longer counts. */
  #generation = 0;

  constructor(load: LoadEvents) {
    this.#load = load;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get state(): TrailState {
    return this.#state;
  }

  /** Somebody looks at this moment: loads what is missing up to it and a little beyond. */
  need(moment: number): void {
    const { events, since, more } = this.#state;
    const last = events.at(-1)?.offset ?? since;
    this.#moment = moment;
    const far = events.length >= MAX_EVENTS && more && moment > last;
    if (moment < since) this.#begin(moment, BACK_MS);
    else if (far) {
      const near = Math.abs(moment - this.#begun.moment) < BACK_MS;
      const back = near ? Math.max(LEAST_BACK_MS, this.#begun.back / 4) : BACK_MS;
      // There it is no nearer: more happened in a second than memory holds.
      if (near && this.#begun.back === LEAST_BACK_MS && moment < this.#begun.moment + LEAST_BACK_MS) return;
      this.#begin(moment, back);
    }
    this.#wanted = Math.max(this.#wanted, moment + AHEAD_MS);
    // After a failure somebody asks again by hand, or the next refresh does: not each frame.
    if (this.#state.error === null) this.#run();
  }

  /** The next page, whatever the moment: somebody has come to the end of a list. */
  next(): void {
    if (this.#state.error !== null) this.#set({ error: null });
    this.#wanted = Math.max(this.#wanted, (this.#state.events.at(-1)?.offset ?? 0) + 1);
    this.#run();
  }

  /** A live session may have more by now. */
  refresh(): void {
    if (!this.#state.known || this.#state.events.length >= MAX_EVENTS) return;
    this.#set({ more: true, error: null });
    this.#wanted = Math.max(this.#wanted, (this.#state.events.at(-1)?.offset ?? 0) + 1);
    this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
  }

  #begin(moment: number, back: number): void {
    const since = Math.max(0, Math.floor(moment - back));
    this.#begun = { moment, back };
    this.#generation += 1;
    this.#running = false;
    this.#wanted = -1;
    this.#set({ events: [], since, more: true });
  }

  #run(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    const generation = this.#generation;
    void this.#pages(generation).finally(() => {
      if (generation !== this.#generation) return;
      this.#running = false;
      // Somebody may have asked for more just as the last page had come.
      if (this.#lacks()) this.#run();
    });
  }

  /** Whether what is wanted is not there and can be loaded. */
  #lacks(): boolean {
    const { events, more, known, error } = this.#state;
    const last = events.at(-1);
    return error === null && more && events.length < MAX_EVENTS && !(known && last !== undefined && last.offset >= this.#wanted);
  }

  async #pages(generation: number): Promise<void> {
    for (;;) {
      const { events, since, more, known } = this.#state;
      const last = events.at(-1);
      if (!more || (known && last !== undefined && last.offset >= this.#wanted)) return;
      if (events.length >= MAX_EVENTS) {
        // The moment lies behind what memory allows.
        if (last !== undefined && last.offset < this.#moment) this.need(this.#moment);
        return;
      }
      let page: KernelEventList;
      try {
        page = await this.#load({ ...(last === undefined ? {} : { after: last.place }), ...(since === 0 ? {} : { from: since }) });
      } catch (error) {
        if (generation === this.#generation) this.#set({ known: true, error: error instanceof Error ? error : new Error('unknown') });
        return;
      }
      if (this.#closed || generation !== this.#generation) return;
      this.#set({
        events: [...events, ...page.events],
        gaps: page.gaps,
        more: page.more && page.events.length > 0,
        known: true,
        error: null,
      });
    }
  }

  #set(change: Partial<TrailState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
