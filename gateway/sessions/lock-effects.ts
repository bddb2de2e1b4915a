/**
 * Reports to the authority which locks this gateway has applied, and what each of them ended.
 *
 * Every lock is reported once, even if it ended nothing: a missing report means that a gateway has not received the lock. A failed report
 * is repeated with the next change and every RETRY_MS. Nothing waits for a report. Tested in lock-effects.test.ts.
 */
import type { Lock } from '#schemas/documents/lock.js';
import { MAX_LOCK_EFFECTS } from '#schemas/lock-effect.js';
import type { LockEffect } from '#schemas/lock-effect.js';
import type { Log } from '#runtime/log.js';

const RETRY_MS = 5_000;

interface Applied extends LockEffect {
  /** The lock as it was applied: another lock may get the same id. */
  readonly text: string;
}

export class LockEffectReporter {
  readonly #tell: (effects: readonly LockEffect[]) => Promise<void>;
  readonly #log: Log;
  readonly #applied = new Map<string, Applied>();
  readonly #untold = new Set<string>();
  #telling = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(tell: (effects: readonly LockEffect[]) => Promise<void>, log: Log) {
    this.#tell = tell;
    this.#log = log;
  }

  /** Called after every snapshot, with all locks in force and the number of connections and sessions that each has just ended. */
  applied(locks: readonly Lock[], ended: ReadonlyMap<string, Pick<LockEffect, 'connections' | 'sessions'>>): void {
    const inForce = new Set<string>();
    for (const lock of locks) {
      inForce.add(lock.id);
      const text = JSON.stringify(lock);
      const known = this.#applied.get(lock.id);
      const before = known?.text === text ? known : undefined;
      const now = ended.get(lock.id);
      if (before !== undefined && now === undefined) continue;
      this.#applied.set(lock.id, {
        text,
        lock: lock.id,
        connections: (before?.connections ?? 0) + (now?.connections ?? 0),
        sessions: (before?.sessions ?? 0) + (now?.sessions ?? 0),
      });
      this.#untold.add(lock.id);
    }
    for (const id of this.#applied.keys()) {
      if (inForce.has(id)) continue;
      this.#applied.delete(id);
      this.#untold.delete(id);
    }
    void this.#send();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #send(): Promise<void> {
    if (this.#telling || this.#closed) return;
    this.#telling = true;
    clearTimeout(this.#timer);
    try {
      while (this.#untold.size > 0) {
        const told = [...this.#untold].slice(0, MAX_LOCK_EFFECTS);
        for (const id of told) this.#untold.delete(id);
        const effects = told
          .flatMap((id) => this.#applied.get(id) ?? [])
          .map(({ lock, connections, sessions }) => ({ lock, connections, sessions }));
        try {
          await this.#tell(effects);
        } catch (error) {
          for (const id of told) if (this.#applied.has(id)) this.#untold.add(id);
          throw error;
        }
      }
    } catch (error) {
      this.#log.debug({ err: error }, 'failed to report applied locks to the authority');
      if (!this.#closed) this.#timer = setTimeout(() => void this.#send(), RETRY_MS).unref();
    } finally {
      this.#telling = false;
    }
  }
}
