/** Random tokens that are shown once: only their SHA-256 is stored. Tested in ../authority/http/server.test.ts. */
import { createHash, randomBytes } from 'node:crypto';

const TOKEN_BYTES = 32;

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** Stored form of a token: lower-case hex of SHA-256. With 256 random bits, a token needs no slower hash. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
