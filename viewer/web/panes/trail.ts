/**
 * The kernel events of a session as far as the page needs them: pages from the API, in order, up to the moment being viewed.
 *
 * Memory is bounded by `MAX_EVENTS`, however long the session. When the limit is reached, the trail restarts shortly before the moment:
 * the known events then begin at `since`, and processes that began earlier stand at the top of their tree. Tested in trail.test.ts.
 */
import type { KernelEventList } from '#schemas/api/recordings/sessions.js';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';

export const MAX_EVENTS = 20_000;
/** Events are loaded this far beyond the moment, in ms of session time. */
const AHEAD_MS = 30_000;
/** A restarted trail begins this long before the moment, or at a quarter of that each time the limit is reached before the moment. */
const BACK_MS = 300_000;
const LEAST_BACK_MS = 1_000;

export interface TrailState {
  readonly events: readonly KernelEventInfo[];
  /** Gaps reported in the recording. */
  readonly gaps: readonly KernelEventInfo[];
  /** Session time in ms from which events are known; 0: from the beginning. */
  readonly since: number;
  /** Whether the session has more events after the last one. */
  readonly more: boolean;
  /** Whether the first answer has arrived. */
  readonly known: boolean;
  readonly error: Error | null;
}

export type LoadEvents = (query: { readonly after?: string; readonly from?: number }) => Promise<KernelEventList>;

export class Trail {
  readonly #load: LoadEvents;
  readonly #listeners = new Set<() => void>();
  #state: TrailState = { events: [], gaps: [], since: 0, more: true, known: false, error: null };
  #wanted = -1;
  /** The moment viewed last. */
  #moment = 0;
  /** The moment for which the trail was started, and how long before that moment it begins. */
  #begun = { moment: Number.NEGATIVE_INFINITY, back: 0 };
  #running = false;
  #closed = false;
  /** Counts restarts, so that an answer for an older trail is ignored. */
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

  /** Called when this moment is viewed: loads missing events up to it and a little beyond. */
  need(moment: number): void {
    const { events, since, more } = this.#state;
    const last = events.at(-1)?.offset ?? since;
    this.#moment = moment;
    const far = events.length >= MAX_EVENTS && more && moment > last;
    if (moment < since) this.#begin(moment, BACK_MS);
    else if (far) {
      const near = Math.abs(moment - this.#begun.moment) < BACK_MS;
      const back = near ? Math.max(LEAST_BACK_MS, this.#begun.back / 4) : BACK_MS;
      // Restarting again would get no closer: that second has more events than fit in memory.
      if (near && this.#begun.back === LEAST_BACK_MS && moment < this.#begun.moment + LEAST_BACK_MS) return;
      this.#begin(moment, back);
    }
    this.#wanted = Math.max(this.#wanted, moment + AHEAD_MS);
    // After a failure, only a manual retry or the next refresh asks again, not every frame.
    if (this.#state.error === null) this.#run();
  }

  /** Loads the next page regardless of the moment, because the end of a list was reached. */
  next(): void {
    if (this.#state.error !== null) this.#set({ error: null });
    this.#wanted = Math.max(this.#wanted, (this.#state.events.at(-1)?.offset ?? 0) + 1);
    this.#run();
  }

  /** Checks a live session for new events. */
  refresh(): void {
    if (this.#closed || !this.#state.known || this.#state.events.length >= MAX_EVENTS) return;
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
      // More may have been requested just after the last page arrived.
      if (this.#lacks()) this.#run();
    });
  }

  /** Whether wanted events are missing and can be loaded. */
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
        // The moment is beyond the events that fit in memory.
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
