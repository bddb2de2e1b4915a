/**
 * Turns of the event loop, one after the other: what takes milliseconds and can wait lets what must not wait go first.
 *
 * Closing a recording signs and writes; when a lock ends two hundred sessions, their last words leave before any of
 * that. Tested in test/end-to-end/locks.test.ts; measured by bench/scenarios/locks.ts.
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
