/**
 * Retries a store operation until it is done.
 *
 *     try ──done──► resolved
 *      │ ▲
 *      │ └── wait: 50 ms, doubling to 5 s ──┐
 *      ├── store failed ────────────────────┘   reported once per outage
 *      ├── refused for good (conflict, bad request) ──► rejected
 *      └── closing ──► rejected
 *
 * A waiting caller holds its bytes in memory and reads no more from its gateway, whose spool is the buffer. Tested in
 * ingest/writing/faults.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';

/** Errors that a retry cannot fix. */
const final = new Set(['BAD_REQUEST', 'STORE_CONFLICT', 'RECORDING_MALFORMED', 'STORE_NOT_FOUND']);

export interface RetryOptions {
  readonly firstWait: number;
  readonly longestWait: number;
  /** Called at the first failure of an outage. */
  readonly onOutage: (error: unknown) => void;
  readonly onRecovery: () => void;
}

export class StoreRetry {
  readonly #options: RetryOptions;
  readonly #closing = new AbortController();
  #failing = false;

  constructor(options: RetryOptions) {
    this.#options = options;
    // Each waiting call adds one listener, so many listeners are not a leak.
    this.#closing.signal.addEventListener('abort', () => undefined);
  }

  get failing(): boolean {
    return this.#failing;
  }

  /**
   * Repeats `act` until it succeeds, is refused for good, or `stopped`. In the last case the outcome of the last attempt is
   * unknown.
   */
  async run<T>(act: () => Promise<T>, stopped: () => boolean = () => false): Promise<T> {
    for (let wait = this.#options.firstWait; ; wait = Math.min(wait * 2, this.#options.longestWait)) {
      if (this.#closing.signal.aborted || stopped()) throw new StenoError('DRAINING');
      try {
        const result = await act();
        if (this.#failing) {
          this.#failing = false;
          this.#options.onRecovery();
        }
        return result;
      } catch (error) {
        if (error instanceof StenoError && final.has(error.code)) throw error;
        if (!this.#failing) {
          this.#failing = true;
          this.#options.onOutage(error);
        }
      }
      await new Promise<void>((resolve) => {
        const { signal } = this.#closing;
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, wait);
        signal.addEventListener('abort', done);
        if (signal.aborted) done();
      });
    }
  }

  /** Stops retrying; a running attempt is not interrupted. */
  close(): void {
    this.#closing.abort();
  }
}
