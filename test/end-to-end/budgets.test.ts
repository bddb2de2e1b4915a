/**
 * What an operation costs the gateway, counted instead of timed: the system calls of a keystroke, a session and a mebibyte.
 * They hardly depend on how busy the machine is, so an operation over its budget is a regression.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Steno } from './machine.js';

const steno = new Steno();
const NODE = 'local.steno';
const BULK_MIB = 64;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
});
afterAll(() => steno.dispose());

interface Calls {
  /** read(2), readv(2) and pread(2), as /proc/PID/io counts them (proc_pid_io(5)): all threads. */
  readonly reads: number;
  readonly writes: number;
  readonly bytesWritten: number;
}

function calls(stage: string): Calls {
  const io = readFileSync(`/proc/${steno.run.processes[stage]!}/io`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)![1]);
  return { reads: of('syscr'), writes: of('syscw'), bytesWritten: of('wchar') };
}

/** How many calls each of `count` operations took, on the average. */
async function each(stage: string, count: number, operations: () => Promise<unknown>): Promise<Calls> {
  const before = calls(stage);
  await operations();
  const after = calls(stage);
  return {
    reads: (after.reads - before.reads) / count,
    writes: (after.writes - before.writes) / count,
    bytesWritten: (after.bytesWritten - before.bytesWritten) / count,
  };
}

/** Prints what was counted and fails where it is over the budget, which is about twice what was counted when it was set. */
function within(what: string, { reads, writes, bytesWritten }: Calls, budget: Calls): void {
  process.stdout.write(
    `counted: ${what}: ${reads.toFixed(2)} reads of at most ${budget.reads}, ${writes.toFixed(2)} writes of ${budget.writes}, ${Math.round(bytesWritten)} bytes written of ${budget.bytesWritten}\n`,
  );
  expect(reads, `${what}: reads`).toBeGreaterThan(0);
  expect(reads, `${what}: reads`).toBeLessThanOrEqual(budget.reads);
  expect(writes, `${what}: writes`).toBeLessThanOrEqual(budget.writes);
  expect(bytesWritten, `${what}: bytes written`).toBeLessThanOrEqual(budget.bytesWritten);
}

describe('the gateway keeps its budget for', () => {
  // One read from either side, one write to either side, and one to the spool for what was typed and for what was shown.
  it('a keystroke and its echo', async () => {
    const terminal = steno.terminal('ssh', ['-F', steno.config, '-tt', NODE, 'stty -icanon echo; echo ready; exec cat >/dev/null']);
    await terminal.until(/ready\r\n/);
    let typed = 0;
    const type = async (count: number): Promise<void> => {
      for (const until = typed + count; typed < until;) {
        terminal.write('k');
        await terminal.until(new RegExp(`ready\r\nk{${++typed}}`));
      }
    };
    await type(50);
    const taken = await each('gateway', 300, () => type(300));
    terminal.kill();
    await terminal.ended;
    within('a keystroke', taken, { reads: 4, writes: 8, bytesWritten: 600 });
  });

  it('a session that is set up, recorded and ended', async () => {
    const run = (): Promise<unknown> => steno.ssh(NODE, 'true');
    await run();
    const taken = await each('gateway', 20, async () => {
      for (let i = 0; i < 20; i++) expect(await run()).toMatchObject({ status: 0 });
    });
    within('a session', taken, { reads: 100, writes: 110, bytesWritten: 150_000 });
  });

  // Recorded as counts and hashes: what is written is what is passed on, and the recording's own uplink.
  it.each([
    ['from the node', () => steno.ssh(NODE, `head -c ${BULK_MIB}M /dev/zero`)],
    ['to the node', () => steno.exec('ssh', ['-F', steno.config, NODE, 'cat >/dev/null'], { input: Buffer.alloc(BULK_MIB << 20) })],
  ])('a mebibyte %s', async (way, pass) => {
    const taken = await each('gateway', BULK_MIB, async () => expect(await pass()).toMatchObject({ status: 0 }));
    within(`a mebibyte ${way}`, taken, { reads: 110, writes: 130, bytesWritten: 5_300_000 });
  });
});
