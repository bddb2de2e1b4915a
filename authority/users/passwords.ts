/**
 * Passwords: Argon2id with the parameters of OWASP's password storage page (19 MiB, two passes, one lane).
 *
 * Kept in PHC form, so that a hash says how it was made and older ones are made anew at the next login. A name that
 * nobody has costs a verification too. Few run at a time: each takes its memory, and a flood must not take all of it.
 * Tested in users.test.ts.
 */
import { hash, parseOptions, verify } from '@node-rs/argon2';
import { StenoError } from '#schemas/errors.js';

/** Algorithm 2 is Argon2id. */
export const parameters = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
export const MAX_PASSWORD = 256;
const AT_A_TIME = 4;
const MAX_WAITING = 64;

export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** Of nobody's password: what a guess at an unknown name is checked against. */
  readonly #nobody: Promise<string>;

  constructor() {
    this.#nobody = hash(crypto.randomUUID(), parameters);
    this.#nobody.catch(() => undefined);
  }

  hash(password: string): Promise<string> {
    return this.#oneOfFew(() => hash(normal(password), parameters));
  }

  /** Takes as long without a hash as with one. Rejects TOO_MANY when more wait than will be served soon. */
  verify(stored: string | null, password: string): Promise<boolean> {
    return this.#oneOfFew(async () => {
      const right = await verify(stored ?? (await this.#nobody), normal(password)).catch(() => false);
      return right && stored !== null;
    });
  }

  /** Whether a hash was made with other parameters than today's. */
  isOld(stored: string): boolean {
    const { algorithm, memoryCost, timeCost, parallelism } = parseOptions(stored);
    return (algorithm as number) !== parameters.algorithm || memoryCost !== parameters.memoryCost || timeCost !== parameters.timeCost || parallelism !== parameters.parallelism;
  }

  async #oneOfFew<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= AT_A_TIME) {
      if (this.#waiting.length >= MAX_WAITING) throw new StenoError('TOO_MANY', 'logins at a time');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/** The same characters typed on another keyboard are the same password. */
function normal(password: string): string {
  return password.normalize('NFKC');
}
