/**
 * `npm run mutate`: changes the code of each module in modules.mjs, one operator or condition at a time, and lists the changes that
 * no test notices. Fails if a module's score is below its floor. `npm run mutate -- policy chain` runs those modules,
 * `npm run mutate -- schemas/search` any folder with the tests in it.
 *
 * Stryker is not a dependency of the package: it has 64 MB and is used by hand and in `.ci/full`. The script installs a fixed
 * version into node_modules/.cache, where it finds the vitest of this repository, and works on a copy of the sources in the
 * system's temporary folder.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modules } from './modules.mjs';

/** The last version for Node.js 20. */
const VERSION = '9.6.1';
const root = fileURLToPath(new URL('../../', import.meta.url));
const installed = join(root, 'node_modules/.cache/mutation', VERSION);
const stryker = join(installed, 'node_modules/@stryker-mutator/core/bin/stryker.js');

/** @typedef {{ status: string, mutatorName: string, replacement?: string, location: { start: { line: number, column: number } } }} Mutant */

/** @param {string} text @returns {never} */
function stop(text) {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

function install() {
  if (existsSync(stryker)) return;
  mkdirSync(installed, { recursive: true });
  writeFileSync(join(installed, 'package.json'), '{ "private": true }\n');
  const packages = ['core', 'vitest-runner'].map((name) => `@stryker-mutator/${name}@${VERSION}`);
  // Without peer dependencies: a second vitest would collect no tests.
  const { status } = spawnSync('npm', ['install', '--legacy-peer-deps', '--no-audit', '--no-fund', '--silent', ...packages], {
    cwd: installed,
    stdio: 'inherit',
  });
  if (status !== 0) stop(`Stryker ${VERSION} could not be installed.`);
}

/** @param {string} word the name of a module, or a folder @returns {import('./modules.mjs').Module} */
function moduleOf(word) {
  const known = modules.find(({ name }) => name === word);
  if (known !== undefined) return known;
  const folder = relative(root, join(root, word));
  if (folder.startsWith('..') || !existsSync(join(root, folder)) || !statSync(join(root, folder)).isDirectory())
    stop(`${word} is neither a folder nor one of ${modules.map(({ name }) => name).join(', ')}.`);
  return { name: folder, mutate: [`${folder}/**/*.ts`], tests: [`${folder}/**/*.test.ts`], atLeast: 0 };
}

/** @param {import('./modules.mjs').Module} module @param {string} work @returns {boolean} whether the tests notice enough */
function mutate({ name, mutate: sources, tests, atLeast }, work) {
  const report = join(work, 'report.json');
  rmSync(report, { force: true });
  const options = {
    testRunner: 'vitest',
    vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
    coverageAnalysis: 'perTest',
    // String literals are not mutated: the compiler checks those that the code compares, and the rest are messages for people.
    mutator: { excludedMutations: ['StringLiteral'] },
    mutate: [...sources, '!**/*.test.ts', '!**/testing/**', '!**/*.d.ts'],
    ignorePatterns: ['/dist', '/docs', '/bench', '/viewer/web/dist'],
    tempDirName: join(work, 'copy'),
    reporters: ['json'],
    jsonReporter: { fileName: report },
    // Every worker reads the tests from this variable.
    concurrency: Number(process.env['STENO_MUTATION_WORKERS'] ?? 2),
    // A mutant that does not end counts as noticed, so a busy machine must not make one of any mutant.
    timeoutFactor: 4,
  };
  const file = join(work, 'options.json');
  writeFileSync(file, JSON.stringify(options));
  const { status } = spawnSync(process.execPath, [stryker, 'run', file, '--logLevel', 'error'], {
    cwd: root,
    env: { ...process.env, STENO_MUTATION_TESTS: tests.join(',') },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0 || !existsSync(report)) {
    process.stdout.write(`${name}: Stryker ended with ${status}\n`);
    return false;
  }
  const { files } = /** @type {{ files: Record<string, { source: string, mutants: Mutant[] }> }} */ (
    JSON.parse(readFileSync(report, 'utf8'))
  );
  let noticed = 0;
  let missed = 0;
  let endless = 0;
  for (const [path, { source, mutants }] of Object.entries(files)) {
    const lines = source.split('\n');
    for (const { status: outcome, mutatorName, replacement = '', location } of mutants) {
      if (outcome === 'Killed' || outcome === 'Timeout') noticed += 1;
      if (outcome === 'Timeout') endless += 1;
      if (outcome !== 'Survived' && outcome !== 'NoCoverage') continue;
      missed += 1;
      const { line, column } = location.start;
      const shown = replacement.replaceAll(/\s+/g, ' ').slice(0, 100);
      process.stdout.write(
        `${path}:${line}:${column} ${mutatorName}${outcome === 'NoCoverage' ? ', no test runs it' : ''}: ${shown}\n    ${lines[line - 1]?.trim() ?? ''}\n`,
      );
    }
  }
  const score = noticed + missed === 0 ? 100 : (100 * noticed) / (noticed + missed);
  process.stdout.write(
    `${name}: ${score.toFixed(1)} %: ${noticed} of ${noticed + missed} mutants noticed, ${endless} of them by a time limit, wanted ${atLeast} %\n`,
  );
  return score >= atLeast;
}

install();
const words = process.argv.slice(2);
const chosen = words.length === 0 ? modules : words.map(moduleOf);
const work = mkdtempSync(join(tmpdir(), 'steno-mutation-'));
const failed = chosen.filter((module) => !mutate(module, work)).map(({ name }) => name);
rmSync(work, { recursive: true, force: true });
if (failed.length > 0) stop(`Too few mutants were noticed: ${failed.join(', ')}`);
