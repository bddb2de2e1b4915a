import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KernelPrograms, explain, obstacles } from './programs.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a process that runs already', () => {
  let programs: KernelPrograms;
  let shell: ChildProcess;
  let number = 0;
  beforeAll(() => {
    programs = KernelPrograms.open();
  });
  afterAll(() => programs.close());
  beforeEach(() => {
    number += 1;
    shell = spawn('sh', ['-c', 'while read -r words; do $words; echo done; done'], { stdio: ['pipe', 'pipe', 'inherit'] });
  });
  afterEach(async () => {
    if (shell.exitCode !== null) return;
    const gone = once(shell, 'exit');
    shell.stdin!.end();
    await gone;
  });
  /** Tells the shell to run something: as a child, or in its own place. */
  const run = async (words: string): Promise<void> => {
    const told = once(shell.stdout!, 'data');
    shell.stdin!.write(`${words}\n`);
    await told;
  };
  const counters = (of = number): ReturnType<KernelPrograms['counters']> => programs.counters(of);

  it('is followed with its children from the next thing that it does', async () => {
    const attached = programs.attachTo(number, ['exec']);
    await run('/bin/true');
    expect(counters()).toMatchObject({ seen: 0, processes: 0 });
    expect(attached.add(shell.pid!)).toBe(true);
    expect(attached.add(shell.pid!)).toBe(false);
    await run('/bin/true');
    // The process, its child, and the child's execution and exit.
    expect(counters()).toMatchObject({ seen: 4, lost: 0, processes: 1 });
  });

  it('is of no session again once nobody is attached, and counts no more', async () => {
    const attached = programs.attachTo(number, ['exec']);
    attached.add(shell.pid!);
    await run('/bin/true');
    const { seen } = counters();
    attached.detach();
    attached.forget();
    await run('/bin/true');
    expect(counters()).toMatchObject({ seen, processes: 0 });
    shell.stdin!.end();
    await once(shell, 'exit');
    expect(counters()).toMatchObject({ seen, processes: 0 });
  });

  it('that did nothing while somebody was attached is not followed later', async () => {
    const attached = programs.attachTo(number, ['exec']);
    attached.add(shell.pid!);
    attached.detach();
    await run('/bin/true');
    expect(counters()).toMatchObject({ seen: 0, processes: 0 });
  });

  it('stays with the session that has it', async () => {
    const first = programs.attachTo(number, ['exec']);
    first.add(shell.pid!);
    await run('/bin/true');
    const second = programs.attachTo(1_000 + number, ['exec']);
    second.add(shell.pid!);
    await run('/bin/true');
    expect([counters().seen, counters(1_000 + number).seen]).toEqual([7, 0]);
    second.detach();
    first.detach();
  });

  it('may be attached to anew', async () => {
    const first = programs.attachTo(number, ['exec']);
    first.add(shell.pid!);
    await run('/bin/true');
    first.detach();
    first.forget();
    const second = programs.attachTo(2_000 + number, ['exec']);
    second.add(shell.pid!);
    await run('/bin/true');
    expect(counters(2_000 + number)).toMatchObject({ seen: 4, processes: 1, lost: 0 });
    second.detach();
  });
});
