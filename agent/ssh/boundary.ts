/**
 * The boundary of one connection: what fails inside it ends this connection, and the service goes on for everybody else.
 *
 *     event of the connection's socket ──► every handler of it runs inside ──throws──► logged, the connection ends
 *     whatever they start (processes, sockets, timers) carries it along ──throws later──► `containUncaught` finds it
 *
 * One place instead of one guard a handler: the emitter that all other events come from is watched (`watch`), and
 * AsyncLocalStorage follows what its handlers begin. What belongs to no connection is still the service's end.
 * Tested in test/agent/boundary.test.ts, with an error in every handler.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { EventEmitter } from 'node:events';
import type { Log } from '#runtime/log.js';

const current = new AsyncLocalStorage<Boundary>();

export class Boundary {
  readonly #log: Log;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #end: () => void;
  #failed = false;

  /** `end`: takes the connection down; called once. `fields`: for the log. */
  constructor(log: Log, fields: Readonly<Record<string, unknown>>, end: () => void) {
    this.#log = log;
    this.#fields = fields;
    this.#end = end;
  }

  /** Runs `work` inside. Undefined when it throws; what it promises may reject, too. */
  run<T>(work: () => T): T | undefined {
    return current.run(this, () => {
      try {
        const result = work();
        if (result instanceof Promise) result.catch((error: unknown) => this.fail(error));
        return result;
      } catch (error) {
        this.fail(error);
        return undefined;
      }
    });
  }

  /** Every listener of `emitter`, now and later, runs inside. */
  watch(emitter: EventEmitter): void {
    const emit = emitter.emit.bind(emitter) as EventEmitter['emit'];
    emitter.emit = (name: string | symbol, ...args: unknown[]): boolean =>
      this.run(() => emit(name as string, ...(args as never[]))) ?? true;
  }

  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    try {
      this.#log.error({ ...this.#fields, err: error }, 'a connection ended by a fault of the node service');
    } finally {
      // Not amid whatever failed.
      setImmediate(() => {
        try {
          this.#end();
        } catch (cause) {
          this.#log.error({ ...this.#fields, err: cause }, 'a connection could not be ended');
        }
      });
    }
  }
}

/** Runs what belongs to no connection, though one happens to cause it. */
export function outside<T>(work: () => T): T {
  return current.exit(work);
}

/** For a callback that comes from elsewhere: runs inside the boundary that it was made in. */
export function guarded<Args extends readonly unknown[]>(callback: (...args: Args) => void): (...args: Args) => void {
  const boundary = current.getStore();
  return boundary === undefined ? callback : (...args) => void boundary.run(() => callback(...args));
}

/** True when the error that nobody caught is a connection's, which ends. For the handlers of the process. */
export function containUncaught(error: unknown): boolean {
  const boundary = current.getStore();
  boundary?.fail(error);
  return boundary !== undefined;
}
