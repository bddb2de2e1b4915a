/**
 * Reads a byte stream that arrives in pieces: a protocol is a generator that asks for bytes, and `Feed` answers.
 *
 * `yield 9` returns nine contiguous bytes: a view into the caller's chunk if they are contiguous there, otherwise into
 * a scratch buffer; both are valid only until the next `yield`. `yield { length, to }` passes the next `length` bytes
 * to `to` in slices as they arrive, without copying: the bulk path. `yield 'next'` waits for a byte without taking it,
 * for protocols whose next step depends on the other side's messages so far. A generator that throws `Lost` (or anything
 * else) ends the feed; `push` never throws. Tested in feed.test.ts.
 */

export interface Passage {
  readonly length: number;
  readonly to: (slice: Buffer) => void;
}
export type Ask = number | Passage | 'next';
export type Reading<T = void> = Generator<Ask, T, Buffer>;

/** Most bytes that one ask may buffer. */
export const MAX_ASK = 65_536;
const FIRST_SCRATCH = 64;
const MAX_KEPT_SCRATCH = 8192;

/** Thrown when the stream does not, or no longer, follow the expected protocol. The message gives the reason and goes into the recording. */
export class Lost extends Error {
  override readonly name = 'Lost';
}

const empty = Buffer.alloc(0);
const nowhere = (): void => undefined;

/** Drops the next `length` bytes. */
export function skip(length: number): Passage {
  return { length, to: nowhere };
}

export class Feed {
  private readonly reading: Reading;
  private readonly ended: (reason: string | null) => void;
  private ask: Ask | null = 0;
  /** Bytes left of the passage being read. */
  private left = 0;
  private scratch = empty;
  private held = 0;
  /** Bytes that the reading has consumed so far. */
  taken = 0;

  /** `ended` is called once: with `null` if the reading is complete, otherwise with the reason why it was given up. */
  constructor(reading: Reading, ended: (reason: string | null) => void) {
    this.reading = reading;
    this.ended = ended;
    this.step(empty);
  }

  get active(): boolean {
    return this.ask !== null;
  }

  /** Bytes of memory held; used by the tests of the bound. */
  get memory(): number {
    return this.scratch.length;
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (this.ask !== null) {
      const available = bytes.length - at;
      if (typeof this.ask === 'number') {
        if (this.held === 0 && available >= this.ask) {
          const view = bytes.subarray(at, at + this.ask);
          at += view.length;
          this.taken += view.length;
          this.step(view);
          continue;
        }
        if (available === 0) return;
        const piece = Math.min(available, this.ask - this.held);
        this.reserve(this.ask);
        bytes.copy(this.scratch, this.held, at, at + piece);
        at += piece;
        this.taken += piece;
        this.held += piece;
        if (this.held < this.ask) return;
        this.held = 0;
        this.step(this.scratch.subarray(0, this.ask));
        if (this.scratch.length > MAX_KEPT_SCRATCH) this.scratch = empty;
      } else if (this.ask === 'next') {
        if (available === 0) return;
        this.step(empty);
      } else {
        if (available === 0) return;
        const piece = Math.min(available, this.left);
        const slice = piece === bytes.length ? bytes : bytes.subarray(at, at + piece);
        at += piece;
        this.left -= piece;
        this.taken += piece;
        try {
          this.ask.to(slice);
        } catch (error) {
          this.finish(reasonOf(error));
          return;
        }
        // `to` may have stopped this feed.
        if (this.left === 0 && this.ask !== null) this.step(empty);
      }
    }
  }

  /** Ends the reading without calling `ended`. */
  stop(): void {
    this.ask = null;
    this.scratch = empty;
  }

  private step(answer: Buffer): void {
    try {
      for (let bytes = answer; ;) {
        const next = this.reading.next(bytes);
        if (next.done === true) {
          this.finish(null);
          return;
        }
        // A reading may stop its own feed while it runs.
        if (this.ask === null) return;
        const ask = next.value;
        if (typeof ask === 'number') {
          if (!(ask >= 0 && ask <= MAX_ASK)) throw new Lost('a field is too long');
          this.ask = ask;
          if (ask > 0) return;
        } else if (ask === 'next') {
          this.ask = ask;
          return;
        } else {
          if (!(ask.length >= 0)) throw new Lost('a length is negative');
          this.ask = ask;
          this.left = ask.length;
          if (ask.length > 0) return;
        }
        bytes = empty;
      }
    } catch (error) {
      this.finish(reasonOf(error));
    }
  }

  private finish(reason: string | null): void {
    if (this.ask === null) return;
    this.stop();
    this.ended(reason);
  }

  private reserve(size: number): void {
    if (this.scratch.length >= size) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_SCRATCH, 2 ** Math.ceil(Math.log2(size))));
    this.scratch.copy(grown, 0, 0, this.held);
    this.scratch = grown;
  }
}

/** An error other than `Lost` is a bug in the observer; the stream is given up all the same. */
function reasonOf(error: unknown): string {
  return error instanceof Lost ? error.message : `the observer failed: ${error instanceof Error ? error.name : 'unknown'}`;
}
