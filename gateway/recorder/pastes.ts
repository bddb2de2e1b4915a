/**
 * Much input at once, which nobody types: pastes, and programs that type.
 *
 *     none ──a message larger than keys are, or the mark of a bracketed paste──► run ──`GAP_MS` without input, `MAX_RUN`, end──► told, none
 *
 * A run of up to `SECRET_BYTES` is forgotten: it may be a secret, whose length is not stored (typed.ts). Content is never looked at
 * but for line ends and the mark. Limits: a paste whose mark is cut in two by the client counts as one that is not bracketed, and one
 * that arrives slower than `GAP_MS` as several. Tested in pastes.test.ts.
 */
import type { PasteFact } from '#schemas/recording/line.js';

/** Messages larger than this are not key presses. */
const KEY_BYTES = 64;
export const GAP_MS = 250;
/** What goes on for longer is told in pieces. */
export const MAX_RUN = 1 << 20;
const MARK = Buffer.from('\x1b[200~');

interface Run {
  readonly from: number;
  at: number;
  bytes: number;
  lines: number;
  bracketed: boolean;
  /** The last byte was a carriage return: a newline after it ends no further line. */
  cr: boolean;
}

export class PasteWatch {
  readonly #least: number;
  #run: Run | null = null;

  /** Runs of up to so many bytes are forgotten. */
  constructor(least: number) {
    this.#least = least;
  }

  /** Session time in ms at which the run is over. */
  get dueAt(): number {
    return this.#run === null ? Infinity : this.#run.at + GAP_MS;
  }

  /** Takes input from the user; answers the run that was over before it, or is too long with it. */
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

  /** The run, whether or not it is over. */
  end(): PasteFact | null {
    const run = this.#run;
    this.#run = null;
    if (run === null || run.bytes <= this.#least) return null;
    return { fact: 'paste', bytes: run.bytes, lines: run.lines, bracketed: run.bracketed, ms: run.at - run.from };
  }
}
