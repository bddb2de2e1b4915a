/**
 * Decides whether and when a connection on which nobody has been admitted may begin: a turn of its source
 * (admission-queue.ts), then a slot (runtime/http/stranger-slots.ts). One that gets no slot is closed before a byte is read.
 *
 *     arrived ──turn──► slot ──admitted──► turn and slot are free
 *        │               └──closed, displaced──► turn and slot are free
 *        └──waits too long, or no slot──► refused, closed
 *
 * Tested in gateway/ssh/server/strangers.test.ts.
 */
import type { Log } from '#runtime/log.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { Slot, SlotLimits, SlotParts } from '#runtime/http/stranger-slots.js';
import { sourceKey } from '#schemas/base/ip-address.js';
import { AdmissionQueue } from './admission-queue.js';

export interface ListenerLimits {
  readonly slots: SlotLimits;
  /** Connections that wait for a turn of their source. */
  readonly waiting: number;
  readonly waitingPerSource: number;
  /** Milliseconds that a connection has to be admitted, and before that to get a turn. */
  readonly admissionMs: number;
}
export const defaultLimits: ListenerLimits = { slots: defaultSlots, waiting: 1_000, waitingPerSource: 500, admissionMs: 20_000 };

/** The connection that waits. */
export interface Entering {
  readonly destroyed: boolean;
  destroy(): void;
}

export interface Admissions {
  /** Calls `begin`, now or later, or destroys the connection; `refused` gets the reason if there is one to log. */
  enter(source: string, connection: Entering, begin: (slot: Slot) => void, refused: (reason: string) => void): void;
  /** Reports what is still uncounted. */
  close(): void;
}

/** Admissions counted in this process. */
export class LocalAdmissions implements Admissions {
  readonly #queue: AdmissionQueue;
  readonly #slots: StrangerSlots;

  constructor({ slots, waiting, waitingPerSource, admissionMs }: ListenerLimits, parts: { readonly log: Log } & Pick<SlotParts, 'report'>) {
    this.#queue = new AdmissionQueue({ perSource: slots.perSource, waiting, waitingPerSource, waitMs: admissionMs });
    this.#slots = new StrangerSlots(slots, parts);
  }

  enter(source: string, connection: Entering, begin: (slot: Slot) => void, refused: (reason: string) => void): void {
    this.#queue.enter(
      sourceKey(source),
      (done) => {
        if (connection.destroyed) return done();
        const slot = this.#slots.take(source, () => connection.destroy());
        if (slot === null) {
          connection.destroy();
          return done();
        }
        begin({
          admitted: () => {
            slot.admitted();
            done();
          },
          release: () => {
            slot.release();
            done();
          },
        });
      },
      (reason) => {
        connection.destroy();
        refused(reason);
      },
    );
  }

  close(): void {
    this.#slots.close();
  }
}
