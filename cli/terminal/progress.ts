/** How far a long transfer is: on standard error, on a terminal alone, once it has taken a second. */
import { Transform } from 'node:stream';
import { bytes } from './output.js';
import type { Output } from './output.js';

const FIRST_MS = 1_000;
const AGAIN_MS = 200;

/** Passes bytes on and shows their number; `expected`: null if unknown. Clears its line at the end. */
export function progress({ err }: Pick<Output, 'err'>, what: string, expected: number | null, clock: () => number = Date.now): Transform {
  let passed = 0;
  let told = 0;
  const since = clock();
  const clear = (): void => {
    if (told > 0) err.write('\r\u001b[K');
    told = 0;
  };
  return new Transform({
    transform(chunk: Buffer, _, done) {
      passed += chunk.length;
      const now = clock();
      if (err.isTTY === true && now - since >= FIRST_MS && now - told >= AGAIN_MS) {
        told = now;
        const share = expected === null || expected === 0 ? '' : ` of about ${bytes(Math.max(expected, passed))}`;
        err.write(`\r\u001b[K${what}: ${bytes(passed)}${share}`);
      }
      done(null, chunk);
    },
    flush(done) {
      clear();
      done();
    },
    destroy(error, done) {
      clear();
      done(error);
    },
  });
}
