import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { compiled, hasCompiler } from '../testing/attack.js';
import { Probe, commands } from '../testing/probe.js';

const missing = hasCompiler() ? obstacles() : [{ what: 'clang is not installed', fix: '' }];
if (missing.length > 0) console.log(`skipped: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a process is of its session until its last thread is gone', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-membership-')));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('two threads that end at the same moment end their process once', async () => {
    const rounds = 1_500;
    const { seen, counters } = await probe.sh(`${compiled('exit-race', folder)} ${rounds}; exec /bin/echo afterwards`, {
      classes: ['exec'],
    });
    expect(counters).toMatchObject({ lost: 0, unfollowed: 0, processes: 0 });
    const count = (kind: string): number => seen.filter((one) => one.kind === kind).length;
    // The evidence is the program, which waits for each child, and the kernel's own forks.
    expect([count('fork'), count('exit')]).toEqual([rounds + 2, rounds + 2]);
    expect(commands({ seen })).toContain('/bin/echo afterwards');
  });
});
