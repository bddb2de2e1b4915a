/**
 * `npm run setup:tests`: installs the programs that tests start, on Debian and Ubuntu, by apt-get. Needs root, or sudo
 * without a password. Skips packages that this release does not have, and names them. Then builds the programs that are not
 * packaged (run `npm install` first): an S3 server, pySigma, and clients on other libraries, each if its compiler is installed.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onPath, packages } from './programs.mjs';

const root = process.getuid?.() === 0;

/** @param {string[]} words @param {boolean} [quiet] */
function asRoot(words, quiet = false) {
  const [file = '', ...args] = root ? words : ['sudo', '-n', ...words];
  return spawnSync(file, args, {
    stdio: ['ignore', quiet ? 'ignore' : 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  }).status;
}

/** @param {string} name */
function isInstalled(name) {
  return /ok installed/.test(spawnSync('dpkg-query', ['-W', '-f', '${Status}', name], { encoding: 'utf8' }).stdout ?? '');
}

/** @param {string} name */
function isAvailable(name) {
  return /^\s+Candidate: (?!\(none\))/m.test(spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' }).stdout ?? '');
}

if (!onPath('apt-get')) {
  process.stderr.write(`This installs Debian packages, and there is no apt-get here. The tests want: ${packages().join(' ')}\n`);
  process.exit(69);
}
let wanted = packages().filter((name) => !isInstalled(name));
if (wanted.length > 0) {
  process.stdout.write(`Installing ${wanted.length} packages: ${wanted.join(' ')}\n`);
  if (asRoot(['apt-get', 'update', '-qq']) !== 0) process.exit(1);
  const absent = wanted.filter((name) => !isAvailable(name));
  if (absent.length > 0)
    process.stdout.write(`Not in this release, and left out: ${absent.join(' ')}. Tests that need them are skipped.\n`);
  wanted = wanted.filter((name) => !absent.includes(name));
  if (wanted.length > 0 && asRoot(['apt-get', 'install', '-y', '-qq', '--no-install-recommends', ...wanted], true) !== 0) process.exit(1);
}
// Folder for sshd's privilege separation, which its service would make.
if (root) mkdirSync('/run/sshd', { recursive: true });
process.stdout.write('The programs that the tests start are installed.\n');

// `npm ci` empties node_modules, which contains them.
const folder = fileURLToPath(new URL('../../', import.meta.url));
if (existsSync(join(folder, 'node_modules/vitest'))) {
  for (const script of ['test/peers/versitygw', 'test/peers/sigma/build', 'test/clients/build']) {
    const { status } = spawnSync('bash', [join(folder, script)], { stdio: 'inherit' });
    if (status !== 0) process.stdout.write(`${script} built not everything: the tests that want it are skipped, and say so.\n`);
  }
}
