/**
 * `npm test`: says within seconds which programs are missing, builds, runs every test, and ends with the test files
 * that were skipped for want of a program and the counts on a line of their own. Arguments go to vitest, `-- gateway/`
 * runs what is in that folder.
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

const folder = mkdtempSync(join(tmpdir(), 'steno-tests-'));
const results = join(folder, 'results.json');
const vitest = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...process.argv.slice(2),
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
  ],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
const counted = count();
rmSync(folder, { recursive: true, force: true });

for (const [names, files] of skipped) process.stdout.write(`skipped, for want of ${names}: ${files.join(' ')}\n`);
process.stdout.write(counted.line);
process.exit(vitest.status === 0 && counted.whole ? 0 : 1);

/** @returns {{ line: string, whole: boolean }} */
function count() {
  /** @type {{ testResults: { name: string, status: string, assertionResults: { status: string, fullName: string }[] }[] }} */
  let report;
  try {
    report = JSON.parse(readFileSync(results, 'utf8'));
  } catch {
    return { line: '0 passed, 1 failed\n', whole: false };
  }
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const having = (/** @type {string} */ status) => tests.filter((test) => test.status === status).length;
  // A file that could not be loaded has failed, though none of its tests ran.
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  ).length;
  const left = tests.length - having('passed') - having('failed');
  const whyKnown = new Set([...skipped.values()].flat());
  for (const file of report.testResults) {
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
