/** Terms on which a connection outlives the network that carries it (resumable-wire.ts). Decision 0165. */

export interface WireTimers {
  /** Monotonic ms. */
  now(): number;
  /** Calls `callback` once after `ms` milliseconds; returns a function that cancels the call. */
  after(ms: number, callback: () => void): () => void;
}

/** These timers do not keep the process alive. */
export const realTimers: WireTimers = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** Terms on which a connection outlives its network. */
export interface KeepTerms {
  /** How long the connection waits for the browser; 0: no longer. Called when the network is lost. */
  readonly ms: () => number;
  /** Throws if a browser may not come back from this address. */
  readonly assertFrom: (source: string) => void;
  lost(): void;
  /** `ms`: how long the browser was away; 0 if a newer connection replaced one that was not known to be lost. */
  resumed(ms: number, source: string): void;
  refused(source: string, why: string): void;
}

/** The credentials with which the browser can come back. */
export interface Ticket {
  readonly id: string;
  readonly secret: Buffer;
}
