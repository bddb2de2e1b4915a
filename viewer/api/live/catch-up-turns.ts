/**
 * Limits how many followers catch up at the same time: each has a connection to ingest of its own meanwhile. The others wait in order.
 * Tested in relay.test.ts.
 */
export class CatchUpTurns {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Somebody waits for a turn. */
  get wanted(): boolean {
    return this.#waiting.size > 0;
  }

  /** Calls `start` when it is its turn, perhaps at once; `finish` must follow. */
  ask(start: () => void): void {
    if (this.#free === 0) return void this.#waiting.add(start);
    this.#free--;
    start();
  }

  /** Gives up waiting. */
  withdraw(start: () => void): void {
    this.#waiting.delete(start);
  }

  /** A turn is over. */
  finish(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
