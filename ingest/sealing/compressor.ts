/**
 * Compresses in a thread of its own: level 22 takes up to 3 s a frame, and what was printed must be searchable meanwhile.
 * One thread, asked one frame at a time; it starts with the first frame and ends when idle for a minute.
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
        // One by one: `removeAllListeners` would take those that the thread's own messages come by.
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
        settle(() => reject(new StenoError('INTERNAL', 'the compressing thread ended')));
      };
      thread.on('message', onMessage).on('error', onError).on('exit', onExit);
      // A copy travels: the caller may go on using its bytes.
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
