/**
 * Frees the memory of dead buffers as soon as V8 finds them dead (docs/decisions/0193-buffers-are-freed-at-once.md). Tested in
 * buffers.test.ts.
 */
import { setFlagsFromString } from 'node:v8';

/** Node.js 20 to 24 have this flag of V8. */
export const FREE_AT_ONCE = '--no-concurrent-array-buffer-sweeping';

/** For the whole process, from the next garbage collection on. */
export function freeBuffersAtOnce(): void {
  setFlagsFromString(FREE_AT_ONCE);
}
