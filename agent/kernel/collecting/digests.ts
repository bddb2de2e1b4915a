/**
 * SHA-256 of executables, computed once for each file.
 *
 * The kernel says which file ran by its inode and size; it is opened through /proc/PID/exe, which finds it in every
 * mount namespace and without a name, or by its path when the process is gone, and must be that inode. A file that was
 * changed after it ran has no digest of then: that is said, not guessed.
 *
 * What stands at a path is the user's choice, also when the program is long gone. A path is therefore opened without its
 * content (O_PATH), looked at, and read through that very descriptor only if it is a regular file: a FIFO, a terminal or a
 * device is never opened. A file system that does not answer holds a thread; so each digest has a limit of time, after which
 * it is said to be late, and no more than `AT_A_TIME` threads can be held. Rows do not wait for any of this (row-sender.ts).
 *
 * The kernel says too when the file was last changed, with its device, inode and size: a digest that was made of that
 * very state is known without a look at the file, which costs the starting program more than all else does.
 * Tested in digests.test.ts.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import type { Digest } from '../rows/rows.js';

const KNOWN = 8_192;
const AT_A_TIME = 2;
const MAX_WAITING = 4_096;
/** Larger files than this are not read: 2 GiB take some five seconds. */
const MAX_BYTES = 2 ** 31;
const CHUNK = 1 << 20;
/** A digest that is not there by then never comes. */
const LIMIT_MS = 30_000;
/** include/uapi/asm-generic/fcntl.h: a descriptor that stands for the file and opens nothing. Node names it nowhere. */
const O_PATH = 0o10_000_000;
const { O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, O_RDONLY } = constants;

export interface Executable {
  readonly pid: number;
  readonly path: string;
  readonly inode: number;
  readonly size: number;
  /** When it began to run, in ms since 1970. */
  readonly at: number;
  /** Its change time, ns since 1970, and the key of this state of it, both by the kernel; null: it did not say. */
  readonly state: { readonly key: string; readonly changed: bigint } | null;
}

export interface DigestsOptions {
  /** In ms; 30 s when left out. */
  readonly limitMs?: number;
  /** Opens a place; `fs.open` when left out. For tests of file systems that do not answer. */
  readonly open?: typeof open;
}

export class Digests {
  readonly #limitMs: number;
  readonly #open: typeof open;
  /** By inode, device, size and change time of the file as found. */
  readonly #known = new LRUCache<string, Promise<Digest>>({ max: KNOWN });
  /** By the kernel's word. */
  readonly #states = new LRUCache<string, Digest>({ max: KNOWN });
  #running = 0;
  readonly #waiting = new Set<() => void>();

  constructor({ limitMs = LIMIT_MS, open: opener = open }: DigestsOptions = {}) {
    this.#limitMs = limitMs;
    this.#open = opener;
  }

  /** Of a state that was read before; null: of none such. */
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
            // Only here: what is held by a file system keeps its turn, so that no more threads are held than this.
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
    // The first leads to the file itself. The others name it: where a link stands there now, it is another.
    const places = [
      [`/proc/${pid}/exe`, O_PATH],
      [`/proc/${pid}/root${path}`, O_PATH | O_NOFOLLOW],
      [path, O_PATH | O_NOFOLLOW],
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
    // Changed since, or kept by a file system that says otherwise here than there: looked at each time.
    else if (state !== null && facts.ctimeNs === state.changed) this.#states.set(state.key, found);
    return found;
  }

  async #read(place: string, deadline: number): Promise<Digest> {
    const file = await this.#open(place, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    try {
      const hash = createHash('sha256');
      const buffer = Buffer.allocUnsafe(CHUNK);
      for (let position = 0; ;) {
        const { bytesRead } = await file.read(buffer, 0, CHUNK, position);
        if (bytesRead === 0) return { sha256: hash.digest('hex') };
        if (performance.now() > deadline) return { missing: 'late' };
        hash.update(buffer.subarray(0, bytesRead));
        position += bytesRead;
        // A file that grows while it is read has no end.
        if (position > MAX_BYTES) return { missing: 'too large' };
      }
    } finally {
      await file.close();
    }
  }
}
