/**
 * A local file that takes pieces of content at their offsets. Closed by whoever opened it. Pieces in order are hashed as they arrive;
 * if one is out of order, the file is read again for its digest. Tested in recorded-files.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { ContentSink } from './recorded-files.js';

const READ_BYTES = 1 << 20;

export class ContentFile implements ContentSink {
  readonly #fd: number;
  #size = 0;
  /** Hash of all bytes so far; null once a piece arrived out of order. */
  #running: Hash | null = createHash('sha256');

  /** Creates the file, readable by its owner only. Throws if it exists. */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx+', 0o600);
  }

  reset(): void {
    ftruncateSync(this.#fd, 0);
    this.#size = 0;
    this.#running = createHash('sha256');
  }

  write(offset: number, bytes: Buffer): void {
    if (offset === this.#size) this.#running?.update(bytes);
    else this.#running = null;
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  digest(): { readonly size: number; readonly sha256: string } {
    if (this.#running !== null) return { size: this.#size, sha256: this.#running.copy().digest('hex') };
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(READ_BYTES);
    for (let at = 0; at < this.#size;) {
      const read = readSync(this.#fd, buffer, 0, buffer.length, at);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      at += read;
    }
    return { size: this.#size, sha256: hash.digest('hex') };
  }

  close(): void {
    closeSync(this.#fd);
  }
}
