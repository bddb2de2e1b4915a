/** docs/soc2.md: every line names a command and a test that exist, or says that there is none yet. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bin } from '../end-to-end/machine.js';

const root = join(import.meta.dirname, '../..');
const rows = readFileSync(join(root, 'docs/soc2.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| CC'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
const verbs = new Set(
  [...execFileSync(process.execPath, [bin, '--help'], { encoding: 'utf8' }).matchAll(/^ {2}([a-z]+)\b/gm)].map(([, verb]) => verb),
);

/** The required points of focus, by criterion. */
const wanted: Readonly<Record<string, number>> = {
  'CC6.1': 9,
  'CC6.2': 3,
  'CC6.3': 4,
  'CC6.6': 4,
  'CC6.7': 1,
  'CC7.2': 2,
  'CC7.3': 2,
  'CC7.4': 4,
  'CC7.5': 2,
};

describe('docs/soc2.md', () => {
  it('has a line for every point of focus', () => {
    const counts: Record<string, number> = {};
    for (const [point] of rows) counts[point!.split(' ')[0]!] = (counts[point!.split(' ')[0]!] ?? 0) + 1;
    expect(counts).toEqual(wanted);
  });

  it.each(rows)('%s', (_point, feature, shown, tested) => {
    expect(feature).not.toBe('');
    if (shown === 'not yet' || tested === 'not yet') {
      expect([shown, tested]).toEqual(['not yet', 'not yet']);
      return;
    }
    const commands = [...shown!.matchAll(/`steno ([a-z]+)[^`]*`/g)].map(([, verb]) => verb);
    expect(commands.length).toBeGreaterThan(0);
    for (const verb of commands) expect(verbs, `steno ${verb}`).toContain(verb);
    expect(existsSync(join(root, tested!)), tested).toBe(true);
  });
});
