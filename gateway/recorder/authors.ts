/**
 * Whose each byte of a terminal's input was, where several people type: input is stored when its echo comes, which may be after
 * somebody else has typed.
 *
 * A queue of runs, in the order of typing; `EchoGuard` releases every byte once and in that order. While only the session's
 * user types there is no queue. Tested in typed.test.ts.
 */
interface Run {
  readonly user: string;
  bytes: number;
}

export class Authors {
  #runs: Run[] | null = null;
  #typist = '';
  /** Of whom the recording says that the lines that follow are theirs. */
  #said = '';

  /** Whether anybody but the session's user has typed. */
  get several(): boolean {
    return this.#runs !== null;
  }

  /** Whose the next byte to be stored is. */
  get next(): string {
    return this.#runs?.[0]?.user ?? this.#typist;
  }

  /** `waiting`: bytes of `owner` that were typed and not stored when somebody else types for the first time. */
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

  /** Of the next `most` bytes those that one person typed. */
  take(most: number): Run {
    const first = this.#runs?.[0];
    if (first === undefined) return { user: this.#typist, bytes: most };
    const bytes = Math.min(most, first.bytes);
    first.bytes -= bytes;
    if (first.bytes === 0) this.#runs!.shift();
    return { user: first.user, bytes };
  }

  /** Whether the recording has to say that what follows is of this user; it does from now on. */
  says(user: string): boolean {
    if (user === this.#said) return false;
    this.#said = user;
    return true;
  }
}
