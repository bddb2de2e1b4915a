/**
 * Remembers who typed each byte of a terminal's input when several people type. Input is stored once it is echoed, and somebody
 * else may have typed by then.
 *
 * Keeps a queue of runs in the order of typing; `EchoGuard` releases every byte once and in that order. There is no queue while
 * only the session's user types. Tested in typed.test.ts.
 */
interface Run {
  readonly user: string;
  bytes: number;
}

export class Authors {
  #runs: Run[] | null = null;
  #typist = '';
  /** The user whom the recording names as the author of the lines that follow. */
  #said = '';

  /** Whether anybody but the session's user has typed. */
  get several(): boolean {
    return this.#runs !== null;
  }

  /** Who typed the next byte to be stored. */
  get next(): string {
    return this.#runs?.[0]?.user ?? this.#typist;
  }

  /** `waiting`: bytes that `owner` typed and that are not yet stored when somebody else types for the first time. */
  typist(user: string, owner: string, waiting: number): void {
    if (this.#runs === null) {
      if (user === owner) return;
      this.#said = owner;
      this.#runs = waiting === 0 ? [] : [{ user: owner, bytes: waiting }];
    }
    this.#typist = user;
  }

  typed(bytes: number): void {
    if (this.#runs === null) return;
    const last = this.#runs.at(-1);
    if (last?.user === this.#typist) last.bytes += bytes;
    else this.#runs.push({ user: this.#typist, bytes });
  }

  /** Takes up to `most` bytes from the front of the queue, all typed by one person. */
  take(most: number): Run {
    const first = this.#runs?.[0];
    if (first === undefined) return { user: this.#typist, bytes: most };
    const bytes = Math.min(most, first.bytes);
    first.bytes -= bytes;
    if (first.bytes === 0) this.#runs!.shift();
    return { user: first.user, bytes };
  }

  /** Whether the recording must name this user as the author of what follows. The caller then writes that, so the next call answers false. */
  says(user: string): boolean {
    if (user === this.#said) return false;
    this.#said = user;
    return true;
  }
}
