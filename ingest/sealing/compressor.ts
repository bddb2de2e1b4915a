/**
 * Compresses in a worker thread: level 22 takes up to 3 s per frame, and new output must stay searchable meanwhile. There is
 * one thread, which takes one frame at a time, starts with the first frame and ends after a minute without work.
 */
import { Worker } from 'node:worker_threads';
import { StenoError } from '#schemas/base/errors.js';
import type { Compress } from './sealer.js';

const IDLE_MS = 60_000;

export interface Compressor {
  readonly compress: Compress;
  close(): Promise<void>;
}

export interface CompressRequest {
  readonly content: Uint8Array;
  readonly level: number;
}
export type CompressAnswer = { readonly kind: 'frame'; readonly frame: Uint8Array } | { readonly kind: 'failed'; readonly message: string };

export function openCompressor(): Compressor {
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const stop = async (): Promise<void> => {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  };
  const ask = (content: Uint8Array, level: number): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      clearTimeout(idle);
      const thread = (worker ??= new Worker(new URL('./compress-worker.js', import.meta.url)));
      const settle = (outcome: () => void): void => {
        // Remove them one by one: `removeAllListeners` would remove the listeners that carry the worker's own messages.
        thread.off('message', onMessage).off('error', onError).off('exit', onExit);
        idle = setTimeout(() => void stop(), IDLE_MS);
        idle.unref();
        outcome();
      };
      const onMessage = (answer: CompressAnswer): void =>
        settle(() => (answer.kind === 'frame' ? resolve(answer.frame) : reject(new StenoError('INTERNAL', answer.message))));
      const onError = (error: Error): void => {
        worker = undefined;
        settle(() => reject(error));
      };
      const onExit = (): void => {
        worker = undefined;
        settle(() => reject(new StenoError('INTERNAL', 'the compressor thread ended')));
      };
      thread.on('message', onMessage).on('error', onError).on('exit', onExit);
      // Transfer a copy: the caller may go on using its bytes.
      thread.postMessage({ content: Uint8Array.from(content), level } satisfies CompressRequest);
    });
  return {
    compress(content, level) {
      const next = last.then(() => ask(content, level));
      last = next.catch(() => undefined);
      return next;
    },
    close: stop,
  };
}
