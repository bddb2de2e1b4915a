/** docs/security-tests.md names tests that exist, and every fuzzed parser. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { targets } from '../fuzz/targets.js';

const root = new URL('../../', import.meta.url);
const page = readFileSync(new URL('docs/security-tests.md', root), 'utf8');
const rowsOf = (section: string): string[] =>
  page
    .split(`## ${section}`)[1]!
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| attack |') && !line.startsWith('| parser |'));

describe('docs/security-tests.md', () => {
  it('names an existing test for each attack', () => {
    const rows = rowsOf('Attacks');
    expect(rows.length).toBeGreaterThan(40);
    for (const row of rows) {
      const [, , , tests = ''] = row.split(' | ').length === 3 ? ['', ...row.split(' | ')] : row.split('|');
      const files = [...tests.matchAll(/`([^`]+)`/g)].map(([, file]) => file!);
      expect(files.length, row).toBeGreaterThan(0);
      for (const file of files) expect(file.endsWith('.test.ts') && existsSync(new URL(file, root)), file).toBe(true);
    }
  });

  it('names every fuzzed parser once', () => {
    const named = rowsOf('Fuzzing').flatMap((row) => [...row.split('|')[2]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    expect(named.sort()).toEqual(targets.map(({ name }) => name).sort());
  });
});
