/**
 * Queues connections that are not admitted yet. Two hundred sessions that a job opens at once come from one address and are
 * no attack: connections beyond the limit wait, unread, instead of being closed.
 *
 *     arrived ──its source has a turn──► admitting ──released──► (the next one's turn)
 *        └──all turns of its source taken──► waiting ──turn──► admitting
 *                                               └──too long, or too many wait──► refused
 *
 * Turns are counted per source, so a client that opens many connections delays only itself; the total number of unadmitted
 * connections is limited once the turn has come (runtime/http/stranger-slots.ts). A waiting connection costs a socket and no
 * key exchange. Tested in admission-queue.test.ts, and with 200 sessions in test/end-to-end/crowd.test.ts.
 */
export interface QueueLimits {
  /** Concurrent turns per source. */
  readonly perSource: number;
  /** Connections waiting at once, over all sources and per source. */
  readonly waiting: number;
  readonly waitingPerSource: number;
  /** Milliseconds that a connection waits at most. */
  readonly waitMs: number;
}

interface Waiting {
  readonly begin: (release: () => void) => void;
  readonly timer: NodeJS.Timeout;
}

interface Source {
  turns: number;
  readonly waiting: Waiting[];
}

export class AdmissionQueue {
  readonly #limits: QueueLimits;
  readonly #sources = new Map<string, Source>();
  #waiting = 0;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Calls either `begin`, now or later, or `refuse` with the reason. `release` must be called when the turn is over. */
  enter(key: string, begin: (release: () => void) => void, refuse: (reason: string) => void): void {
    const { perSource, waiting, waitingPerSource, waitMs } = this.#limits;
    const source = this.#sources.get(key) ?? { turns: 0, waiting: [] };
    this.#sources.set(key, source);
    if (source.turns < perSource) return this.#begin(key, source, begin);
    if (this.#waiting >= waiting || source.waiting.length >= waitingPerSource)
      return refuse('too many connections are waiting to be admitted');
    const entry: Waiting = {
      begin,
      timer: setTimeout(() => {
        source.waiting.splice(source.waiting.indexOf(entry), 1);
        this.#waiting -= 1;
        refuse(`no admission slot within ${waitMs / 1000} s: too many connections are waiting to be admitted`);
      }, waitMs),
    };
    entry.timer.unref();
    source.waiting.push(entry);
    this.#waiting += 1;
  }

  #begin(key: string, source: Source, begin: Waiting['begin']): void {
    source.turns += 1;
    let released = false;
    begin(() => {
      if (released) return;
      released = true;
      source.turns -= 1;
      const next = source.waiting.shift();
      if (next !== undefined) {
        clearTimeout(next.timer);
        this.#waiting -= 1;
        this.#begin(key, source, next.begin);
      } else if (source.turns === 0) this.#sources.delete(key);
    });
  }
}
