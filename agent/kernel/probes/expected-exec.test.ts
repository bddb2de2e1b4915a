import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe, commands } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: ${explain(missing)}`);

/** A mount namespace with a shell that runs commands given to it represents the container; nsenter represents the runtime. */
describe.skipIf(missing.length > 0)('a command that is put into a container', () => {
  let probe: Probe;
  let folder: string;
  let container: ChildProcess;
  let mntNs: number;
  beforeAll(async () => {
    probe = new Probe();
    folder = mkdtempSync(join(tmpdir(), 'steno-expected-'));
    container = spawn('unshare', ['-m', 'sh', '-c', 'echo there; while read -r words; do $words; done'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(container.stdout!, 'data');
    mntNs = Number(/\d+/.exec(readlinkSync(`/proc/${container.pid!}/ns/mnt`))![0]);
  });
  afterAll(async () => {
    container.stdin!.end();
    await once(container, 'exit');
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const enter = (words: readonly string[]): readonly string[] => ['-t', String(container.pid!), '-m', '--', ...words];
  /** `others` are started in the container first. */
  const run = (words: readonly string[], others: readonly (readonly string[])[] = [], as = words): ReturnType<Probe['run']> => {
    const all = [...others, words].map((one) => ['nsenter', ...enter(one)].map((word) => `'${word}'`).join(' '));
    return probe.run('/bin/sh', ['-c', all.join('\n')], { expect: { mntNs, argv: as } });
  };
  /** Runs commands as children of the container's own shell. */
  const byItself = async (words: readonly string[]): Promise<void> => {
    const told = once(container.stdout!, 'data');
    container.stdin!.write(`${words.join(' ')}\necho done\n`);
    await told;
  };

  it('is followed from its execution on, with its children, and nothing before it', async () => {
    const outcome = await run(['sh', '-c', '/bin/true child; exit 3']);
    expect(commands(outcome)).toEqual(['sh -c /bin/true child; exit 3', '/bin/true child']);
    expect(outcome).toMatchObject({ matches: 1, gaps: [], code: 3, counters: { processes: 0, lost: 0, unfollowed: 0 } });
    expect(outcome.seen.filter(({ kind }) => kind === 'exec').map(({ data }) => data['mnt_ns'])).toEqual([mntNs, mntNs]);
  });

  it('is told from other commands, and from the same words in other places', async () => {
    const words = ['sh', '-c', '/bin/true mine'];
    const outcome = await run(words, [
      ['sh', '-c', '/bin/true other'],
      ['sh', '-c', '/bin/true mine', ''],
      ['sh', '-c', '/bin/true', 'mine'],
    ]);
    expect(commands(outcome)).toEqual(['sh -c /bin/true mine', '/bin/true mine']);
    expect(outcome.matches).toBe(1);
    const elsewhere = await probe.run('/bin/sh', ['-c', "sh -c '/bin/true mine'; true"], { expect: { mntNs, argv: words } });
    expect([elsewhere.matches, elsewhere.seen.map(({ kind }) => kind)]).toEqual([0, ['kernel']]);
  });

  it('is told from the same command that the container starts by itself', async () => {
    const words = ['/bin/true', 'by-itself'];
    const window = probe.programs.expect(4_000, ['exec'], { mntNs, argv: words });
    await byItself(words);
    expect(window.matches()).toBe(0);
    window.close();
    expect(probe.programs.counters(4_000)).toMatchObject({ seen: 0, processes: 0 });
  });

  it('of two that are alike the first is followed, and both are counted', async () => {
    const words = ['/bin/true', 'alike'];
    const outcome = await run(words, [words]);
    expect(commands(outcome)).toEqual(['/bin/true alike']);
    expect(outcome.matches).toBe(2);
  });

  it('nothing else is expected of the same words until the window is closed', () => {
    const exec = { mntNs, argv: ['twice'] };
    const window = probe.programs.expect(4_001, ['exec'], exec);
    expect(() => probe.programs.expect(4_002, ['exec'], exec)).toThrow(/expected: -17/);
    window.close();
    probe.programs.expect(4_002, ['exec'], exec).close();
  });

  it.each([
    ['', '#!/bin/sh\n'],
    ['with an argument of the interpreter, ', '#!/bin/sh -e\n'],
  ])('may be a script, %sfound by its name', async (_, first) => {
    const script = join(folder, 'script.sh');
    writeFileSync(script, `${first}/bin/true "$1"\n`);
    chmodSync(script, 0o755);
    const outcome = await run([script, 'told', ''], [[script, 'other', '']], ['script.sh', 'told', '']);
    expect(commands(outcome).at(-1)).toBe('/bin/true told');
    expect(outcome.matches).toBe(1);
  });

  it('may have more arguments than the kernel hashes', async () => {
    const long = Array.from({ length: 60 }, (_, i) => `${i}`.repeat(100));
    const outcome = await run(['/bin/true', ...long], [['/bin/true', ...long, 'more']]);
    expect(outcome.matches).toBe(1);
  });
});
