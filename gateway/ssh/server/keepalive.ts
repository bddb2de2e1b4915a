/**
 * Detects whether a client is still connected: a participant may lose their network without the gateway noticing.
 *
 *     heard ──nothing for SILENT_MS──► silent ──anything──► heard
 *
 * Every `ASK_MS` the gateway sends a request that every client has to answer (RFC 4254 section 5.4). While the client is silent, no further
 * requests are sent: pending ones are answered once the network is back. Tested in keepalive.test.ts, and with stock `ssh` in
 * moderated.test.ts.
 */
import type { WireTimers } from '../../edge/keep-terms.js';

export const ASK_MS = 8_000;
export const SILENT_MS = 24_000;

export interface KeepaliveEvents {
  /** Sends a request that the client must answer. */
  ask(): void;
  silent(is: boolean): void;
}

export class Keepalive {
  readonly #timers: WireTimers;
  readonly #events: KeepaliveEvents;
  #heardAt: number;
  #silent = false;
  #cancel: () => void = () => undefined;

  constructor(timers: WireTimers, events: KeepaliveEvents) {
    this.#timers = timers;
    this.#events = events;
    this.#heardAt = timers.now();
    this.#wait();
  }

  /** The client has sent something. */
  heard(): void {
    this.#heardAt = this.#timers.now();
    if (!this.#silent) return;
    this.#silent = false;
    this.#events.silent(false);
  }

  stop(): void {
    this.#cancel();
  }

  #wait(): void {
    this.#cancel = this.#timers.after(ASK_MS, () => {
      this.#wait();
      if (this.#silent) return;
      if (this.#timers.now() - this.#heardAt < SILENT_MS) return this.#events.ask();
      this.#silent = true;
      this.#events.silent(true);
    });
  }
}
