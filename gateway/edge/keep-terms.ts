/** On which terms a connection outlives the network that carries it (resumable-wire.ts). Decision 0165. */

export interface WireTimers {
  /** Monotonic ms. */
  now(): number;
  /** Calls once after so many milliseconds; returns a function that calls it off. */
  after(ms: number, callback: () => void): () => void;
}

/** They keep no process from ending. */
export const realTimers: WireTimers = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** On which terms a connection outlives its network. */
export interface KeepTerms {
  /** How long it waits for the browser; 0: not any more. Asked when the network is lost. */
  readonly ms: () => number;
  /** Throws the refusal of a browser that comes back from this address. */
  readonly assertFrom: (source: string) => void;
  lost(): void;
  /** `ms`: how long it was away; 0 when a newer connection replaced one that was not known to be lost. */
  resumed(ms: number, source: string): void;
  refused(source: string, why: string): void;
}

/** What the browser needs to come back. */
export interface Ticket {
  readonly id: string;
  readonly secret: Buffer;
}
