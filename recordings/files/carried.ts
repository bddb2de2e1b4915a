/** Receives from a protocol reader: the start of a file, its pieces with their offsets, and its end. */
export interface Carrying {
  /** Returns the receiver of the pieces. Null for facts that the protocol does not give at the start: sftp has no size, scp no path. */
  begin(operation: 'read' | 'write', path: string | null, size: number | null): Carried;
}

export interface Carried {
  piece(offset: number, bytes: Buffer): void;
  end(): void;
}

/** Buffers the bytes of one direction until the protocol reader takes them. Beyond `limit` buffered bytes, reading is given up. */
export class Pieces {
  readonly #limit: number;
  #held: Buffer = Buffer.alloc(0);
  lost = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(bytes: Buffer): void {
    if (this.lost) return;
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
  }

  get length(): number {
    return this.#held.length;
  }

  /** Everything buffered, without taking it. */
  get held(): Buffer {
    return this.#held;
  }

  take(length: number): Buffer {
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  /** Call when the buffered bytes are not enough for the next step. */
  bound(): void {
    if (this.#held.length > this.#limit) this.lose();
  }

  lose(): void {
    this.lost = true;
    this.#held = Buffer.alloc(0);
  }
}
