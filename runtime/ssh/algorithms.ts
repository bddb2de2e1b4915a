/**
 * What Steno's SSH servers and clients negotiate, for the `algorithms` option of ssh2.
 *
 * Left to itself ssh2 also offers SHA-1, and zlib before authentication: there one packet of a stranger unfolds to
 * 35 MB inside the process. Group exchange and 8192-bit groups are left out: there a stranger chooses the work.
 * Every client named in the tests finds something here; tested in `certified-key.test.ts`. In FIPS mode only what is
 * approved is left (runtime/fips.ts); tested in test/fips/algorithms.test.ts.
 */
import type { Algorithms, KexAlgorithm } from 'ssh2';
import { fipsMode } from '../fips.js';

/**
 * ML-KEM-768 beside X25519 (draft-ietf-sshm-mlkem-hybrid-kex): what is recorded by others today cannot be read with a
 * quantum computer later. OpenSSH knows it since 9.9. Done by `@noble/post-quantum` in a patch of ssh2, at some 1.5 ms
 * for each key exchange, so it is loaded and used only when the other side asks for it. X25519 is not approved by FIPS.
 */
export const HYBRID_KEX = 'mlkem768x25519-sha256';

const approved = {
  kex: ['ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521', 'diffie-hellman-group16-sha512', 'diffie-hellman-group14-sha256'],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
} satisfies Algorithms;

const usual = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group14-sha256',
    HYBRID_KEX as KexAlgorithm,
  ],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} satisfies Algorithms;

/** What this process negotiates now. */
export function transportAlgorithms(): typeof usual {
  return fipsMode() ? { ...usual, ...approved } : usual;
}

/** Those of ssh2's own lists that may be offered, in their order. */
export function permitted(kind: 'kex' | 'cipher' | 'hmac', names: readonly string[]): string[] {
  const list: readonly string[] = approved[kind];
  return fipsMode() ? names.filter((name) => list.includes(name)) : [...names];
}

/** Whether keys of this type, certified or not, may be shown and taken. */
export function isPermittedKey(type: string): boolean {
  return !fipsMode() || !type.includes('ed25519');
}
