/**
 * Priorities of background work: keystrokes come first, even on a busy machine.
 *
 * Linux keeps a priority per thread. A process that lowers its own before starting threads lowers theirs too; a worker
 * lowers only itself. Raising a priority again requires root. Tested in priority.test.ts.
 */
import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Nice values: the gateway and the node service run at 0. */
export const STORE_PRIORITY = 5;
/** For work without a deadline: sealing. */
export const BACKGROUND_PRIORITY = 15;

/** Lowers the calling thread and threads that it starts later. Does nothing where the system does not support it. */
export function lowerPriority(nice: number): void {
  try {
    // `PID/task/TID` of the reading thread.
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    // A lower priority that was set from outside is intended: keep it.
    if (getPriority(thread) < nice) setPriority(thread, nice);
  } catch {
    return;
  }
}
