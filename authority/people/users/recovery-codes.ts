/**
 * Recovery codes: ten one-time codes, shown once. Beside a password each counts instead of a code of the authenticator
 * app; where there is no password, instead of the passkey, and then as one factor only (decision 0035).
 *
 * A code has 80 random bits in base32 without letters that look alike, written as `xxxx-xxxx-xxxx-xxxx`; that much
 * cannot be guessed, so SHA-256 is what is kept. Tested in users.test.ts.
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

/** Null where the text cannot be a recovery code. How it was typed does not matter: case, dashes, spaces. */
export function recoveryCodeHash(text: string): string | null {
  const code = text.toLowerCase().replace(/[\s-]/g, '');
  return code.length === LENGTH && [...code].every((c) => alphabet.includes(c))
    ? createHash('sha256').update(`steno-recovery/1 ${code}`).digest('hex')
    : null;
}
