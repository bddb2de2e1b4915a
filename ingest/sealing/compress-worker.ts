/** The worker thread of compressor.ts. */
import { parentPort } from 'node:worker_threads';
import { BACKGROUND_PRIORITY, lowerPriority } from '#runtime/priority.js';
import { openZstd } from '#runtime/zstd.js';
import type { CompressAnswer, CompressRequest } from './compressor.js';

lowerPriority(BACKGROUND_PRIORITY);
const zstd = await openZstd();
parentPort!.on('message', ({ content, level }: CompressRequest) => {
  let answer: CompressAnswer;
  try {
    answer = { kind: 'frame', frame: zstd.compress(content, level) };
  } catch (error) {
    answer = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
  parentPort!.postMessage(answer);
});
