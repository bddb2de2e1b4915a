import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { FREE_AT_ONCE } from './buffers.js';

test('the flag that frees buffers at once is one of this Node.js', async () => {
  // An unknown flag is ignored, and reported on standard error.
  const set = `require('node:v8').setFlagsFromString(${JSON.stringify(FREE_AT_ONCE)})`;
  expect((await promisify(execFile)(process.execPath, ['-e', set])).stderr).toBe('');
  const unknown = `require('node:v8').setFlagsFromString('--no-such-flag')`;
  expect((await promisify(execFile)(process.execPath, ['-e', unknown])).stderr).toContain('unrecognized flag');
});
