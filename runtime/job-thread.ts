/**
 * Work that would block the event loop for seconds, in a worker thread. The thread takes one job at a time, starts with the
 * first job and ends after a minute without one. Tested in job-thread.test.ts.
 */
import { Worker, parentPort } from 'node:worker_threads';
import { StenoError } from '#schemas/base/errors.js';

const IDLE_MS = 60_000;

type Answer<Result> = { readonly kind: 'done'; readonly result: Result } | { readonly kind: 'failed'; readonly message: string };

export interface JobThread<Job, Result> {
  /** Rejects with INTERNAL if the job throws or the thread ends. A later job gets a new thread. */
  run(job: Job): Promise<Result>;
  close(): Promise<void>;
}

export interface JobLimit {
  /** A job that takes longer ends its thread. Time in the queue does not count. */
  readonly ms: number;
  readonly error: () => Error;
}

/** `module`: a compiled module that calls `serveJobs`. */
export function openJobThread<Job, Result>(module: URL, limit?: JobLimit): JobThread<Job, Result> {
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let last: Promise<unknown> = Promise.resolve();

  const stop = async (): Promise<void> => {
    clearTimeout(idle);
    const ending = worker;
    worker = undefined;
    await ending?.terminate();
  };
  const ask = (job: Job): Promise<Result> =>
    new Promise((resolve, reject) => {
      clearTimeout(idle);
      // Without the process's own flags: a test runner's resolve `#` imports to sources, which Node cannot load.
      const thread = (worker ??= new Worker(module, { execArgv: [] }));
      const settle = (outcome: () => void): void => {
        clearTimeout(late);
        // Remove them one by one: `removeAllListeners` would remove the listeners that carry the worker's own messages.
        thread.off('message', onMessage).off('error', onError).off('exit', onExit);
        idle = setTimeout(() => void stop(), IDLE_MS);
        idle.unref();
        outcome();
      };
      const onMessage = (answer: Answer<Result>): void =>
        settle(() => (answer.kind === 'done' ? resolve(answer.result) : reject(new StenoError('INTERNAL', answer.message))));
      const onError = (error: Error): void => {
        worker = undefined;
        settle(() => reject(error));
      };
      const onExit = (): void => {
        worker = undefined;
        settle(() => reject(new StenoError('INTERNAL', 'the worker thread ended during a job')));
      };
      const late =
        limit === undefined
          ? undefined
          : setTimeout(() => {
              settle(() => reject(limit.error()));
              void stop();
            }, limit.ms);
      thread.on('message', onMessage).on('error', onError).on('exit', onExit);
      thread.postMessage(job);
    });
  return {
    run(job) {
      const next = last.then(() => ask(job));
      last = next.catch(() => undefined);
      return next;
    },
    close: stop,
  };
}

/** Called once by the thread's module. */
export function serveJobs<Job, Result>(work: (job: Job) => Result): void {
  parentPort!.on('message', (job: Job) => {
    let answer: Answer<Result>;
    try {
      answer = { kind: 'done', result: work(job) };
    } catch (error) {
      answer = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
    }
    parentPort!.postMessage(answer);
  });
}
