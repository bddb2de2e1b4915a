/**
 * SHA-256 of executables, computed once per file.
 *
 * The kernel identifies the executed file by inode and size. It is opened through /proc/PID/exe, which works in every mount
 * namespace and for files without a name, or by its path if the process is gone; it must have that inode. If a file was
 * changed after it ran, its digest is unknown, and the row says so.
 *
 * The user controls what is at a path, even long after the program has ended. A path is therefore opened with O_PATH,
 * examined, and read through the same descriptor only if it is a regular file: a FIFO, terminal or device is never opened. A
 * file system that does not answer blocks a thread; each digest therefore has a time limit, after which it is reported as
 * late, and at most `AT_A_TIME` threads can be blocked. Rows wait for none of this (row-sender.ts).
 *
 * The kernel also reports the file's change time and device. A digest of a file with the same device, inode, size and change
 * time is reused without opening the file, which would be the largest cost to the starting program. Tested in
 * digests.test.ts.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import type { Digest } from '../rows/rows.js';
import { CONTENT, O_PATH, PLACE } from './open-flags.js';

const KNOWN = 8_192;
const AT_A_TIME = 2;
const MAX_WAITING = 4_096;
/** Larger files are not read: 2 GiB take about five seconds. */
const MAX_BYTES = 2 ** 31;
const CHUNK = 1 << 20;
/** Time limit for a digest. */
const LIMIT_MS = 30_000;

export interface Executable {
  readonly pid: number;
  readonly path: string;
  readonly inode: number;
  readonly size: number;
  /** When the file was executed, in ms since 1970. */
  readonly at: number;
  /**
   * Change time in ns since 1970 and the cache key of this state of the file, both from the kernel; null if not reported.
   */
  readonly state: { readonly key: string; readonly changed: bigint } | null;
}

export interface DigestsOptions {
  /** In ms; 30 s by default. */
  readonly limitMs?: number;
  /** Replaces `fs.open`, to test file systems that do not answer. */
  readonly open?: typeof open;
}

export class Digests {
  readonly #limitMs: number;
  readonly #open: typeof open;
  /** By inode, device, size and change time of the opened file. */
  readonly #known = new LRUCache<string, Promise<Digest>>({ max: KNOWN });
  /** By the state that the kernel reported. */
  readonly #states = new LRUCache<string, Digest>({ max: KNOWN });
  #running = 0;
  readonly #waiting = new Set<() => void>();

  constructor({ limitMs = LIMIT_MS, open: opener = open }: DigestsOptions = {}) {
    this.#limitMs = limitMs;
    this.#open = opener;
  }

  /** The digest of a state that was read before, or null. */
  known(key: string): Digest | null {
    return this.#states.get(key) ?? null;
  }

  /** Never rejects; resolves within the limit, whatever the file system does. */
  of(executable: Executable): Promise<Digest> {
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve({ missing: 'too many at a time' });
    return new Promise((resolve) => {
      const begin = (): void => {
        this.#running += 1;
        void this.#find(executable)
          .catch((): Digest => ({ missing: 'unreadable' }))
          .then((found) => {
            clearTimeout(timer);
            // Only here: a blocked read keeps its slot, so that no more threads are blocked than this.
            this.#running -= 1;
            this.#next();
            resolve(found);
          });
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(begin);
        resolve({ missing: 'late' });
      }, this.#limitMs);
      timer.unref();
      this.#waiting.add(begin);
      this.#next();
    });
  }

  #next(): void {
    const [begin] = this.#waiting;
    if (begin === undefined || this.#running >= AT_A_TIME) return;
    this.#waiting.delete(begin);
    begin();
  }

  async #find(executable: Executable): Promise<Digest> {
    const { pid, path } = executable;
    // The first path leads to the file itself. The others go by name, where a symbolic link may now point elsewhere.
    const places = [
      [`/proc/${pid}/exe`, O_PATH],
      [`/proc/${pid}/root${path}`, PLACE],
      [path, PLACE],
    ] as const;
    for (const [place, how] of places) {
      let file: FileHandle;
      try {
        file = await this.#open(place, how);
      } catch {
        continue;
      }
      try {
        const found = await this.#look(file, executable);
        if (found !== null) return found;
      } finally {
        await file.close();
      }
    }
    return { missing: 'gone' };
  }

  /** Null: this is not the file. `file` was opened with O_PATH. */
  async #look(file: FileHandle, { inode, size, at, state }: Executable): Promise<Digest | null> {
    const facts = await file.stat({ bigint: true });
    if (!facts.isFile() || Number(facts.ino) !== inode) return null;
    if (Number(facts.size) !== size || Number(facts.mtimeMs) > at + 1_000) return { missing: 'changed since' };
    if (size > MAX_BYTES) return { missing: 'too large' };
    const key = `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
    const known = this.#known.get(key);
    const digest = known ?? this.#read(`/proc/self/fd/${file.fd}`, performance.now() + this.#limitMs);
    if (known === undefined) this.#known.set(key, digest);
    let found: Digest;
    try {
      found = await digest;
    } catch (error) {
      this.#known.delete(key);
      throw error;
    }
    if ('missing' in found) this.#known.delete(key);
    // The state differs from the kernel's report, because the file has changed or the file system reports differently: never
    // cached.
    else if (state !== null && facts.ctimeNs === state.changed) this.#states.set(state.key, found);
    return found;
  }

  async #read(place: string, deadline: number): Promise<Digest> {
    const file = await this.#open(place, CONTENT);
    try {
      const hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(CHUNK);
      for (let position = 0; ;) {
        const { bytesRead } = await file.read(buffer, 0, CHUNK, position);
        if (bytesRead === 0) return { sha256: hash.digest('hex') };
        if (performance.now() > deadline) return { missing: 'late' };
        hash.update(buffer.subarray(0, bytesRead));
        position += bytesRead;
        // A file that grows while being read has no end.
        if (position > MAX_BYTES) return { missing: 'too large' };
      }
    } finally {
      await file.close();
    }
  }
}
