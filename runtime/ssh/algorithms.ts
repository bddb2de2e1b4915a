/**
 * The algorithms that Steno's SSH servers and clients negotiate, for ssh2's `algorithms` option and for the gateway's own
 * offer. This is the only such list.
 *
 * By default ssh2 also offers SHA-1, and zlib before authentication, where one packet of a stranger can unpack to 35 MB
 * inside the process. Group exchange, which ssh2 cannot serve, and 8192-bit groups are left out, since they let a stranger
 * choose the amount of work. Towards nodes both are offered (`nodeAlgorithms`), because an sshd may be restricted to little
 * else. gateway/ssh/transport/algorithms.test.ts connects with each name. In FIPS mode only approved algorithms remain
 * (runtime/fips.ts); tested in test/fips/algorithms.test.ts.
 */
import type { Algorithms, CipherAlgorithm, CompressionAlgorithm, KexAlgorithm, MacAlgorithm } from 'ssh2';
import { fipsMode } from '../fips.js';

/**
 * ML-KEM-768 with X25519 (draft-ietf-sshm-mlkem-hybrid-kex): traffic captured today cannot be decrypted by a later quantum
 * computer. OpenSSH supports it since 9.9. Implemented by `@noble/post-quantum` in a patch of ssh2, at about 1.5 ms per key
 * exchange; it is loaded and used only when the other side requests it. FIPS does not approve X25519.
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

/** The algorithms that this process negotiates now. */
export function transportAlgorithms(): typeof usual {
  return fipsMode() ? { ...usual, ...approved } : usual;
}

/** The algorithms offered as a client of nodes. */
export function nodeAlgorithms(): typeof usual {
  const here = transportAlgorithms();
  return fipsMode() ? here : { ...here, kex: [...here.kex, 'diffie-hellman-group-exchange-sha256', 'diffie-hellman-group18-sha512'] };
}

/** Whether keys of this type, certified or not, may be presented and accepted. */
export function isPermittedKey(type: string): boolean {
  return !fipsMode() || !type.includes('ed25519');
}
