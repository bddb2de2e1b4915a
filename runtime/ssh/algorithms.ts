/**
 * What Steno's SSH servers and clients negotiate, for the `algorithms` option of ssh2.
 *
 * Left to itself ssh2 also offers SHA-1, and zlib before authentication: there one packet of a stranger unfolds to
 * 35 MB inside the process. Group exchange and 8192-bit groups are left out: there a stranger chooses the work.
 * Every client named in the tests finds something here; tested in `certified-key.test.ts`.
 */
import type { Algorithms } from 'ssh2';

export const transportAlgorithms = {
  kex: [
    'curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384', 'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512', 'diffie-hellman-group14-sha256',
  ],
  cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} satisfies Algorithms;
