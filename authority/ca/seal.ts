/**
 * Sealing: the encryption of the CAs' private keys in the state store.
 *
 *     u8 version = 1 ‖ nonce (12 bytes, random) ‖ ciphertext ‖ tag (16 bytes)        AES-256-GCM
 *     additional data: "steno-seal/1" ‖ 0x00 ‖ UTF-8 of the purpose, for example "ca/ssh-user"
 *
 * The purpose prevents a sealed blob from being used in place of another. The key is a file of exactly 32 bytes, mode 0600,
 * `DIR/authority/seal.key`. It protects a stolen copy of the state store, but not against somebody who can read the whole
 * data directory. Without the key nothing can be unsealed, and no new key is created while sealed blobs exist, which would
 * hide the loss. Tested in seal.test.ts.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, fstatSync, fsyncSync, linkSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const SEAL_KEY_BYTES = 32;

export interface Sealer {
  seal(purpose: string, secret: Uint8Array): Buffer;
  /** Throws SEAL_KEY_WRONG if key, purpose and blob do not match. */
  open(purpose: string, blob: Uint8Array): Buffer;
}

export function createSealer(key: Uint8Array): Sealer {
  if (key.length !== SEAL_KEY_BYTES) throw new StenoError('SEAL_KEY_WRONG', `it has ${key.length} bytes, not ${SEAL_KEY_BYTES}`);
  return {
    seal(purpose, secret) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(associated(purpose));
      return Buffer.concat([Buffer.of(VERSION), nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
    },
    open(purpose, blob) {
      if (blob.length < 1 + NONCE_BYTES + TAG_BYTES || blob[0] !== VERSION)
        throw new StenoError('SEAL_KEY_WRONG', `${purpose} is not a sealed blob of version ${VERSION}`);
      const nonce = blob.subarray(1, 1 + NONCE_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES }).setAAD(associated(purpose));
      decipher.setAuthTag(blob.subarray(blob.length - TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(blob.subarray(1 + NONCE_BYTES, blob.length - TAG_BYTES)), decipher.final()]);
      } catch {
        throw new StenoError('SEAL_KEY_WRONG', purpose);
      }
    },
  };
}

/** Reads the key file. `mayCreate`: nothing is sealed yet, so a missing file means a first start. */
export function openSealKey(path: string, { mayCreate }: { readonly mayCreate: boolean }): Buffer {
  try {
    return readKey(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (!mayCreate) throw new StenoError('SEAL_KEY_MISSING', path);
    createKey(path);
    return readKey(path);
  }
}

function readKey(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const { mode } = fstatSync(file);
    if ((mode & 0o077) !== 0) throw new StenoError('SEAL_KEY_WRONG', `${path} can be read by others, its mode must be 0600`);
    const key = Buffer.alloc(SEAL_KEY_BYTES + 1);
    const length = readSync(file, key);
    if (length !== SEAL_KEY_BYTES) throw new StenoError('SEAL_KEY_WRONG', `${path} does not have ${SEAL_KEY_BYTES} bytes`);
    return key.subarray(0, SEAL_KEY_BYTES);
  } finally {
    closeSync(file);
  }
}

/**
 * The file is complete and on disk before it gets its name: losing a key that already sealed something would lose every CA.
 */
function createKey(path: string): void {
  const temporary = `${path}.${process.pid}.new`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    fchmodSync(file, 0o600);
    writeSync(file, randomBytes(SEAL_KEY_BYTES));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    // link fails where rename would replace: two concurrent first starts use the same key.
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

function associated(purpose: string): Buffer {
  return Buffer.from(`steno-seal/1\0${purpose}`, 'utf8');
}
