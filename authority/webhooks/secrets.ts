/**
 * Secrets of webhooks and SIEM destinations: files in `authority/secrets`, or environment variables STENO_SECRET_….
 *
 * A document can name only these: an administrator of Steno must not be able to read other files or environment variables of
 * the authority's machine. Read at each use, so that a secret can be changed without a restart; never logged. Tested in
 * webhooks.test.ts.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import type { SecretReference } from '#schemas/documents/secret-reference.js';

const MAX_BYTES = 4096;

export type ReadSecret = (reference: SecretReference) => string;

/** `folder`: of the files. Throws SECRET_MISSING, which names the secret, never its content. */
export function secretsIn(folder: string, env: NodeJS.ProcessEnv = process.env): ReadSecret {
  return (reference) => {
    const text = 'env' in reference ? env[reference.env] : readPrivate(join(folder, reference.file));
    const secret = text?.trim() ?? '';
    if (secret === '') throw new StenoError('SECRET_MISSING', 'env' in reference ? reference.env : join(folder, reference.file));
    return secret;
  };
}

function readPrivate(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const { mode, size } = fstatSync(file);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG || (mode & 0o077) !== 0 || size > MAX_BYTES)
      throw new StenoError('SECRET_MISSING', `${path} must be a file of mode 0600 with at most ${MAX_BYTES} bytes`);
    const bytes = Buffer.alloc(MAX_BYTES);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, MAX_BYTES, 0));
  } finally {
    closeSync(file);
  }
}
