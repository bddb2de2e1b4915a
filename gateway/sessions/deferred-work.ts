/**
 * Runs deferrable work one turn of the event loop at a time, so that urgent work goes first.
 *
 * Closing a recording signs and writes, which takes milliseconds; when a lock ends two hundred sessions, all of their last messages are
 * sent before any recording is closed. Tested in test/end-to-end/locks.test.ts; measured by bench/scenarios/access/locks.ts.
 */
let last: Promise<void> = Promise.resolve();

/** Resolves in a turn of its own, in the order of calls. */
export function deferred(): Promise<void> {
  last = last.then(
    () =>
      new Promise<void>((resolve) => {
        setImmediate(resolve);
      }),
  );
  return last;
}
