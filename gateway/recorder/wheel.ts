/**
 * One timer for all sessions. A session without pending work is not in it, so idle sessions cost nothing.
 *
 * Limits: entries come due up to `TICK_MS` late. Each object has one due time, the earliest it asked for. Tested in
 * wheel.test.ts.
 */
export const TICK_MS = 25;

export interface Due {
  /** `now`: the wheel's clock. May schedule itself again. Must not throw. */
  due(now: number): void;
}

export class Wheel {
  readonly #now: () => number;
  readonly #ticks = new Map<number, Set<Due>>();
  readonly #tickOf = new Map<Due, number>();
  #timer: NodeJS.Timeout | null = null;
  #timerTick = Infinity;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Calls `entry.due` once, at `when` or a little later, unless it is due earlier anyway. */
  at(entry: Due, when: number): void {
    const tick = Math.ceil(when / TICK_MS);
    const known = this.#tickOf.get(entry);
    if (known !== undefined) {
      if (known <= tick) return;
      this.#ticks.get(known)!.delete(entry);
    }
    this.#tickOf.set(entry, tick);
    let set = this.#ticks.get(tick);
    if (set === undefined) this.#ticks.set(tick, (set = new Set()));
    set.add(entry);
    if (tick < this.#timerTick) this.#arm(tick);
  }

  cancel(entry: Due): void {
    const tick = this.#tickOf.get(entry);
    if (tick === undefined) return;
    this.#tickOf.delete(entry);
    this.#ticks.get(tick)?.delete(entry);
  }

  /** Runs the entries that are due at `now`. Called by the timer, and by tests with their own clock. */
  run(now: number = this.#now()): void {
    const until = Math.floor(now / TICK_MS);
    for (const tick of [...this.#ticks.keys()].sort((a, b) => a - b)) {
      if (tick > until) break;
      const set = this.#ticks.get(tick)!;
      this.#ticks.delete(tick);
      for (const entry of set) {
        this.#tickOf.delete(entry);
        entry.due(now);
      }
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerTick = Infinity;
    let next = Infinity;
    for (const [tick, set] of this.#ticks) {
      if (set.size === 0) this.#ticks.delete(tick);
      else if (tick < next) next = tick;
    }
    if (next < Infinity) this.#arm(next);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerTick = Infinity;
    this.#ticks.clear();
    this.#tickOf.clear();
  }

  /** Entries waiting. */
  get size(): number {
    return this.#tickOf.size;
  }

  #arm(tick: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerTick = tick;
    // One ms more than needed: a timer that fires early would find nothing due and be armed again.
    this.#timer = setTimeout(() => this.run(), Math.max(0, tick * TICK_MS - this.#now()) + 1);
  }
}
