/**
 * Priorities of work that nobody waits for: a keystroke comes first, on a machine that is busy too.
 *
 * Linux keeps a priority for each thread. A process that lowers its own before it has started threads lowers those as well;
 * a worker lowers itself alone. Whoever has lowered it cannot raise it again without being root. Tested in priority.test.ts.
 */
import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Nice values: the gateway and the node service run at 0. */
export const STORE_PRIORITY = 5;
/** For what may take as long as it likes: sealing. */
export const BACKGROUND_PRIORITY = 15;

/** Lowers the calling thread; threads that it starts later are lowered alike. Does nothing where the system cannot. */
export function lowerPriority(nice: number): void {
  try {
    // `PID/task/TID`: of the thread that reads it.
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    // Whoever started all of this at a lower priority meant it.
    if (getPriority(thread) < nice) setPriority(thread, nice);
  } catch {
    return;
  }
}
