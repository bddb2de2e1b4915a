/**
 * SHA-256 of executables, computed once for each file.
 *
 * The kernel says which file ran by its inode and size; it is opened through /proc/PID/exe, which finds it in every
 * mount namespace and without a name, or by its path when the process is gone, and must be that inode. A file that was
 * changed after it ran has no digest of then: that is said, not guessed.
 *
 * The kernel says too when the file was last changed, with its device, inode and size: a digest that was made of that
 * very state is known without a look at the file, which costs the starting program more than all else does.
 * Tested in digests.test.ts.
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
  /** Its change time, ns since 1970, and the key of this state of it, both by the kernel; null: it did not say. */
  readonly state: { readonly key: string; readonly changed: bigint } | null;
}

export class Digests {
  /** By inode, device, size and change time of the file as found. */
  readonly #known = new Map<string, Promise<Digest>>();
  /** By the kernel's word. */
  readonly #states = new Map<string, Digest>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Of a state that was read before; null: of none such. */
  known(key: string): Digest | null {
    return this.#states.get(key) ?? null;
  }

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

  async #find({ pid, path, inode, size, at, state }: Executable): Promise<Digest> {
    for (const place of [`/proc/${pid}/exe`, `/proc/${pid}/root${path}`, path]) {
      let file: FileHandle;
      try {
        file = await open(place, 'r');
      } catch {
        continue;
      }
      try {
        const facts = await file.stat({ bigint: true });
        if (!facts.isFile() || Number(facts.ino) !== inode) continue;
        if (Number(facts.size) !== size || Number(facts.mtimeMs) > at + 1_000) return { missing: 'changed since' };
        if (size > MAX_BYTES) return { missing: 'too large' };
        const key = `${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
        const known = this.#known.get(key);
        const digest = known ?? sha256Of(file);
        if (known === undefined) keep(this.#known, key, digest);
        const found = await digest;
        // Changed since, or kept by a file system that says otherwise here than there: looked at each time.
        if (state !== null && facts.ctimeNs === state.changed && 'sha256' in found) keep(this.#states, state.key, found);
        return found;
      } finally {
        await file.close();
      }
    }
    return { missing: 'gone' };
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  if (map.size > KNOWN) map.delete(map.keys().next().value!);
}

async function sha256Of(file: FileHandle): Promise<Digest> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  for (let position = 0; ;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK, position);
    if (bytesRead === 0) return { sha256: hash.digest('hex') };
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
