import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openJobThread } from './job-thread.js';
import type { JobLimit, JobThread } from './job-thread.js';

// Node runs a thread's module without the test runner, so the module imports the compiled file.
const built = new URL('../dist/runtime/job-thread.js', import.meta.url).href;
const open: JobThread<string, string>[] = [];
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-jobs-'));
});
afterEach(async () => {
  for (const thread of open.splice(0)) await thread.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let count = 0;
/** A thread that counts its jobs in `jobs` and runs `body` for each `job`. */
function threadOf(body: string, limit?: JobLimit): JobThread<string, string> {
  const file = join(folder, `${count++}.mjs`);
  writeFileSync(file, `import { serveJobs } from ${JSON.stringify(built)};\nlet jobs = 0;\nserveJobs((job) => { jobs += 1; ${body} });\n`);
  const thread = openJobThread<string, string>(pathToFileURL(file), limit);
  open.push(thread);
  return thread;
}

test('one thread runs all jobs, in order of arrival', async () => {
  const thread = threadOf('return job + jobs;');
  expect(await Promise.all(['a', 'b', 'c'].map((job) => thread.run(job)))).toEqual(['a1', 'b2', 'c3']);
});

test('a job that throws rejects with its message, and the thread runs the next one', async () => {
  const thread = threadOf(`if (job === 'bad') throw new Error('no such frame'); return job + jobs;`);
  const [bad, good] = await Promise.allSettled([thread.run('bad'), thread.run('good')]);
  expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'INTERNAL', detail: 'no such frame' } });
  expect(good).toEqual({ status: 'fulfilled', value: 'good2' });
});

test('a thread that ends during a job rejects that job, and the next one gets a new thread', async () => {
  const thread = threadOf(`if (job === 'bad') process.exit(3); return job + jobs;`);
  const [bad, good] = await Promise.allSettled([thread.run('bad'), thread.run('good')]);
  expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'INTERNAL' } });
  expect(good).toEqual({ status: 'fulfilled', value: 'good1' });
});

test('a job over the limit rejects with the given error and ends its thread', async () => {
  const thread = threadOf(`if (job === 'slow') for (;;); return job + jobs;`, { ms: 2_000, error: () => new Error('too slow') });
  const [slow, good] = await Promise.allSettled([thread.run('slow'), thread.run('good')]);
  expect(slow).toMatchObject({ status: 'rejected', reason: { message: 'too slow' } });
  expect(good).toEqual({ status: 'fulfilled', value: 'good1' });
});
