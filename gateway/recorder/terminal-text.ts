/**
 * Text of a terminal on its way to the log. Input that output has just echoed waits for that output, so that a key and its echo are one
 * write. Bytes that are not UTF-8 are written with U+FFFD, followed by a `b` line with the exact bytes. Tested in recorder.test.ts and,
 * against separate writes, in ../spool/signed-log.test.ts.
 */
import { isUtf8 } from 'node:buffer';
import type { LineBody } from '#schemas/recording/line.js';
import { wholeUtf8 } from '../spool/escape.js';
import type { SignedLog } from '../spool/signed-log.js';

/** Raw bytes of terminal text per `o` or `i` and `b` line pair; escaping grows them at most sixfold. */
const MIXED_BYTES = 10_000;

export class TerminalText {
  readonly #log: SignedLog;
  /** Echoed input that waits, and whether input waits now. */
  #echoed: Buffer | null = null;
  #waits = false;

  constructor(log: SignedLog) {
    this.#log = log;
  }

  /** Runs `release`, whose last `input` waits for `output`, which must be the next call. */
  releasing(release: () => void): void {
    this.#echoed = null;
    this.#waits = true;
    try {
      release();
    } finally {
      this.#waits = false;
    }
  }

  /** All methods that write throw as `SignedLog.text` does. */
  input(bytes: Buffer, now: number): void {
    this.#writeEchoed(now);
    if (this.#waits && isUtf8(bytes)) this.#echoed = bytes;
    else this.#write('i', bytes, now);
  }

  line(body: LineBody, now: number): void {
    this.#writeEchoed(now);
    this.#log.line(body, now);
  }

  /** Output, which may be empty. */
  output(bytes: Buffer, now: number): void {
    const echoed = this.#echoed;
    if (echoed !== null && isUtf8(bytes)) {
      this.#echoed = null;
      return this.#log.echo(echoed, bytes, now);
    }
    this.#writeEchoed(now);
    if (bytes.length > 0) this.#write('o', bytes, now);
  }

  #writeEchoed(now: number): void {
    const echoed = this.#echoed;
    if (echoed === null) return;
    this.#echoed = null;
    this.#log.text('i', echoed, now);
  }

  #write(code: 'o' | 'i', bytes: Buffer, now: number): void {
    if (isUtf8(bytes)) return this.#log.text(code, bytes, now);
    for (let start = 0; start < bytes.length;) {
      let end = Math.min(bytes.length, start + MIXED_BYTES);
      if (end < bytes.length) end = start + (wholeUtf8(bytes.subarray(start, end)) || end - start);
      const piece = bytes.subarray(start, end);
      start = end;
      if (isUtf8(piece)) {
        this.#log.text(code, piece, now);
        continue;
      }
      this.#log.line({ code, data: piece.toString('utf8') }, now);
      this.#log.line({ code: 'b', data: { stream: code === 'o' ? 'out' : 'in', replaces: true, base64: piece.toString('base64') } }, now);
    }
  }
}
