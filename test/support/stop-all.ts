/** Cleans up after tests. Tested in stop-all.test.ts. */

/**
 * Runs every step, one after the other, also when an earlier one rejects: a process that is not stopped outlives the run and disturbs
 * the tests after it. Rejects afterwards with what failed.
 */
export async function stopAll(...steps: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, `${failures.length} steps of a clean-up failed`);
}
