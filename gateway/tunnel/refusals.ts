/**
 * Limits for strangers at the tunnel port: connections, requests, and refusals written to the audit.
 *
 * Tested in test/agent/tunnel.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import { sourceKey } from '#schemas/base/ip-address.js';
import type { AuditEntry } from '../recorder/recorder.js';

const WINDOW_MS = 60_000;
/** Refusals per minute written one by one. */
const WRITTEN = 60;
/** Joins and challenges per minute from one source (an IPv4 address, or an IPv6 /64), and in total. */
const ASKED_BY_ONE = 60;
const ASKED_BY_ALL = 1_200;

export class Refusals {
  readonly #audit: (entry: AuditEntry) => void;
  readonly #now: () => number;
  #since = 0;
  #written = 0;
  #left = 0;
  #asked = 0;
  readonly #askedBy = new Map<string, number>();

  constructor(audit: (entry: AuditEntry) => void, now: () => number) {
    this.#audit = audit;
    this.#now = now;
  }

  refused(event: string, source: string, error: StenoError, node = ''): void {
    this.#roll();
    if (this.#written >= WRITTEN) {
      this.#left += 1;
      return;
    }
    this.#written += 1;
    this.#audit({
      event,
      outcome: 'failure',
      code: error.code,
      reason: error.message.replace(/[^ -~]/g, '?').slice(0, 512),
      source_address: source,
      node,
    });
  }

  /** Whether the source may make a request now. */
  mayAsk(source: string): boolean {
    this.#roll();
    const key = sourceKey(source);
    const by = this.#askedBy.get(key) ?? 0;
    if (by >= ASKED_BY_ONE || this.#asked >= ASKED_BY_ALL) return false;
    this.#asked += 1;
    this.#askedBy.set(key, by + 1);
    return true;
  }

  #roll(): void {
    const now = this.#now();
    if (now - this.#since < WINDOW_MS) return;
    if (this.#left > 0) this.#audit({ event: 'audit.suppressed', outcome: 'success', data: JSON.stringify({ refusals: this.#left }) });
    this.#since = now;
    this.#written = 0;
    this.#left = 0;
    this.#asked = 0;
    this.#askedBy.clear();
  }
}
