/**
 * Makes the files of a release in a folder of its own:
 *
 *     steno-VERSION.tgz           everything: services, agent, command line
 *     steno-client-VERSION.tgz    the command line without services: no native code, no compiler, no event store
 *     *.cdx.json                  an SBOM of each (CycloneDX), from the lock file
 *     SHA256SUMS
 *
 * `node deploy/package/make.mjs --out DIR [--no-build]`. The client's files are computed, not listed: everything that `cli/main.js` and
 * the helper of `ssh` import, except `servers` below. Its dependencies are the packages that these files import.
 * Tested in test/package/packages.test.ts, which installs both.
 */
// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const dist = join(root, 'dist');

/** Modules of `dist/` that the client leaves out: `cli/main.js` has none of their commands there, so it never loads them. */
const servers = [
  /^cli\/up\//,
  /^cli\/services\/(authority|command|store)\.js$/,
  /^cli\/verbs\/inventory\/agent\.js$/,
  /^cli\/verbs\/operation\/(doctor|reindex)\.js$/,
  /^(agent|authority|gateway|ingest|viewer|stores)\//,
  /^analyzer\/(config|process|main)\.js$/,
];
/** Files that are started by their path. */
const started = ['cli/main.js', 'cli/reach.js'];

const { values } = parseArgs({ options: { out: { type: 'string' }, 'no-build': { type: 'boolean', default: false } } });
if (values.out === undefined) {
  process.stderr.write('usage: node deploy/package/make.mjs --out DIR [--no-build]\n');
  process.exit(64);
}
const out = resolve(values.out);
mkdirSync(out, { recursive: true });
if (!values['no-build']) run('npm', ['run', '--silent', 'build'], root);

pack(root, 'steno');
const folder = mkdtempSync(join(tmpdir(), 'steno-client-'));
try {
  const { dependencies } = stageClient(folder);
  pack(folder, 'steno-client', dependencies);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const sums = readdirSync(out)
  .filter((name) => name !== 'SHA256SUMS')
  .sort()
  .map(
    (name) =>
      `${createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex')}  ${name}\n`,
  );
writeFileSync(join(out, 'SHA256SUMS'), sums.join(''));

/**
 * The SBOM comes from the lock file of the repository, so both packages name the versions that were tested.
 * @param {string} from folder with a package.json
 * @param {string} name
 * @param {readonly string[]} [only] dependencies; left out: all
 */
function pack(from, name, only) {
  run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', out], from);
  const file = join(out, `${name}-${manifest.version}.tgz`);
  const components = componentsOf(only ?? Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }));
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: { type: 'application', name, version: manifest.version, purl: `pkg:npm/${name}@${manifest.version}` } },
    components,
  };
  writeFileSync(file.replace(/\.tgz$/, '.cdx.json'), `${JSON.stringify(bom, null, 2)}\n`);
  const kib = Math.round(statSync(file).size / 1024);
  process.stdout.write(`${name}-${manifest.version}.tgz: ${kib} KiB, ${components.length} packages below it\n`);
}

/** @param {string} folder */
function stageClient(folder) {
  const { files, packages } = reachable();
  for (const file of files) {
    mkdirSync(dirname(join(folder, 'dist', file)), { recursive: true });
    cpSync(join(dist, file), join(folder, 'dist', file));
  }
  cpSync(join(root, 'bin'), join(folder, 'bin'), { recursive: true });
  // `steno export --html` embeds this code in pages.
  cpSync(join(dist, 'web/offline'), join(folder, 'dist/web/offline'), { recursive: true });
  // `steno rules` shows and tests the built-in rules.
  cpSync(join(root, 'analyzer/rules'), join(folder, 'analyzer/rules'), { recursive: true });
  for (const file of ['LICENSE', 'README.md']) if (existsSync(join(root, file))) cpSync(join(root, file), join(folder, file));
  const dependencies = [...packages].sort();
  const { version, license, type, engines, bin, imports } = manifest;
  writeFileSync(
    join(folder, 'package.json'),
    `${JSON.stringify(
      {
        name: 'steno-client',
        version,
        description: 'The command line of Steno, without its services',
        license,
        type,
        engines,
        bin,
        imports,
        dependencies: Object.fromEntries(dependencies.map((name) => [name, rangeOf(name)])),
      },
      null,
      2,
    )}\n`,
  );
  return { dependencies };
}

/** @param {string} name */
function rangeOf(name) {
  const range = manifest.dependencies[name];
  if (range === undefined) throw new Error(`${name} is imported by the client, and is not in "dependencies"`);
  return range;
}

/** Modules of `dist/` that the command line can load, and the packages that they import. */
function reachable() {
  /** @type {Set<string>} */
  const files = new Set();
  /** @type {Set<string>} */
  const packages = new Set();
  const waiting = [...started];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const { name, later } of importsOf(readFileSync(join(dist, file), 'utf8'))) {
      const path = name.startsWith('#') ? name.slice(1) : name.startsWith('.') ? relative(dist, resolve(dist, dirname(file), name)) : null;
      if (path !== null) {
        const isServer = servers.some((pattern) => pattern.test(path));
        if (isServer && !later) throw new Error(`${file} is the client's, and cannot be loaded without ${path}, which is not`);
        if (!isServer) waiting.push(path);
        continue;
      }
      const bare = name.split('/', name.startsWith('@') ? 2 : 1).join('/');
      if (!name.startsWith('node:') && !builtinModules.includes(bare)) packages.add(bare);
    }
  }
  return { files, packages };
}

/**
 * Finds imports in compiled code: statements at the start of a line, and `import()` calls with a literal (`later`).
 * @param {string} source
 * @returns {{ readonly name: string, readonly later: boolean }[]}
 */
function importsOf(source) {
  const found = [...source.matchAll(/^(?:import|export)\s(?:[^'";]*\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)|^} from '([^']+)'/gm)];
  return found.map(([, one, later, two]) => ({ name: one ?? later ?? two ?? '', later: later !== undefined }));
}

/**
 * The packages of the lock file that `names` depend on, once each.
 * @param {readonly string[]} names
 */
function componentsOf(names) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  /** @type {Map<string, { type: string, name: string, version: string, purl: string, licenses?: unknown, hashes?: unknown }>} */
  const found = new Map();
  /** @type {[string, string][]} */
  const waiting = names.map((name) => ['', name]);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [from, name] = next;
    const place = placeOf(packages, from, name);
    if (place === undefined || found.has(place)) continue;
    const { version, license, integrity, dependencies, optionalDependencies } = packages[place];
    const sha512 = /^sha512-(.+)$/.exec(integrity ?? '')?.[1];
    found.set(place, {
      type: 'library',
      name,
      version,
      purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
      ...(license === undefined ? {} : { licenses: [{ license: /^[\w.+-]+$/.test(license) ? { id: license } : { name: license } }] }),
      ...(sha512 === undefined ? {} : { hashes: [{ alg: 'SHA-512', content: Buffer.from(sha512, 'base64').toString('hex') }] }),
    });
    for (const other of Object.keys({ ...dependencies, ...optionalDependencies })) waiting.push([place, other]);
  }
  return [...found.values()].sort((a, b) => (a.purl < b.purl ? -1 : 1));
}

/**
 * The key in the lock file at which Node would resolve `name` from `from`; undefined if it is not installed.
 * @param {Readonly<Record<string, unknown>>} packages
 * @param {string} from
 * @param {string} name
 */
function placeOf(packages, from, name) {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    const place = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (place in packages) return place;
    if (at === '') return undefined;
  }
}

/** @param {string} file @param {readonly string[]} args @param {string} cwd */
function run(file, args, cwd) {
  const { status } = spawnSync(file, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
