/**
 * Batches of rows on their way to the gateway that signs them, in the order they were made, since a gateway ignores rows
 * that arrive out of order as duplicates. A batch belongs to one session.
 *
 *     waiting ──ack──► stored
 *        └──refused, or the gateway cannot be reached for `GONE_MS`──► to ingest, unsigned: losses are reported there
 *
 * A gateway acknowledges rows once ingest has stored them, which may take a minute. The memory of a batch is therefore given
 * back at once and a copy waits, up to `MAX_HELD_BYTES`; beyond that the collecting thread makes no more batches for any
 * session. To keep one unreachable gateway from blocking the others for long, the surplus goes to ingest after `HINDERS_MS`.
 * Tested in logged-batches.test.ts.
 */
import type { BatchSource, EventBatch } from '#runtime/uplink/source.js';

export const MAX_HELD_BYTES = 16 << 20;
/** Also the time after which a gateway closes a log that receives nothing. */
export const GONE_MS = 24 * 3_600_000;
export const HINDERS_MS = 5 * 60_000;
const LOOK_MS = 60_000;

export interface LoggedBatchesParts {
  /** Its rows are stored; `payload`: its memory, unless `parked` gave it back. */
  readonly stored: (batch: string, payload: Uint8Array | undefined) => void;
  /** A copy waits; its memory is given back. */
  readonly parked: (batch: string, payload: Uint8Array) => void;
  /** The gateway does not accept it. The memory of `payload` belongs to the callee. */
  readonly unsigned: (batch: EventBatch) => void;
  /** ms of a clock that never goes back. */
  readonly now: () => number;
}

interface Waiting {
  readonly batch: EventBatch;
  /** Its memory was not given back yet. */
  readonly whole: boolean;
  readonly since: number;
}

export class LoggedBatches implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #parts: LoggedBatchesParts;
  readonly #waiting = new Map<string, Waiting>();
  readonly #timer: NodeJS.Timeout;
  #handedOut = new Set<string>();
  #held = 0;
  /** Since when the gateway has been unreachable; null if it is reachable. */
  #downSince: number | null;

  constructor(parts: LoggedBatchesParts) {
    this.#parts = parts;
    this.#downSince = parts.now();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  get empty(): boolean {
    return this.#waiting.size === 0;
  }

  add({ id, payload }: { readonly id: string; readonly payload: Uint8Array }): void {
    const whole = this.#held + payload.length > MAX_HELD_BYTES;
    const batch: EventBatch = { id, table: 'kernel', payload: whole ? payload : new Uint8Array(payload) };
    this.#waiting.set(id, { batch, whole, since: this.#parts.now() });
    if (!whole) {
      this.#held += payload.length;
      this.#parts.parked(id, payload);
    }
    this.onWork?.();
  }

  next(): EventBatch | null {
    for (const [id, { batch }] of this.#waiting) {
      if (this.#handedOut.has(id)) continue;
      this.#handedOut.add(id);
      return batch;
    }
    return null;
  }

  rewind(underWay: ReadonlySet<string>): void {
    this.#handedOut = new Set(underWay);
  }

  acknowledged(id: string): void {
    const found = this.#forget(id);
    if (found !== null) this.#parts.stored(id, found.whole ? found.batch.payload : undefined);
  }

  refused(id: string): void {
    const found = this.#forget(id);
    if (found !== null) this.#parts.unsigned(found.batch);
  }

  /** Whether there is a connection to the gateway. */
  reachable(up: boolean): void {
    this.#downSince = up ? null : (this.#downSince ?? this.#parts.now());
  }

  /** Sends to ingest what has waited too long for an unreachable gateway. */
  look(): void {
    const now = this.#parts.now();
    const down = this.#downSince === null ? 0 : now - this.#downSince;
    for (const [id, { whole, since }] of [...this.#waiting]) {
      const limit = whole ? HINDERS_MS : GONE_MS;
      if (down >= limit && now - since >= limit) this.refused(id);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #forget(id: string): Waiting | null {
    const found = this.#waiting.get(id);
    if (found === undefined) return null;
    this.#waiting.delete(id);
    this.#handedOut.delete(id);
    if (!found.whole) this.#held -= found.batch.payload.length;
    return found;
  }
}
