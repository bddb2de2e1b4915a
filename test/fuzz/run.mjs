/**
 * The coverage-guided run: `npm run fuzz -- [--seconds N] [--runs N] [TARGET…]`. Each target runs in a process of its own,
 * under Jazzer.js (libFuzzer), until it has tried `runs` inputs or `seconds` are over. A finding is written to
 * `test/fuzz/found/TARGET/`, where fuzz.test.ts retries it in every run, and the next target follows. As many targets run at a
 * time as there are cores.
 * Inputs that reached new code are kept in `node_modules/.cache/fuzz`, and a later run starts from them.
 *
 * Jazzer.js needs glibc 2.38; on an older system, Node.js runs on the libraries that .ci/debian13 unpacked. Prints a table,
 * and exits with 1 if there was a finding.
 */
// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const usage = 'usage: npm run fuzz -- [--seconds N] [--runs N] [TARGET…]\n';
const { values, positionals } = commandLine();
const [seconds, runs] = [Number(values.seconds), Number(values.runs)];
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
if (!(seconds > 0) || !(runs > 0)) {
  process.stderr.write(usage);
  process.exit(64);
}

function commandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '60' },
        runs: { type: 'string', default: '10000000' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    process.stderr.write(`${/** @type {Error} */ (error).message}\n${usage}`);
    process.exit(64);
  }
}

/** Command line of a Node.js that can load the fuzzer, or null. */
function nodeForFuzzing() {
  const needed = 38;
  const header = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report.getReport()).header;
  const [, minor = 0] = (header.glibcVersionRuntime ?? '0.0').split('.').map(Number);
  if (minor >= needed) return [process.execPath];
  const libraries = join(root, 'node_modules/.cache/debian13/usr/lib/x86_64-linux-gnu');
  const loader = join(libraries, 'ld-linux-x86-64.so.2');
  return existsSync(loader) && existsSync(join(libraries, 'libstdc++.so.6'))
    ? [loader, '--library-path', libraries, realpathSync(process.execPath)]
    : null;
}

const node = nodeForFuzzing();
const jazzer = join(root, 'node_modules/@jazzer.js/core/dist/cli.js');
if (node === null || !existsSync(jazzer)) {
  process.stdout.write(
    `skipped: the guided fuzzer (skipped: ${node === null ? 'this glibc is older than 2.38, and .ci/debian13 could not fetch a newer one' : '@jazzer.js/core is not installed'})\n`,
  );
  process.exit(0);
}

const cache = join(root, 'node_modules/.cache/fuzz');
mkdirSync(cache, { recursive: true });
const prepared = spawnSync(process.execPath, [join(root, 'dist/test/fuzz/prepare.js'), cache], {
  cwd: root,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (prepared.status !== 0) process.exit(1);
/** @type {{ name: string, covers: string[], maxLength: number }[]} */
const targets = prepared.stdout
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
const unknown = positionals.filter((name) => !targets.some((target) => target.name === name));
if (unknown.length > 0) {
  process.stderr.write(`No target is named ${unknown.join(', ')}. There are: ${targets.map(({ name }) => name).join(' ')}\n`);
  process.exit(64);
}

let findings = 0;
process.stdout.write(
  `${'target'.padEnd(18)} ${'inputs'.padStart(10)} ${'a second'.padStart(9)} ${'seconds'.padStart(7)} ${'branches'.padStart(8)}  result\n`,
);
const waiting = targets.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) report(target, await fuzz(target));
  }),
);
process.exit(findings === 0 ? 0 : 1);

/**
 * Prints a row of the table.
 * @param {{ name: string }} target
 * @param {Awaited<ReturnType<typeof fuzz>>} result
 */
function report({ name }, { inputs, seconds: took, branches, found, tail }) {
  const rate = Math.round(inputs / Math.max(1, took));
  process.stdout.write(
    `${name.padEnd(18)} ${String(inputs).padStart(10)} ${String(rate).padStart(9)} ${String(Math.round(took)).padStart(7)} ${String(branches).padStart(8)}  ${found.length === 0 ? 'clean' : `FOUND ${found.join(' ')}`}\n`,
  );
  if (found.length === 0) return;
  findings += 1;
  process.stdout.write(`${tail}\n`);
}

/**
 * @param {{ name: string, covers: string[], maxLength: number }} target
 * @returns {Promise<{ inputs: number, seconds: number, branches: number, found: string[], tail: string }>}
 */
async function fuzz({ name, covers, maxLength }) {
  const folder = join(cache, name);
  const corpus = join(folder, 'corpus');
  const crashes = join(folder, 'crashes');
  for (const path of [corpus, crashes]) mkdirSync(path, { recursive: true });
  const options = [
    join(root, 'dist/test/fuzz/guided.js'),
    '--fuzzEntryPoint',
    'fuzz',
    '--sync',
    '--disable_bug_detectors',
    '.*',
    ...covers.flatMap((part) => ['-i', part.startsWith('node_modules') ? part : `dist/${part}`]),
    ...(covers.some((part) => part.startsWith('node_modules')) ? ['-e', 'nothing'] : []),
    corpus,
    join(folder, 'seeds'),
    '--',
    `-runs=${runs}`,
    `-max_total_time=${seconds}`,
    `-max_len=${maxLength}`,
    `-dict=${join(folder, 'words')}`,
    `-artifact_prefix=${crashes}/`,
    '-timeout=25',
    '-rss_limit_mb=3072',
    '-print_final_stats=1',
  ];
  const began = Date.now();
  const child = spawn(node[0], [...node.slice(1), jazzer, ...options], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, STENO_FUZZ_TARGET: name },
  });
  let output = '';
  const keep = (/** @type {Buffer} */ chunk) => {
    output = (output + chunk.toString()).slice(-64_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const status = await new Promise((resolve) => child.on('close', resolve));
  const found = readdirSync(crashes);
  const to = join(root, 'test/fuzz/found', name);
  if (found.length > 0) mkdirSync(to, { recursive: true });
  for (const file of found) renameSync(join(crashes, file), join(to, file));
  if (status !== 0 && found.length === 0) found.push(`exit ${status}`);
  const last = (/** @type {RegExp} */ pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const inputs = last(/stat::number_of_executed_units:\s+(\d+)/g) || last(/Done (\d+) runs/g) || last(/^#(\d+)\s/gm);
  return {
    inputs,
    seconds: (Date.now() - began) / 1000,
    branches: last(/cov: (\d+)/g),
    found,
    tail: output
      .split('\n')
      .filter((line) => !/^#\d+\s/.test(line))
      .slice(-30)
      .join('\n'),
  };
}
