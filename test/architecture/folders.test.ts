/** The README of each folder names the folders in it, and no others. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
/** Folders with a project of their own. */
const folders = tracked.filter((file) => file.endsWith('/tsconfig.json')).map(dirname);

describe.each(folders)('%s/README.md', (folder) => {
  const page = join(root, folder, 'README.md');

  it('names every existing folder', () => {
    expect(existsSync(page), `${folder} has no README.md`).toBe(true);
    const inside = tracked.filter((file) => file.startsWith(`${folder}/`)).map((file) => file.slice(folder.length + 1));
    const actual = new Set(inside.filter((file) => file.includes('/')).map((file) => file.split('/')[0]!));
    const rows = readFileSync(page, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([\w-]+)\/`/g)].map(([, name]) => name!));
    expect(named.sort()).toEqual([...actual].sort());
  });

  it('sends the reader to files that exist', () => {
    const start = /Start with ([^]*?)(?:\n\n|$)/.exec(readFileSync(page, 'utf8'))?.[1] ?? '';
    const files = [...start.matchAll(/`([\w./-]+\.ts)`/g)].map(([, file]) => file!);
    expect(files.filter((file) => !existsSync(join(root, folder, file)))).toEqual([]);
  });
});
