/**
 * Recovery codes: ten one-time codes, shown once. With a password, each replaces a code of the authenticator app; without
 * one, it replaces the passkey, as a single factor (decision 0035).
 *
 * A code has 80 random bits in base32 without similar-looking letters, written as `xxxx-xxxx-xxxx-xxxx`; that cannot be
 * guessed, so a SHA-256 is stored. Tested in users.test.ts.
 */
import { createHash, randomBytes } from 'node:crypto';

const COUNT = 10;
const LENGTH = 16;
const alphabet = 'abcdefghjkmnpqrstuvwxyz234567890';

export function newRecoveryCodes(): readonly string[] {
  return Array.from({ length: COUNT }, () => {
    const code = [...randomBytes(LENGTH)].map((byte) => alphabet[byte & 31]!).join('');
    return code.match(/.{4}/g)!.join('-');
  });
}

/** Null if the text cannot be a recovery code. Case, dashes and spaces are ignored. */
export function recoveryCodeHash(text: string): string | null {
  const code = text.toLowerCase().replace(/[\s-]/g, '');
  return code.length === LENGTH && [...code].every((c) => alphabet.includes(c))
    ? createHash('sha256').update(`steno-recovery/1 ${code}`).digest('hex')
    : null;
}
