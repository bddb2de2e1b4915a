import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../../', import.meta.url).pathname;
const page = readFileSync(join(root, 'docs/settings.md'), 'utf8');
const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.ts', '*.tsx'], { cwd: root, encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((file) => !/^(test|bench)\/|\.test\.tsx?$|testkit|\/testing\//.test(file));
const read = new Set(
  sources.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/(?:\benv|environment|env)\[['"]([A-Z][A-Z0-9_]+)['"]\]/g)].map(
      ([, name]) => name!,
    ),
  ),
);

describe('docs/settings.md', () => {
  it('explains every environment variable that the code reads', () => {
    expect([...read].filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('names no STENO_ variable that no code reads', () => {
    const ours = [...page.matchAll(/`(STENO_[A-Z_]+)`/g)].map(([, name]) => name!);
    expect(ours.filter((name) => !read.has(name))).toEqual([]);
  });
});
