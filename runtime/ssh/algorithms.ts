/**
 * What Steno's SSH servers and clients negotiate, for the `algorithms` option of ssh2 and for the gateway's own offer: the
 * only list there is.
 *
 * Left to itself ssh2 also offers SHA-1, and zlib before authentication: there one packet of a stranger unfolds to
 * 35 MB inside the process. Group exchange, which ssh2 cannot serve, and 8192-bit groups are left out: there a stranger
 * chooses the work. Towards nodes both are known (`nodeAlgorithms`), for an sshd may be held to little else.
 * Each name is connected with in gateway/ssh/transport/algorithms.test.ts. In FIPS mode only what is approved is left
 * (runtime/fips.ts); tested in test/fips/algorithms.test.ts.
 */
import type { Algorithms, CipherAlgorithm, CompressionAlgorithm, KexAlgorithm, MacAlgorithm } from 'ssh2';
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

const usual: {
  readonly kex: KexAlgorithm[];
  readonly cipher: CipherAlgorithm[];
  readonly hmac: MacAlgorithm[];
  readonly compress: CompressionAlgorithm[];
} = {
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
};

/** What this process negotiates now. */
export function transportAlgorithms(): typeof usual {
  return fipsMode() ? { ...usual, ...approved } : usual;
}

/** The same as a client of nodes. */
export function nodeAlgorithms(): typeof usual {
  const here = transportAlgorithms();
  return fipsMode() ? here : { ...here, kex: [...here.kex, 'diffie-hellman-group-exchange-sha256', 'diffie-hellman-group18-sha512'] };
}

/** Whether keys of this type, certified or not, may be shown and taken. */
export function isPermittedKey(type: string): boolean {
  return !fipsMode() || !type.includes('ed25519');
}
