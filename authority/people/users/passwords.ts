/**
 * Passwords: Argon2id with the parameters of OWASP's password storage page (19 MiB, two passes, one lane); in FIPS mode,
 * which knows no Argon2, PBKDF2 with SHA-512 in 210,000 rounds, of the same page.
 *
 * Stored in PHC form, so that a hash names its parameters and outdated ones are replaced at the next login. Unknown names
 * cost a verification too. Only a few run at a time, since each needs memory and a flood must not exhaust it. Tested in
 * users.test.ts.
 */
import { hash, parseOptions, verify } from '@node-rs/argon2';
import { pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { StenoError } from '#schemas/base/errors.js';
import { fipsMode } from '#runtime/fips.js';

/** Algorithm 2 is Argon2id. */
export const parameters = { algorithm: 2, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const FIPS_ROUNDS = 210_000;
const FIPS_BYTES = 32;
const fipsForm = /^\$pbkdf2-sha512\$i=(\d{1,8})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;
const derive = promisify(pbkdf2);
const AT_A_TIME = 4;
const MAX_WAITING = 64;

export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** Hash of nobody's password, checked for unknown names. */
  readonly #nobody: Promise<string>;
  readonly #fips: boolean;

  constructor(fips = fipsMode()) {
    this.#fips = fips;
    this.#nobody = hashed(crypto.randomUUID(), fips);
    this.#nobody.catch(() => undefined);
  }

  hash(password: string): Promise<string> {
    return this.#oneOfFew(() => hashed(normal(password), this.#fips));
  }

  /** Takes as long without a hash as with one. Rejects with TOO_MANY if the queue is too long. */
  verify(stored: string | null, password: string): Promise<boolean> {
    return this.#oneOfFew(async () => {
      const right = await matches(stored ?? (await this.#nobody), normal(password)).catch(() => false);
      return right && stored !== null;
    });
  }

  /** Whether a hash was made with outdated parameters. */
  isOld(stored: string): boolean {
    const inFips = fipsForm.exec(stored);
    if (inFips !== null || this.#fips) return !this.#fips || inFips?.[1] !== String(FIPS_ROUNDS);
    const { algorithm, memoryCost, timeCost, parallelism } = parseOptions(stored);
    return (
      (algorithm as number) !== parameters.algorithm ||
      memoryCost !== parameters.memoryCost ||
      timeCost !== parameters.timeCost ||
      parallelism !== parameters.parallelism
    );
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

async function hashed(password: string, fips: boolean): Promise<string> {
  if (!fips) return hash(password, parameters);
  const salt = randomBytes(16);
  const key = await derive(password, salt, FIPS_ROUNDS, FIPS_BYTES, 'sha512');
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
  return `$pbkdf2-sha512$i=${FIPS_ROUNDS}$${text(salt)}$${text(key)}`;
}

async function matches(stored: string, password: string): Promise<boolean> {
  const parts = fipsForm.exec(stored);
  if (parts === null) return verify(stored, password);
  const expected = Buffer.from(parts[3]!, 'base64');
  return timingSafeEqual(expected, await derive(password, Buffer.from(parts[2]!, 'base64'), Number(parts[1]), expected.length, 'sha512'));
}

/** Normalizes, so that the same password typed on another keyboard matches. */
function normal(password: string): string {
  return password.normalize('NFKC');
}
