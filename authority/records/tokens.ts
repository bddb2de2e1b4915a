/** Random tokens that are shown once: the state keeps only their SHA-256. Tested in ../http/server.test.ts. */
import { createHash, randomBytes } from 'node:crypto';

const TOKEN_BYTES = 32;

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url');
}

/** How tokens lie in the state: lower-case hex of SHA-256. Their 256 random bits need no slower hash. */
export function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
