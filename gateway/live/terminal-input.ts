/**
 * Splits the input from a participant's terminal into keys, sequences that stand for keys, and the terminal's own answers.
 *
 * The session's output reaches the terminals of all participants, and each terminal answers the program's queries: cursor positions,
 * device attributes, modes, colours, sizes; it also sends focus and mouse events if the program has set those modes. The program expects
 * one answer, from the session user's terminal, so all other answers are dropped here; a size is reported to the gateway alone.
 *
 *     text ──ESC──► escape ──"["──► CSI ──final byte──► text
 *                     ├──"]", "P", "X", "^", "_"──► string ──BEL, ST──► text
 *                     └──any other──► text
 *
 * Limits: a lone ESC is a key if nothing follows within `ESCAPE_MS`, which the caller signals by `flush`; an answer that the network splits
 * right after its ESC and delays for longer arrives as text. A modified F3 looks like a cursor position and is dropped. A sequence
 * longer than `MAX_SEQUENCE` bytes is dropped. Tested in terminal-input.test.ts.
 */
export const ESCAPE_MS = 50;
const MAX_SEQUENCE = 64;

export type InputToken =
  /** Characters and control keys, none of them ESC. */
  | { readonly kind: 'keys'; readonly bytes: Buffer }
  /** The terminal's size, reported on request (CSI 18 t): affects only the participant's own view. */
  | { readonly kind: 'size'; readonly cols: number; readonly rows: number }
  /** A complete sequence: arrows, function keys, the marks around a paste, ESC with a key (Alt). */
  | { readonly kind: 'sequence'; readonly bytes: Buffer };

type State = 'text' | 'escape' | 'csi' | 'ss3' | 'string' | 'string-escape' | 'mouse';

const ESC = 0x1b;
const BEL = 0x07;
/**
 * Keys never have a private parameter (`?`, `>`, `=`, `<`); answers and the newer mouse reports do. Among the other sequences, `R`, `c`,
 * `n`, `t`, `x` and `$y` with parameters are answers, `M` is a mouse report, and `I` and `O` alone are focus events.
 */
const answer = /^\x1b\[(?:[?>=<][^]*|[0-9;]+[RcntxM]|[0-9;]*\$y|[IO])$/;
const size = /^\x1b\[8;(\d{1,4});(\d{1,4})t$/;

export class TerminalInput {
  #state: State = 'text';
  /** The unfinished sequence; the content of a string is not kept. */
  #sequence: number[] = [];
  /** Bytes of an X10 mouse report still to come. */
  #mouse = 0;

  /** An ESC waits for what follows it. */
  get waiting(): boolean {
    return this.#state === 'escape';
  }

  /** Nothing followed the ESC: it was the key. */
  flush(): readonly InputToken[] {
    if (this.#state !== 'escape') return [];
    this.#state = 'text';
    return [{ kind: 'sequence', bytes: Buffer.of(ESC) }];
  }

  push(bytes: Buffer): readonly InputToken[] {
    const tokens: InputToken[] = [];
    for (let at = 0; at < bytes.length;) {
      if (this.#state === 'text') {
        const next = bytes.indexOf(ESC, at);
        const end = next < 0 ? bytes.length : next;
        if (end > at) tokens.push({ kind: 'keys', bytes: bytes.subarray(at, end) });
        at = end;
        if (next >= 0) {
          this.#state = 'escape';
          this.#sequence = [ESC];
          at++;
        }
        continue;
      }
      this.#step(bytes[at]!, tokens);
      at++;
    }
    return tokens;
  }

  #step(byte: number, tokens: InputToken[]): void {
    switch (this.#state) {
      case 'escape':
        if (byte === ESC) return void tokens.push({ kind: 'sequence', bytes: Buffer.of(ESC) });
        this.#sequence.push(byte);
        if (byte === 0x5b) this.#state = 'csi';
        else if (byte === 0x4f) this.#state = 'ss3';
        else if (byte === 0x5d || byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) this.#state = 'string';
        else this.#end(tokens);
        return;
      case 'ss3':
        this.#sequence.push(byte);
        return this.#end(tokens);
      case 'csi':
        if (byte === ESC) {
          this.#state = 'escape';
          this.#sequence = [ESC];
          return;
        }
        if (this.#sequence.length <= MAX_SEQUENCE) this.#sequence.push(byte);
        if (byte < 0x40 || byte > 0x7e) return;
        // The oldest form of a mouse report (X10) has three more bytes.
        if (byte === 0x4d && this.#sequence.length === 3) {
          this.#state = 'mouse';
          this.#mouse = 3;
          return;
        }
        return this.#end(tokens);
      case 'mouse':
        if (--this.#mouse === 0) this.#state = 'text';
        return;
      case 'string':
        if (byte === BEL) this.#state = 'text';
        else if (byte === ESC) this.#state = 'string-escape';
        return;
      case 'string-escape':
        // ST; any other byte means that the string was never terminated and a new sequence has begun.
        if (byte === 0x5c) this.#state = 'text';
        else {
          this.#state = 'escape';
          this.#sequence = [ESC];
          this.#step(byte, tokens);
        }
        return;
      case 'text':
        return;
    }
  }

  #end(tokens: InputToken[]): void {
    const bytes = Buffer.from(this.#sequence);
    this.#state = 'text';
    this.#sequence = [];
    if (bytes.length > MAX_SEQUENCE) return;
    const text = bytes.toString('latin1');
    const [, rows, cols] = size.exec(text) ?? [];
    if (cols !== undefined) tokens.push({ kind: 'size', cols: Number(cols), rows: Number(rows) });
    else if (!answer.test(text)) tokens.push({ kind: 'sequence', bytes });
  }
}
