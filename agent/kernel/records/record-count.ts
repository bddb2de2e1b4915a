/**
 * Whether every record of a session that the kernel counted has come: read, or counted as lost. One that did neither was
 * taken away, as root can do with the ring, and the session has a hole.
 *
 * The kernel counts an event before it writes its record, so its count may be ahead by what is being written. It is
 * compared as it was a while ago, and only after all that waited then was read; at the end of a session twice in a row.
 * A count that goes back was written by somebody else. Tested in record-count.test.ts and ../collecting/collector.test.ts.
 */
import type { SessionCounters } from '../probes/programs.js';

const SETTLED_MS = 1_000;

export class RecordCount {
  #received = 0;
  #holes = 0;
  #seen = 0;
  /** What is to be compared, and when the kernel had said so. */
  #due: { readonly seen: number; readonly at: number } | null = null;
  #suspected = false;

  came(count: number): void {
    this.#received += count;
  }

  /** How many are missing and were not told of. `drained`: nothing waits in the ring. `now` in ms. */
  check(counters: Pick<SessionCounters, 'seen' | 'lost' | 'unfollowed'>, now: number, drained: boolean): number {
    const back = counters.seen < this.#seen;
    this.#seen = counters.seen;
    if (back) {
      // From here on counted anew.
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

  /** As `check`, for a session whose last process is gone; null: to be asked once more. */
  last(counters: Pick<SessionCounters, 'seen' | 'lost' | 'unfollowed'>): number | null {
    const missing = this.#missing(counters, counters.seen);
    if (missing > 0 && !this.#suspected) {
      this.#suspected = true;
      return null;
    }
    return this.#tell(missing);
  }

  /** Of `seen` events. Processes that could not be followed are in `lost`, and no events. */
  #missing({ lost, unfollowed }: Pick<SessionCounters, 'lost' | 'unfollowed'>, seen: number): number {
    return seen - (lost - unfollowed) - this.#received - this.#holes;
  }

  #tell(missing: number): number {
    if (missing <= 0) return 0;
    this.#holes += missing;
    return missing;
  }
}
