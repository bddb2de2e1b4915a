/**
 * Secrets in files: PINs and passphrases, which are never given on a command line. Tested in authority/ca/pkcs11.test.ts and
 * seal-store.test.ts.
 */
import { readFileSync, statSync } from 'node:fs';
import { StenoError } from '#schemas/base/errors.js';

const MAX_BYTES = 65_536;

/** The first line of a file that nobody else can read: a PIN or a passphrase. Throws with the given `code`. */
export function readSecretFile(file: string, code: 'CA_SIGNER_CONFIG' | 'SEAL_PASSPHRASE_WEAK'): string {
  let text: string;
  try {
    if ((statSync(file).mode & 0o077) !== 0) throw new Error('others can read it; its mode must be 0600 or 0400');
    if (statSync(file).size > MAX_BYTES) throw new Error('it is too large');
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new StenoError(code, `${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return text.split(/\r?\n/, 1)[0]!;
}
