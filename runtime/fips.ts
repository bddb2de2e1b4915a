/**
 * FIPS mode of a process: whether only approved algorithms may be used, and whether OpenSSL really enforces this.
 *
 * There are deliberately two functions. `restrictAlgorithms` narrows the algorithms that Steno offers and generates keys
 * for; `enterFips` first checks that OpenSSL's FIPS provider is active. `crypto.getFips()` alone proves nothing: it also
 * returns 1 when no such provider is loaded, in which case every operation fails. The check therefore tries one approved and
 * one forbidden operation.
 *
 * Approved here: AES-GCM and AES-CTR, SHA-2, HMAC, ECDH and ECDSA on the NIST curves, RSA of 2048 bits or more, finite field
 * groups of RFC 3526 from 2048 bits; Ed25519 (FIPS 186-5) for recordings only, whose format fixes it. X25519,
 * ChaCha20-Poly1305 and Argon2 are not. Tested in test/fips/fips.test.ts.
 */
import { createCipheriv, createHash, generateKeyPairSync, getFips, setFips } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';

let approvedOnly = false;

/** Whether this process is restricted to approved algorithms. */
export function fipsMode(): boolean {
  return approvedOnly;
}

/**
 * Restricts this process from now on, irreversibly. It changes only the algorithm lists; `enterFips` checks the provider.
 */
export function restrictAlgorithms(): void {
  approvedOnly = true;
}

/** Throws FIPS_UNAVAILABLE, and changes nothing, unless OpenSSL's FIPS provider is active in this process. */
export function enterFips(): void {
  const before = getFips() === 1;
  try {
    setFips(true);
    assertProvider();
  } catch (cause) {
    if (!before) setFips(false);
    throw cause instanceof StenoError
      ? cause
      : new StenoError('FIPS_UNAVAILABLE', 'this Node.js cannot be switched to FIPS mode', { cause });
  }
  restrictAlgorithms();
}

function assertProvider(): void {
  if (getFips() !== 1 || !works(() => createHash('sha256').update('').digest()))
    throw new StenoError('FIPS_UNAVAILABLE', 'the FIPS provider is not loaded');
  if (
    works(() => createHash('md5').update('').digest()) ||
    works(() => createCipheriv('chacha20-poly1305', Buffer.alloc(32), Buffer.alloc(12), { authTagLength: 16 }))
  ) {
    throw new StenoError('FIPS_UNAVAILABLE', 'OpenSSL still performs operations that FIPS forbids');
  }
  // The format of recordings fixes Ed25519 for checkpoints.
  if (!works(() => generateKeyPairSync('ed25519')))
    throw new StenoError('FIPS_UNAVAILABLE', 'the FIPS provider lacks Ed25519, which signs recordings');
}

function works(operation: () => unknown): boolean {
  try {
    operation();
    return true;
  } catch {
    return false;
  }
}
