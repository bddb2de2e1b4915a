/**
 * Reads the files that the old scp protocol carried, from the sending direction: `source()` of openssh-portable's scp.c. Lines
 * `T`, `C`, `D`, `E` and messages; after each `C` line, the bytes of a file and a status byte. The protocol does not say what a file
 * is called at its target, so files are identified by their digest. Tested in recorded-files.test.ts.
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

  /** `writing`: `scp -t`, which receives files. */
  constructor(carrying: Carrying, writing: boolean) {
    this.#carrying = carrying;
    this.#operation = writing ? 'write' : 'read';
  }

  /** Takes bytes of the direction that carries files. */
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
      // This is the name at the source; only the command says what the file is called at its target.
      this.#file = { carried: this.#carrying.begin(this.#operation, null, size), size, moved: 0 };
      this.#status = true;
    } else if (!/^[TDE\u0001\u0002]/.test(line)) {
      this.#source.lose();
    }
  }
}
