/**
 * The fault boundary of one connection: an error inside it ends this connection only.
 *
 *     event of the connection's socket ──► every handler runs inside ──throws──► logged, the connection ends
 *     everything they start (processes, sockets, timers) inherits it ──throws later──► `containUncaught` finds it
 *
 * This replaces a guard in every handler: `watch` wraps the emitter that all other events originate from, and
 * AsyncLocalStorage follows everything its handlers start. An error outside any connection still ends the service. Tested in
 * test/agent/boundary.test.ts, with an error in every handler.
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

  /** `end`: closes the connection; called once. `fields`: for the log. */
  constructor(log: Log, fields: Readonly<Record<string, unknown>>, end: () => void) {
    this.#log = log;
    this.#fields = fields;
    this.#end = end;
  }

  /** Runs `work` inside the boundary. Undefined if it throws; a promise it returns may reject, too. */
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

  /** Runs every current and future listener of `emitter` inside the boundary. */
  watch(emitter: EventEmitter): void {
    const emit = emitter.emit.bind(emitter) as EventEmitter['emit'];
    emitter.emit = (name: string | symbol, ...args: unknown[]): boolean =>
      this.run(() => emit(name as string, ...(args as never[]))) ?? true;
  }

  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    try {
      this.#log.error({ ...this.#fields, err: error }, 'a connection was ended by a fault in the node service');
    } finally {
      // Not within the failing call.
      setImmediate(() => {
        try {
          this.#end();
        } catch (cause) {
          this.#log.error({ ...this.#fields, err: cause }, 'failed to end a connection');
        }
      });
    }
  }
}

/** Runs work that belongs to no connection, although one happens to trigger it. */
export function outside<T>(work: () => T): T {
  return current.exit(work);
}

/** For a callback called from elsewhere: runs it inside the boundary in which it was created. */
export function guarded<Args extends readonly unknown[]>(callback: (...args: Args) => void): (...args: Args) => void {
  const boundary = current.getStore();
  return boundary === undefined ? callback : (...args) => void boundary.run(() => callback(...args));
}

/** True if an uncaught error belongs to a connection, which is then ended. For the process's handlers. */
export function containUncaught(error: unknown): boolean {
  const boundary = current.getStore();
  boundary?.fail(error);
  return boundary !== undefined;
}
