/**
 * Checks that every record of a session counted by the kernel was either read or counted as lost. Any other record was
 * removed, as root can do with the ring, and the session has a hole.
 *
 * The kernel counts an event before it writes the record, so its count may be ahead by records being written. An earlier
 * value of the count is therefore compared, after everything in the ring at that time was read; at the end of a session this
 * happens twice in a row. A count that decreases was tampered with. Tested in record-count.test.ts and
 * ../collecting/collector.test.ts.
 */
import type { SessionCounters } from '../probes/programs.js';

const SETTLED_MS = 1_000;

export class RecordCount {
  #received = 0;
  #holes = 0;
  #seen = 0;
  /** The count to compare, and when it was read from the kernel. */
  #due: { readonly seen: number; readonly at: number } | null = null;
  #suspected = false;

  came(count: number): void {
    this.#received += count;
  }

  /** Number of records missing and not reported yet. `drained`: the ring is empty. `now` in ms. */
  check(counters: Pick<SessionCounters, 'seen' | 'lost' | 'unfollowed'>, now: number, drained: boolean): number {
    const back = counters.seen < this.#seen;
    this.#seen = counters.seen;
    if (back) {
      // Start counting afresh.
      this.#due = null;
      this.#holes = this.#missing(counters, counters.seen) + this.#holes;
      return 1;
    }
    if (!drained) return 0;
    const due = this.#due;
    if (due === null || now - due.at < SETTLED_MS) {
      this.#due ??= { seen: counters.seen, at: now };
      return 0;
    }
    this.#due = { seen: counters.seen, at: now };
    return this.#tell(this.#missing(counters, due.seen));
  }

  /** Like `check`, for a session whose last process is gone; null: call again. */
  last(counters: Pick<SessionCounters, 'seen' | 'lost' | 'unfollowed'>): number | null {
    const missing = this.#missing(counters, counters.seen);
    if (missing > 0 && !this.#suspected) {
      this.#suspected = true;
      return null;
    }
    return this.#tell(missing);
  }

  /** Missing records, given `seen` events. `lost` includes processes that could not be followed, which are not events. */
  #missing({ lost, unfollowed }: Pick<SessionCounters, 'lost' | 'unfollowed'>, seen: number): number {
    return seen - (lost - unfollowed) - this.#received - this.#holes;
  }

  #tell(missing: number): number {
    if (missing <= 0) return 0;
    this.#holes += missing;
    return missing;
  }
}
