/**
 * SHA-256 of executables, computed once for each file.
 *
 * The kernel says which file ran by its inode and size; it is opened through /proc/PID/exe, which finds it in every
 * mount namespace and without a name, or by its path when the process is gone, and must be that inode. A file that was
 * changed after it ran has no digest of then: that is said, not guessed. Tested in digests.test.ts.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from './rows.js';

const KNOWN = 8_192;
const AT_A_TIME = 2;
const MAX_WAITING = 4_096;
/** Larger files than this are not read: 2 GiB take some five seconds. */
const MAX_BYTES = 2 ** 31;
const CHUNK = 1 << 20;

export interface Executable {
  readonly pid: number;
  readonly path: string;
  readonly inode: number;
  readonly size: number;
  /** When it began to run, in ms since 1970. */
  readonly at: number;
}

export class Digests {
  /** By inode, device, size and change time of the file as found. */
  readonly #known = new Map<string, Promise<Digest>>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Never rejects. */
  async of(executable: Executable): Promise<Digest> {
    if (this.#waiting.length >= MAX_WAITING) return { missing: 'too many at a time' };
    if (this.#running >= AT_A_TIME) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
    try {
      return await this.#find(executable);
    } catch {
      return { missing: 'unreadable' };
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #find({ pid, path, inode, size, at }: Executable): Promise<Digest> {
    for (const place of [`/proc/${pid}/exe`, `/proc/${pid}/root${path}`, path]) {
      let file: FileHandle;
      try {
        file = await open(place, 'r');
      } catch {
        continue;
      }
      try {
        const facts = await file.stat();
        if (!facts.isFile() || facts.ino !== inode) continue;
        if (facts.size !== size || facts.mtimeMs > at + 1_000) return { missing: 'changed since' };
        if (facts.size > MAX_BYTES) return { missing: 'too large' };
        const key = `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeMs} ${facts.ctimeMs}`;
        const known = this.#known.get(key);
        if (known !== undefined) return await known;
        const digest = sha256Of(file);
        this.#known.set(key, digest);
        if (this.#known.size > KNOWN) this.#known.delete(this.#known.keys().next().value!);
        return await digest;
      } finally {
        await file.close();
      }
    }
    return { missing: 'gone' };
  }
}

async function sha256Of(file: FileHandle): Promise<Digest> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, position);
    if (bytesRead === 0) return { sha256: hash.digest('hex') };
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
