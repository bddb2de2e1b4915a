/**
 * Detects input that arrives faster than anybody types: pastes, and programs that type.
 *
 *     none ──message larger than a key press, or bracketed-paste mark──► run ──`GAP_MS` without input, `MAX_RUN`, end──► fact, none
 *
 * A run of up to `SECRET_BYTES` is forgotten: it may be a secret, whose length is not stored (typed.ts). Only line ends and the mark
 * are looked at, never other content. Limits: a paste whose mark the client splits over two messages counts as not bracketed, and
 * one that arrives with pauses longer than `GAP_MS` counts as several. Tested in pastes.test.ts.
 */
import type { PasteFact } from '#schemas/recording/line.js';

/** Messages larger than this are not key presses. */
const KEY_BYTES = 64;
export const GAP_MS = 250;
/** Bytes of one fact; a longer run yields several. */
export const MAX_RUN = 1 << 20;
const MARK = Buffer.from('\x1b[200~');

interface Run {
  readonly from: number;
  at: number;
  bytes: number;
  lines: number;
  bracketed: boolean;
  /** The last byte was a carriage return: a newline right after it does not count as another line end. */
  cr: boolean;
}

export class PasteWatch {
  readonly #least: number;
  #run: Run | null = null;

  /** `least`: runs of up to this many bytes are forgotten. */
  constructor(least: number) {
    this.#least = least;
  }

  /** Session time in ms at which the run is over. */
  get dueAt(): number {
    return this.#run === null ? Infinity : this.#run.at + GAP_MS;
  }

  /** Takes input from the user; returns the run that ended before this input, or that reaches `MAX_RUN` with it. */
  typed(bytes: Buffer, now: number): PasteFact | null {
    const before = this.due(now);
    if (this.#run === null && bytes.length <= KEY_BYTES && !bytes.includes(MARK)) return before;
    const run = (this.#run ??= { from: now, at: now, bytes: 0, lines: 0, bracketed: false, cr: false });
    run.at = now;
    run.bytes += bytes.length;
    run.bracketed ||= bytes.includes(MARK);
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === 0x0d || (byte === 0x0a && !run.cr)) run.lines += 1;
      run.cr = byte === 0x0d;
    }
    return before ?? (run.bytes >= MAX_RUN ? this.end() : null);
  }

  due(now: number): PasteFact | null {
    return now >= this.dueAt ? this.end() : null;
  }

  /** Ends the current run and returns it. */
  end(): PasteFact | null {
    const run = this.#run;
    this.#run = null;
    if (run === null || run.bytes <= this.#least) return null;
    return { fact: 'paste', bytes: run.bytes, lines: run.lines, bracketed: run.bracketed, ms: run.at - run.from };
  }
}
