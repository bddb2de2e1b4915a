/** SHA-256 of the concatenation of `parts`, as the hash chain (schemas/recording/chain.ts) takes it. */
import { createHash } from 'node:crypto';

export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
