/**
 * Faults on demand, for stores that are otherwise real.
 *
 * Each failure has two variants, both of which callers must survive: the operation was not done, or it was done and reported
 * as failed. Used by the `faulty.ts` wrappers; tested in `stores/faults.test.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';

export type Fault =
  | { readonly kind: 'fail-before'; readonly error: Error }
  | { readonly kind: 'fail-after'; readonly error: Error }
  | { readonly kind: 'hold'; readonly reached: () => void; readonly until: Promise<void> };

/** A caller stopped just before its operation. */
export interface Held {
  /** Resolves when the operation arrives and waits. */
  readonly reached: Promise<void>;
  /** Lets it continue. Calling it again does nothing. */
  readonly release: () => void;
}

export class FaultPlan<Operation extends string> {
  readonly #queues = new Map<Operation, Fault[]>();
  readonly #calls = new Map<Operation, number>();
  #refusing: Error | undefined;

  /** The next `times` calls fail and nothing was done. */
  failBefore(operation: Operation, times = 1, error: Error = unavailable('fault: not done')): void {
    for (let i = 0; i < times; i += 1) this.#queue(operation).push({ kind: 'fail-before', error });
  }

  /** The next `times` calls are done, then reported as failed. */
  failAfter(operation: Operation, times = 1, error: Error = unavailable('fault: done')): void {
    for (let i = 0; i < times; i += 1) this.#queue(operation).push({ kind: 'fail-after', error });
  }

  /** The next call waits before it does anything, until it is released. */
  hold(operation: Operation): Held {
    let reached = (): void => undefined;
    let release = (): void => undefined;
    const arrival = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#queue(operation).push({ kind: 'hold', reached, until });
    return { reached: arrival, release };
  }

  /** Every call fails, nothing is done, until `accept()`. */
  refuseAll(error: Error = unavailable('fault: refused')): void {
    this.#refusing = error;
  }

  accept(): void {
    this.#refusing = undefined;
  }

  /** How many times the operation was called, failures included. */
  calls(operation: Operation): number {
    return this.#calls.get(operation) ?? 0;
  }

  async run<T>(operation: Operation, act: () => Promise<T>): Promise<T> {
    this.#calls.set(operation, this.calls(operation) + 1);
    if (this.#refusing !== undefined) throw this.#refusing;
    const fault = this.#queue(operation).shift();
    if (fault === undefined) return await act();
    switch (fault.kind) {
      case 'fail-before':
        throw fault.error;
      case 'fail-after':
        await act();
        throw fault.error;
      case 'hold':
        fault.reached();
        await fault.until;
        return await act();
    }
  }

  #queue(operation: Operation): Fault[] {
    let queue = this.#queues.get(operation);
    if (queue === undefined) this.#queues.set(operation, (queue = []));
    return queue;
  }
}

function unavailable(detail: string): StenoError {
  return new StenoError('STORE_UNAVAILABLE', detail);
}
