import { existsSync, readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.tsx'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n');
const sources = new Map(tracked.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

/** Folders from lowest to highest; a file may import from the folders in `allowed` and from its own. */
const ranks: Readonly<Record<string, readonly string[]>> = {
  schemas: [],
  runtime: ['schemas'],
  stores: ['schemas', 'runtime'],
  recordings: ['schemas', 'runtime', 'stores'],
  authority: ['schemas', 'runtime', 'stores'],
  gateway: ['schemas', 'runtime'],
  agent: ['schemas', 'runtime'],
  ingest: ['schemas', 'runtime', 'stores', 'recordings'],
  analyzer: ['schemas', 'runtime', 'stores', 'recordings'],
  'viewer/api': ['schemas', 'runtime', 'stores', 'recordings'],
  'viewer/web': ['schemas', 'recordings'],
  cli: ['schemas', 'runtime', 'stores', 'recordings', 'authority', 'gateway', 'agent', 'ingest', 'analyzer', 'viewer/api'],
};

/** Product code: no tests, test support or benchmarks. */
const product = tracked.filter((file) => !/\.test\.tsx?$|\.d\.ts$|(?:^|\/)(?:test|testing|bench)\/|vite(?:st)?\.config/.test(file));

function folderOf(file: string): string {
  const [first = '', second = ''] = file.split('/');
  return first === 'viewer' ? `${first}/${second}` : first;
}

function imports(file: string): string[] {
  return [...sources.get(file)!.matchAll(/^\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|\bimport\('([^']+)'\)/gm)].flatMap(([, a, b]) => {
    const path = a ?? b!;
    if (path.startsWith('#')) return [resolve(path.slice(1))];
    if (path.startsWith('.')) return [resolve(normalize(join(dirname(file), path)))];
    return [];
  });
}

function resolve(path: string): string {
  // The part after a question mark is for Vite.
  const bare = path.replace(/\.(?:js|ts)(?:\?[\w&]+)?$/, '');
  return [`${bare}.ts`, `${bare}.tsx`, path].find((candidate) => sources.has(candidate)) ?? path;
}

describe('architecture', () => {
  it('a folder imports only folders below it; stages never import each other', () => {
    const wrong = tracked.flatMap((file) => {
      const allowed = ranks[folderOf(file)];
      // Tests of a stage may use another stage as a real counterpart.
      if (allowed === undefined || /\.test\.tsx?$|\/harness|\/testkit|\/testing\//.test(file)) return [];
      return imports(file)
        .filter((to) => folderOf(to) !== folderOf(file) && !allowed.includes(folderOf(to)) && folderOf(to) in ranks)
        .map((to) => `${file} → ${to}`);
    });
    expect(wrong).toEqual([]);
  });

  it('only the offline page reads recordings by itself', () => {
    const reading = tracked.filter((file) => file.startsWith('viewer/web/') && imports(file).some((to) => folderOf(to) === 'recordings'));
    expect(reading.filter((file) => !file.startsWith('viewer/web/offline/'))).toEqual([]);
  });

  it('there is no import cycle, types included', () => {
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (state.get(file) === 'done' || !sources.has(file)) return;
      if (state.get(file) === 'open') {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
        return;
      }
      state.set(file, 'open');
      for (const next of imports(file)) visit(next, [...path, file]);
      state.set(file, 'done');
    };
    for (const file of tracked) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it('every import resolves to a source file, not to a leftover of an earlier build in dist', () => {
    const lost = tracked.flatMap((file) =>
      imports(file)
        .filter((to) => !sources.has(to) && !existsSync(join(root, to)) && !sources.has(to.replace(/\.js$/, '.d.ts')))
        .map((to) => `${file} → ${to}`),
    );
    expect(lost).toEqual([]);
  });

  it('no two folders import each other', () => {
    const edges = new Set(
      product.flatMap((file) =>
        imports(file)
          .filter((to) => sources.has(to))
          .map((to) => `${dirname(file)} ${dirname(to)}`),
      ),
    );
    const mutual = [...edges].filter((edge) => {
      const [from, to] = edge.split(' ') as [string, string];
      return from < to && edges.has(`${to} ${from}`);
    });
    expect(mutual).toEqual([]);
  });

  it('no folder holds more than 15 source files, and no file imports more than 20 of its own stage', () => {
    const perFolder = new Map<string, number>();
    for (const file of product) perFolder.set(dirname(file), (perFolder.get(dirname(file)) ?? 0) + 1);
    // Migrations are exempt: a numbered series that only grows.
    expect([...perFolder].filter(([folder, count]) => count > 15 && basename(folder) !== 'migrations')).toEqual([]);
    const wide = product.filter((file) => {
      const own = imports(file).filter((to) => sources.has(to) && folderOf(to) === folderOf(file));
      return new Set(own).size > 20;
    });
    expect(wide).toEqual([]);
  });

  it('every test that a header names exists', () => {
    const exists = (path: string): boolean => sources.has(path);
    const stale = tracked.flatMap((file) =>
      [...sources.get(file)!.matchAll(/[Tt]ested (?:in|by|as a table in) `?([\w./-]+\.ts)/g)]
        .map(([, test]) => test!)
        .filter((test) => ![normalize(join(dirname(file), test)), test, `test/${test}`].some(exists))
        .map((test) => `${file} → ${test}`),
    );
    expect(stale).toEqual([]);
  });

  it('no file is over 800 lines', () => {
    const long = tracked.filter((file) => sources.get(file)!.split('\n').length > 800);
    expect(long).toEqual([]);
  });

  it('the folder map in README.md matches the folders', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    const named = [...readme.matchAll(/^\| \[`([a-z/]+)\/`\]/gm)].map(([, folder]) => folder!).sort();
    const actual = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
      .trim()
      .split('\n')
      .filter((file) => file.includes('/') && !file.startsWith('.'))
      .map(folderOf);
    expect(named).toEqual([...new Set(actual)].sort());
  });

  it('the lock file names no registry host', () => {
    expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/);
  });
});
