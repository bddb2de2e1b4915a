/** Compresses in a worker thread: level 22 takes up to 3 s per frame, and new output must stay searchable meanwhile. */
import { openJobThread } from '#runtime/job-thread.js';
import type { Compress } from './sealer.js';

export interface Compressor {
  readonly compress: Compress;
  close(): Promise<void>;
}

export interface CompressRequest {
  readonly content: Uint8Array;
  readonly level: number;
}

export function openCompressor(): Compressor {
  const thread = openJobThread<CompressRequest, Uint8Array>(new URL('./compress-worker.js', import.meta.url));
  return {
    // Post a copy of exactly these bytes: `content` may be a view of a larger buffer, which would be copied whole.
    compress: (content, level) => thread.run({ content: Uint8Array.from(content), level }),
    close: () => thread.close(),
  };
}
