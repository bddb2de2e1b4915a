/** What a reader of a transfer protocol tells: a file began, pieces of it at their places, and its end. */
export interface Carrying {
  /** Answers where its pieces go. What a protocol does not say at the beginning is null: sftp no size, scp no path. */
  begin(operation: 'read' | 'write', path: string | null, size: number | null): Carried;
}

export interface Carried {
  piece(offset: number, bytes: Buffer): void;
  end(): void;
}

/** Bytes of one direction, cut into what a protocol asks for. What waits is bounded by `limit`; beyond it the protocol is lost. */
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

  /** A look ahead, without taking. */
  get held(): Buffer {
    return this.#held;
  }

  take(length: number): Buffer {
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  /** To be called when what is held is not enough. */
  bound(): void {
    if (this.#held.length > this.#limit) this.lose();
  }

  lose(): void {
    this.lost = true;
    this.#held = Buffer.alloc(0);
  }
}
