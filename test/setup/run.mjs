/**
 * `npm test`: lists missing programs within seconds, builds, runs every test, and finally prints the test files skipped for
 * missing programs, the ten slowest files, and the counts on a line of their own. Arguments go to vitest: `-- gateway/` runs
 * the tests in that folder.
 *
 * If only a few files failed, they run once more, one at a time with nothing else running. A test that passes then is
 * printed as unstable, with the number of its failures. It has a fault, a race or a limit too short for a busy machine, but
 * does not block a change that did not touch it.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { missingFor, root, testFiles } from './needs.mjs';
import { installLine, missingPrograms } from './programs.mjs';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`Steno needs Node.js 20.19 or newer; this is ${process.version}.\n`);
  process.exit(69);
}

if (!existsSync(join(root, 'node_modules/vitest/vitest.mjs'))) {
  process.stderr.write('What npm installs is not here yet. Run `npm install` first.\n');
  process.exit(69);
}

const missing = missingPrograms();
/** @type {Map<string, string[]>} by the names of what is missing */
const skipped = new Map();
if (missing.length > 0) {
  const all = testFiles();
  for (const file of all) {
    const names = missingFor(file).join(', ');
    if (names !== '') skipped.set(names, [...(skipped.get(names) ?? []), relative(root, file)]);
  }
  const files = [...skipped.values()].flat().length;
  process.stdout.write(`Not installed here: ${missing.map((program) => program.name).join(', ')}.\n`);
  process.stdout.write(
    `${files} of ${all.length} test files start one of these and are skipped. To install them (Debian, Ubuntu):\n\n    npm run setup:tests\n\n  or by hand:\n\n    ${installLine(missing)}\n\n`,
  );
}

const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
if (build.status !== 0) process.exit(build.status ?? 1);

/** Times in ms since 1970. @typedef {{ name: string, status: string, startTime: number, endTime: number, assertionResults: { status: string, fullName: string }[] }} FileResult */

/** Prints failures at once. */
const failures = join(root, 'test/setup/failures.mjs');

/** If more files failed, the cause is no race, and they are not run again. */
const mostRepeated = 5;

const folder = mkdtempSync(join(tmpdir(), 'steno-tests-'));
const first = run('all', process.argv.slice(2));
const failedFiles = first?.filter((file) => file.status === 'failed') ?? [];
let whole = first;
if (first !== undefined && failedFiles.length > 0 && failedFiles.length <= mostRepeated) {
  process.stdout.write(`\n== the failed files once more, nothing beside them\n`);
  const second = run('again', [...failedFiles.map((file) => file.name), '--no-file-parallelism']);
  const again = new Map(second?.map((file) => [file.name, file]));
  for (const file of failedFiles) {
    if (again.get(file.name)?.status !== 'passed') continue;
    const names = file.assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName);
    for (const name of names.length > 0 ? names : ['could not be loaded'])
      process.stdout.write(`unstable: ${relative(root, file.name)}: ${name}: failed beside other tests, passed alone\n`);
  }
  whole = first.map((file) => (file.status === 'failed' && again.get(file.name)?.status === 'passed' && again.get(file.name)) || file);
}
const counted = count(whole);
rmSync(folder, { recursive: true, force: true });

const took = (/** @type {FileResult} */ file) => (file.endTime - file.startTime) / 1000;
const slowest = [...(whole ?? [])].sort((a, b) => took(b) - took(a)).slice(0, 10);
for (const file of slowest) process.stdout.write(`slowest: ${relative(root, file.name)} ${took(file).toFixed(0)} s\n`);
for (const [names, files] of skipped) process.stdout.write(`skipped, for want of ${names}: ${files.join(' ')}\n`);
process.stdout.write(counted.line);
process.exit(counted.whole ? 0 : 1);

/**
 * Runs vitest. Returns the result of each file, or undefined if vitest wrote no report or failed outside the tests.
 * @param {string} name
 * @param {readonly string[]} args
 * @returns {FileResult[] | undefined}
 */
function run(name, args) {
  const results = join(folder, `${name}.json`);
  const vitest = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      ...args,
      '--reporter=default',
      '--reporter=json',
      `--reporter=${failures}`,
      `--outputFile.json=${results}`,
    ],
    { cwd: root, stdio: 'inherit' },
  );
  try {
    const files = /** @type {{ testResults: FileResult[] }} */ (JSON.parse(readFileSync(results, 'utf8'))).testResults;
    // An error outside all tests fails the run but appears in no file.
    return vitest.status === 0 || files.some((file) => file.status === 'failed') ? files : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {FileResult[] | undefined} files
 * @returns {{ line: string, whole: boolean }}
 */
function count(files) {
  if (files === undefined) return { line: '0 passed, 1 failed\n', whole: false };
  const tests = files.flatMap((file) => file.assertionResults);
  const having = (/** @type {string} */ status) => tests.filter((test) => test.status === status).length;
  // A file that could not be loaded has failed, although none of its tests ran.
  const broken = files.filter((file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed')).length;
  const left = tests.length - having('passed') - having('failed');
  const whyKnown = new Set([...skipped.values()].flat());
  for (const file of files) {
    if (whyKnown.has(relative(root, file.name))) continue;
    for (const test of file.assertionResults)
      if (test.status !== 'passed' && test.status !== 'failed') process.stdout.write(`skipped: ${test.fullName}\n`);
  }
  const failed = having('failed') + broken;
  return {
    line: `${having('passed')} passed, ${failed} failed${left > 0 ? `, ${left} skipped` : ''}\n`,
    whole: failed === 0 && tests.length > 0,
  };
}
