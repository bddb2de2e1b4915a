/** Counts the reasons for not reading a side; reading resumes when none is left. */
export interface Pausable {
  pause(): void;
  resume(): void;
}

export class Holds {
  readonly #reasons = new Map<Pausable, number>();

  /** `until`: gets a callback to call once when this reason is gone. */
  add(side: Pausable, until: (gone: () => void) => void): void {
    this.#reasons.set(side, (this.#reasons.get(side) ?? 0) + 1);
    side.pause();
    until(() => {
      const left = this.#reasons.get(side)! - 1;
      this.#reasons.set(side, left);
      if (left === 0) side.resume();
    });
  }
}
