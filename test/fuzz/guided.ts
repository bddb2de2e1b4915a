/** Entry point of the coverage-guided fuzzer for one target, named by `STENO_FUZZ_TARGET`. Started by run.mjs. */
import { targets } from './targets.js';

const name = process.env['STENO_FUZZ_TARGET'];
const found = targets.find((target) => target.name === name);
if (found === undefined) throw new Error(`no target is named "${name}": ${targets.map((target) => target.name).join(' ')}`);
const { maxLength } = found;
const { check } = await found.open();

export function fuzz(data: Buffer): void {
  check(data.subarray(0, maxLength));
}
