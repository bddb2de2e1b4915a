/** The worker thread of compressor.ts. */
import { serveJobs } from '#runtime/job-thread.js';
import { BACKGROUND_PRIORITY, lowerPriority } from '#runtime/priority.js';
import { openZstd } from '#runtime/zstd.js';
import type { CompressRequest } from './compressor.js';

lowerPriority(BACKGROUND_PRIORITY);
const zstd = await openZstd();
serveJobs(({ content, level }: CompressRequest) => zstd.compress(content, level));
