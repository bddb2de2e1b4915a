/** A file on this machine that takes content at its places. Closed by whoever opened it. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import type { ContentSink } from './recorded-files.js';

const READ_BYTES = 1 << 20;

export class ContentFile implements ContentSink {
  readonly #fd: number;
  #size = 0;

  /** Makes it, readable by its owner alone; throws where there is one. */
  constructor(path: string) {
    this.#fd = openSync(path, 'wx+', 0o600);
  }

  reset(): void {
    ftruncateSync(this.#fd, 0);
    this.#size = 0;
  }

  write(offset: number, bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done, bytes.length - done, offset + done);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  digest(): { readonly size: number; readonly sha256: string } {
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
