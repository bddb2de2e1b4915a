/**
 * The two packages of a release as users get them. The files of the full package run the services; npm installs the client
 * package into an empty prefix, and its command talks to them. The full package uses this repository's node_modules.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Steno, eventually } from '../end-to-end/machine.js';
import type { SessionRow } from '../end-to-end/machine.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const folder = mkdtempSync(join(tmpdir(), 'steno-packages-'));
const out = join(folder, 'out');
const whole = join(folder, 'whole');
const prefix = join(folder, 'prefix');
const client = join(prefix, 'bin/steno');

/** Paths below a folder, links not followed. */
const filesIn = (path: string): string[] => readdirSync(path, { recursive: true, encoding: 'utf8' });

beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'deploy/package/make.mjs'), '--out', out, '--no-build'], { stdio: 'ignore' });
  mkdirSync(whole);
  execFileSync('tar', ['-xzf', join(out, `steno-${version}.tgz`), '-C', whole, '--strip-components=1']);
  symlinkSync(join(root, 'node_modules'), join(whole, 'node_modules'));
  execFileSync(
    'npm',
    ['install', '--global', '--prefix', prefix, '--prefer-offline', '--no-audit', '--no-fund', join(out, `steno-client-${version}.tgz`)],
    { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder },
  );
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  it('has all runtime files, and no tests, sources or paths of the build machine', () => {
    const files = filesIn(whole).filter((file) => !file.startsWith('node_modules'));
    expect(files.filter((file) => /\.(?:test|d)\.[jt]s|\.tsx?$|\.map$|tsbuildinfo|\btesting\//.test(file))).toEqual([]);
    for (const needed of ['bin/steno', 'dist/cli/main.js', 'dist/web/index.html', 'agent/bpf/steno.bpf.o', 'analyzer/rules', 'patches'])
      expect(files, needed).toContain(needed);
    const named = spawnSync('grep', ['-rlF', '--exclude-dir=node_modules', root, whole], { encoding: 'utf8' });
    expect(named.stdout).toBe('');
  });

  it('of the client is small, has no native code and runs no install scripts', () => {
    const files = filesIn(prefix);
    expect(files.filter((file) => /\.(node|so|dll|dylib|gyp)$/.test(file))).toEqual([]);
    const installed = join(prefix, 'lib/node_modules/steno-client/node_modules');
    const packages = readdirSync(installed).flatMap((name) =>
      name.startsWith('@') ? readdirSync(join(installed, name)).map((inner) => `${name}/${inner}`) : name.startsWith('.') ? [] : [name],
    );
    const scripts = packages.filter((name) => {
      const { scripts } = JSON.parse(readFileSync(join(installed, name, 'package.json'), 'utf8')) as { scripts?: Record<string, string> };
      return ['preinstall', 'install', 'postinstall'].some((script) => scripts?.[script] !== undefined);
    });
    expect(scripts).toEqual([]);
    // Every dependency needs a justification: raise this number with it.
    expect(packages.sort()).toHaveLength(16);
    const bom = JSON.parse(readFileSync(join(out, `steno-client-${version}.cdx.json`), 'utf8')) as { components: { name: string }[] };
    expect(bom.components.map(({ name }) => name).sort()).toEqual(packages);
  });

  it('comes with correct checksums', () => {
    expect(execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: out, encoding: 'utf8' }).match(/: OK$/gm)).toHaveLength(4);
  });
});

describe('the client', () => {
  const steno = new Steno(join(whole, 'bin/steno'));
  const ask = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await steno.exec(client, args);
    expect(status, `${args.join(' ')}\n${stdout}${stderr}\n${steno.logs()}`).toBe(0);
    return stdout;
  };
  beforeAll(() => steno.start());
  afterAll(() => steno.dispose());

  it('prints its version and its commands, and names the package with the others', async () => {
    expect((await ask('--version')).trim()).toBe(version);
    const help = await ask('--help');
    expect(help).toMatch(/^ +verify /m);
    expect(help).not.toMatch(/Services:|^ +(?:agent|reindex|doctor) /m);
    for (const verb of ['up', 'gateway', 'agent', 'doctor', 'reindex']) {
      const { status, stderr } = await steno.exec(client, [verb]);
      expect({ verb, status, told: /CLIENT_ONLY/.test(stderr) }).toEqual({ verb, status: 78, told: true });
    }
  });

  it('every command has its files', async () => {
    const verbs = [...(await ask('--help')).matchAll(/^ {2}([a-z]+)(?: |\|)/gm)].map(([, verb]) => verb!);
    expect(verbs.length).toBeGreaterThan(25);
    const left = verbs.filter((verb) => verb !== 'help');
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let verb = left.shift(); verb !== undefined; verb = left.shift()) await ask(verb, '--help');
      }),
    );
  });

  it('signs in, connects, finds, replays, exports and verifies', async () => {
    await ask('login', '--data', steno.data);
    await ask('ssh', `${steno.login}@local`, 'echo packed-$((6*7))');
    const session = (
      await eventually(
        async () => JSON.parse(await ask('sessions', '--json')) as SessionRow[],
        (rows) => rows.length === 1 && rows[0]!.state === 'sealed',
      )
    )[0]!;
    expect(await ask('search', 'packed 42')).toContain(session.id);
    expect(await ask('play', session.id, '--speed', '100')).toContain('packed-42');
    const bundle = join(folder, 'session.steno');
    await ask('export', session.id, '-o', bundle);
    expect(existsSync(bundle)).toBe(true);
    await ask('verify', session.id);
    await ask('kube', 'ls');
    await ask('rules', 'coverage');
  });
});
