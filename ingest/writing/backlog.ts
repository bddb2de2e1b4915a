/**
 * Size and progress of background work, as shown by `steno status`, the page and metrics.
 *
 *     idle ──add──► busy: `done` counts from here ──nothing waits──► idle
 *
 * Tested in backlog.test.ts.
 */
import type { QueueName, QueueReport, QueueUnit } from '#schemas/api/recordings/status.js';

export class Backlog {
  readonly #name: QueueName;
  readonly #unit: QueueUnit;
  readonly #clock: () => number;
  #waiting = 0;
  #done = 0;
  #total = 0;
  #since: number | null = null;

  /** `clock`: ms since 1970. */
  constructor(name: QueueName, unit: QueueUnit, clock: () => number) {
    this.#name = name;
    this.#unit = unit;
    this.#clock = clock;
  }

  add(amount = 1): void {
    if (amount === 0) return;
    if (this.#waiting === 0) {
      this.#since = this.#clock();
      this.#done = 0;
    }
    this.#waiting += amount;
  }

  /** Called for failed work too: it no longer waits. */
  settle(amount = 1): void {
    this.#waiting -= amount;
    this.#done += amount;
    this.#total += amount;
    if (this.#waiting === 0) this.#since = null;
  }

  report(): QueueReport {
    return {
      name: this.#name,
      unit: this.#unit,
      waiting: this.#waiting,
      done: this.#waiting === 0 ? 0 : this.#done,
      total: this.#total,
      since: this.#since,
    };
  }
}
