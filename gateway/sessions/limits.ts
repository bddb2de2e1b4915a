/**
 * Limits how long a connection to a node may last: maximum length, idle time, expiry of the certificate. slots.ts limits how many
 * connections a user has at a time.
 *
 *     running ──one minute left──► warned ──time is over──► ended
 *        ▲            │
 *        └─ activity, or roles that allow more
 *
 * One timer is set to the next moment that matters; a keystroke only notes its time. The limits come from the latest snapshot and count
 * from the beginning of the connection. Activity is any message from the client and, without a terminal, data in either direction: a
 * program that redraws a screen does not keep the connection open, a download does.
 * Tested in limits.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SessionLimits } from '#schemas/policy/node.js';

/** Milliseconds. */
const WARNING_MS = 60_000;
/** Timers longer than 24 days overflow, and the clock may be changed while one runs. */
const LONGEST_TIMER_MS = 3_600_000;

export interface LimitClock {
  /** ms since 1970. */
  now(): number;
  /** Calls `callback` once after `ms` milliseconds; returns a function that cancels the call. */
  after(ms: number, callback: () => void): () => void;
}

export const realTimers = (now: () => number): LimitClock => ({
  now,
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
});

export interface LimitEvents {
  /** Shows a line on the terminals of the connection. */
  warn(line: string): void;
  end(error: StenoError): void;
}

interface End {
  readonly at: number;
  readonly error: () => StenoError;
  readonly warning: string;
}

export class LimitTimer {
  readonly #clock: LimitClock;
  readonly #events: LimitEvents;
  readonly #startedAt: number;
  /** ms since 1970. */
  readonly #certificateEnd: number;
  #limits: SessionLimits | undefined;
  #activeAt: number;
  /** The end for which a warning was shown. */
  #warned = 0;
  #cancel: (() => void) | undefined;
  #over = false;

  /** `certificateEnd`: ms since 1970. Nothing is limited before `set`. */
  constructor(certificateEnd: number, clock: LimitClock, events: LimitEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#certificateEnd = certificateEnd;
    this.#startedAt = clock.now();
    this.#activeAt = this.#startedAt;
  }

  /** Sets the current limits of the roles. */
  set(limits: SessionLimits): void {
    if (this.#over) return;
    this.#limits = limits;
    this.#look();
  }

  /** Called for every message that counts as activity, so it must be cheap. */
  active(): void {
    this.#activeAt = this.#clock.now();
  }

  stop(): void {
    this.#over = true;
    this.#cancel?.();
  }

  #look(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const end = this.#nextEnd();
    if (end === undefined || this.#over) return;
    const now = this.#clock.now();
    const left = end.at - now;
    if (left <= 0) {
      this.#over = true;
      return this.#events.end(end.error());
    }
    if (left <= WARNING_MS && this.#warned !== end.at) {
      this.#warned = end.at;
      // No warning if the end was near from the start.
      if (end.at - this.#startedAt > WARNING_MS) this.#events.warn(`${end.warning} in ${seconds(left)}`);
    }
    const wait = left > WARNING_MS ? left - WARNING_MS : left;
    this.#cancel = this.#clock.after(Math.min(wait, LONGEST_TIMER_MS), () => this.#look());
  }

  #nextEnd(): End | undefined {
    const { maxSessionLength, idleTimeout, disconnectExpiredCert } = this.#limits ?? {};
    const ends: End[] = [];
    if (maxSessionLength != null) {
      ends.push({
        at: this.#startedAt + maxSessionLength * 1000,
        error: () => new StenoError('SESSION_TOO_LONG', length(maxSessionLength)),
        warning: 'this session has lasted as long as your roles allow, and ends',
      });
    }
    if (idleTimeout != null) {
      ends.push({
        at: this.#activeAt + idleTimeout * 1000,
        error: () => new StenoError('SESSION_IDLE', length(idleTimeout)),
        warning: 'this session is idle, and ends',
      });
    }
    if (disconnectExpiredCert === true) {
      ends.push({
        at: this.#certificateEnd,
        error: () => new StenoError('CERT_EXPIRED'),
        warning: 'your certificate expires, and this session ends',
      });
    }
    return ends.sort((a, b) => a.at - b.at)[0];
  }
}

function seconds(ms: number): string {
  const count = Math.max(1, Math.round(ms / 1000));
  return count === 60 ? 'one minute' : `${count} s`;
}

function length(count: number): string {
  return count % 3600 === 0 ? `${count / 3600} h` : count % 60 === 0 ? `${count / 60} min` : `${count} s`;
}
