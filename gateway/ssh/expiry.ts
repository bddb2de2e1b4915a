/**
 * When certificates end: one timer for all connections. Entries share a second; the timer waits for the earliest.
 * Limits: called up to a second late. Tested in expiry.test.ts.
 */

/** The longest that a timer of Node can wait, in ms. */
const MAX_WAIT_MS = 2 ** 31 - 1;

export class Expiry {
  readonly #now: () => number;
  readonly #seconds = new Map<number, Set<() => void>>();
  #timer: NodeJS.Timeout | null = null;
  #armedFor = Infinity;

  /** `now`: ms since 1970. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Calls back once, at `second` (Unix time) or at once if that is over, unless what is returned was called. */
  at(second: number, callback: () => void): () => void {
    const entry = (): void => callback();
    const due = Math.ceil(second);
    const entries = this.#seconds.get(due) ?? new Set();
    this.#seconds.set(due, entries.add(entry));
    if (due < this.#armedFor) this.#arm(due);
    return () => {
      entries.delete(entry);
      if (entries.size === 0 && this.#seconds.get(due) === entries) this.#seconds.delete(due);
    };
  }

  /** Seconds at which somebody waits. */
  get size(): number {
    return this.#seconds.size;
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#armedFor = Infinity;
    this.#seconds.clear();
  }

  #arm(second: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#armedFor = second;
    this.#timer = setTimeout(() => this.#run(), Math.min(MAX_WAIT_MS, Math.max(0, second * 1000 - this.#now())));
    // Whoever waits for an end is a connection, which keeps the process alive by itself.
    this.#timer.unref();
  }

  #run(): void {
    this.#timer = null;
    this.#armedFor = Infinity;
    const now = this.#now() / 1000;
    const due = [...this.#seconds.keys()].filter((second) => second <= now).sort((a, b) => a - b);
    for (const second of due) {
      const entries = this.#seconds.get(second)!;
      this.#seconds.delete(second);
      for (const entry of entries) entry();
    }
    const next = Math.min(...this.#seconds.keys());
    if (next < Infinity) this.#arm(next);
  }
}
