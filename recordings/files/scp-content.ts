/**
 * Files that the old scp protocol carried, from the direction that sends them: `source()` of openssh-portable's scp.c. Lines
 * `T`, `C`, `D`, `E` and messages, and after each `C` line the bytes of a file and a status byte. What it is called at its target is not said:
 * the digest decides what was found. Tested in recorded-files.test.ts.
 */
import { Pieces } from './carried.js';
import type { Carried, Carrying } from './carried.js';

const MAX_LINE = 8 << 10;
const NEWLINE = 0x0a;

export class ScpContent {
  readonly #carrying: Carrying;
  readonly #operation: 'read' | 'write';
  readonly #source = new Pieces(MAX_LINE);
  #file: { readonly carried: Carried; readonly size: number; moved: number } | null = null;
  /** A file is followed by its status. */
  #status = false;

  /** `writing`: `scp -t`, whose files come in. */
  constructor(carrying: Carrying, writing: boolean) {
    this.#carrying = carrying;
    this.#operation = writing ? 'write' : 'read';
  }

  /** Bytes of the direction that carries files. */
  push(bytes: Buffer): void {
    const pieces = this.#source;
    pieces.push(bytes);
    while (!pieces.lost && pieces.length > 0) {
      if (this.#file !== null && this.#file.moved < this.#file.size) {
        const piece = pieces.take(Math.min(pieces.length, this.#file.size - this.#file.moved));
        this.#file.carried.piece(this.#file.moved, piece);
        this.#file.moved += piece.length;
        continue;
      }
      if (this.#file !== null && this.#status) {
        this.#status = false;
        const [status] = pieces.take(1);
        this.#file.carried.end();
        this.#file = null;
        if (status !== 0) pieces.lose();
        continue;
      }
      const end = pieces.held.indexOf(NEWLINE);
      if (end < 0) return pieces.bound();
      this.#line(pieces.take(end + 1).toString('utf8', 0, end));
    }
  }

  end(): void {
    this.#file?.carried.end();
    this.#file = null;
  }

  #line(line: string): void {
    const match = /^C[0-7]{4,5} (\d{1,16}) ([^/\0]+)$/s.exec(line);
    if (match !== null) {
      const size = Number(match[1]);
      // The name is that at the source: what the file is called at its target is said by the command alone.
      this.#file = { carried: this.#carrying.begin(this.#operation, null, size), size, moved: 0 };
      this.#status = true;
    } else if (!/^[TDE\u0001\u0002]/.test(line)) {
      this.#source.lose();
    }
  }
}
