/**
 * Objects in a directory: one file each, written under a temporary name and moved into place.
 *
 * The order of a put, and what a crash leaves in each gap:
 *   1. make missing folders, fsync the parent of each     crash: empty folders, which nothing lists
 *   2. write a temporary file, fsync it                   crash: a leftover in `.tmp`, swept at a later open
 *   3. rename it into place (`ifAbsent`: link, unlink)    crash: the object is complete, or absent
 *   4. fsync the folder                                   only now is the put acknowledged
 *
 * Limits: a folder is listed in memory, so keep fewer than a million objects in one. Emptied folders stay. Symbolic links
 * below the root are refused, so that a planted link cannot redirect a write; an aid, not a security boundary, against
 * somebody who may write to the directory while Steno runs. Tested in `directory.test.ts` and by `conformance.ts`.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, mkdir, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StenoError } from '#schemas/base/errors.js';
import { checkKey, checkPrefix, checkRange } from './contract.js';
import type { ByteRange, ObjectEntry, ObjectStore, PutOptions } from './contract.js';

/** Younger leftovers may belong to a writer that is still working. */
const sweepAgeMs = 3_600_000;
/** Folders remembered as durable; beyond this many, the memory is cleared at the cost of some fsyncs. */
const knownFoldersLimit = 10_000;

/** Opens a directory as an object store, creating it (mode 0700) if necessary. */
export async function openDirectoryStore(path: string): Promise<ObjectStore> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const root = await realpath(path);
    const temporary = join(root, '.tmp');
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    await requireNoLinks(temporary);
    await fsyncFolder(root);
    await fsyncFolder(dirname(root));
    await sweep(temporary);
    return new DirectoryStore(root, temporary);
  } catch (error) {
    throw translate(error, path);
  }
}

class DirectoryStore implements ObjectStore {
  readonly #root: string;
  readonly #temporary: string;
  readonly #durableFolders = new Set<string>();
  #closed = false;

  constructor(root: string, temporary: string) {
    this.#root = root;
    this.#temporary = temporary;
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    const path = this.#path(key);
    const folder = dirname(path);
    const aside = join(this.#temporary, randomBytes(12).toString('hex'));
    try {
      await this.#makeFolder(folder);
      await requireNoLinks(folder);
      await writeDurably(aside, bytes);
      if (options.ifAbsent === true) await this.#claim(aside, path, key, bytes);
      else await rename(aside, path);
      await fsyncFolder(folder);
    } catch (error) {
      await unlink(aside).catch(() => undefined);
      throw translateWrite(error, key);
    }
  }

  async get(key: string, range?: ByteRange): Promise<Uint8Array> {
    const path = this.#path(key);
    if (range !== undefined) checkRange(range);
    try {
      return await readFileRange(path, range);
    } catch (error) {
      throw translate(error, key);
    }
  }

  async size(key: string): Promise<number> {
    const path = this.#path(key);
    try {
      await requireNoLinks(dirname(path));
      const found = await lstat(path);
      if (!found.isFile()) throw new StenoError('STORE_NOT_FOUND', key);
      return found.size;
    } catch (error) {
      throw translate(error, key);
    }
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    checkPrefix(prefix);
    this.#requireOpen();
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    try {
      if (folder !== '') await requireNoLinks(join(this.#root, folder.slice(0, -1)));
      yield* this.#walk(folder, prefix);
    } catch (error) {
      // A prefix that names no folder has no objects.
      if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return;
      throw translate(error, prefix);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    try {
      await requireNoLinks(dirname(path));
      // Unlinking a folder fails, so a key that is another's folder deletes nothing.
      await unlink(path);
      await fsyncFolder(dirname(path));
    } catch (error) {
      if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') || isCode(error, 'EISDIR') || isCode(error, 'EPERM')) {
        if (await isFile(path)) throw translate(error, key);
        return;
      }
      throw translate(error, key);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** `ifAbsent`: link(2) creates exclusively, so one of two writers wins and the other compares. */
  async #claim(aside: string, path: string, key: string, bytes: Uint8Array): Promise<void> {
    try {
      await link(aside, path);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      const existing = await readFileRange(path);
      if (!Buffer.from(existing.buffer, existing.byteOffset, existing.byteLength).equals(bytes)) {
        throw new StenoError('STORE_CONFLICT', key);
      }
      // The winner's bytes were fsynced before they were linked; the caller fsyncs the folder.
    }
    await unlink(aside);
  }

  async #makeFolder(folder: string): Promise<void> {
    if (folder === this.#root || this.#durableFolders.has(folder)) return;
    const parent = dirname(folder);
    await this.#makeFolder(parent);
    await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
      if (!isCode(error, 'EEXIST')) throw error;
    });
    // Even a folder that existed may have been made by a writer that died before this fsync.
    await fsyncFolder(parent);
    if (this.#durableFolders.size >= knownFoldersLimit) this.#durableFolders.clear();
    this.#durableFolders.add(folder);
  }

  /** `folder` is '' or ends in '/'. Sorting folders as `name/` gives the order of whole keys. */
  async *#walk(folder: string, prefix: string): AsyncIterable<ObjectEntry> {
    const entries = await readdir(join(this.#root, folder), { withFileTypes: true });
    const names = entries
      .filter((entry) => !entry.name.startsWith('.') && (entry.isFile() || entry.isDirectory()))
      .map((entry) => folder + entry.name + (entry.isDirectory() ? '/' : ''))
      .filter((name) => name.startsWith(prefix) || (name.endsWith('/') && prefix.startsWith(name)))
      .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    for (const name of names) {
      if (name.endsWith('/')) {
        yield* this.#walk(name, prefix);
        continue;
      }
      // Deleted since the folder was read: no longer an object.
      const found = await lstat(join(this.#root, name)).catch((error: unknown) => {
        if (isCode(error, 'ENOENT')) return undefined;
        throw error;
      });
      if (found?.isFile() === true) yield { key: name, size: found.size };
    }
  }

  #path(key: string): string {
    checkKey(key);
    this.#requireOpen();
    return join(this.#root, key);
  }

  #requireOpen(): void {
    if (this.#closed) throw new StenoError('STORE_UNAVAILABLE', 'the object store is closed');
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readFileRange(path: string, range?: ByteRange): Promise<Uint8Array> {
  await requireNoLinks(dirname(path));
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new StenoError('STORE_NOT_FOUND', path);
    const offset = Math.min(range?.offset ?? 0, found.size);
    const length = Math.min(range?.length ?? found.size, found.size - offset);
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
      if (bytesRead === 0) throw new StenoError('STORE_UNAVAILABLE', 'an object became shorter while it was read');
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** A folder below a real root equals its real path exactly if no part of it is a link. */
async function requireNoLinks(folder: string): Promise<void> {
  if ((await realpath(folder)) !== folder) {
    throw new StenoError('STORE_UNAVAILABLE', 'a symbolic link in the object directory');
  }
}

async function fsyncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function sweep(temporary: string): Promise<void> {
  const oldest = Date.now() - sweepAgeMs;
  for (const name of await readdir(temporary)) {
    const path = join(temporary, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() === true && found.mtimeMs < oldest) await unlink(path).catch(() => undefined);
  }
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

/** A write without a folder means that the root is gone; a folder or file in the way means that the key is invalid. */
function translateWrite(error: unknown, key: string): StenoError {
  if (isCode(error, 'ENOTDIR') || isCode(error, 'EISDIR') || (error instanceof StenoError && error.code === 'STORE_NOT_FOUND')) {
    return new StenoError('BAD_REQUEST', `a key may not be the folder of another: ${key}`, { cause: error });
  }
  if (isCode(error, 'ENOENT')) return new StenoError('STORE_UNAVAILABLE', `ENOENT: ${key}`, { cause: error });
  return translate(error, key);
}

function translate(error: unknown, key: string): StenoError {
  if (error instanceof StenoError) return error.code === 'STORE_NOT_FOUND' ? new StenoError('STORE_NOT_FOUND', key) : error;
  if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return new StenoError('STORE_NOT_FOUND', key, { cause: error });
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return new StenoError('STORE_UNAVAILABLE', `${code ?? 'failed'}: ${key}`, { cause: error });
}
