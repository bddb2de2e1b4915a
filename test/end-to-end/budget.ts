/**
 * What an operation costs a process, counted instead of timed: its system calls, and the bytes that it writes. They hardly
 * depend on how busy the machine is, so an operation over its budget is a regression.
 */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

export interface Calls {
  /** read(2), readv(2) and pread(2), as /proc/PID/io counts them (proc_pid_io(5)): all threads. */
  readonly reads: number;
  readonly writes: number;
  readonly bytesWritten: number;
}

/** How many calls of the process each of `count` operations took, on the average. */
export async function callsOfEach(pid: number, count: number, operations: () => Promise<unknown>): Promise<Calls> {
  const before = calls(pid);
  await operations();
  const after = calls(pid);
  const each = (name: keyof Calls): number => (after[name] - before[name]) / count;
  return { reads: each('reads'), writes: each('writes'), bytesWritten: each('bytesWritten') };
}

/** Prints what was counted and fails where it is over the budget, which is about twice what was counted when it was set. */
export function expectWithin(what: string, counted: Calls, budget: Calls): void {
  for (const name of ['reads', 'writes', 'bytesWritten'] as const) within(what, name, counted[name], budget[name]);
}

/**
 * A budget for data that is passed on. In how many pieces it comes is decided by its sender and by how busy the machine is:
 * between 16 and 160 reads a mebibyte were counted for the same transfer. So what each read leads to has the budget.
 */
export interface TransferBudget {
  readonly writesPerRead: number;
  readonly bytesWritten: number;
}

/** A mebibyte in pieces of 3 KiB. More are no pieces of a sender but reads of which each takes little. */
const MOST_READS = 350;

export function expectTransferWithin(what: string, counted: Calls, budget: TransferBudget): void {
  within(what, 'reads', counted.reads, MOST_READS);
  within(what, 'writesPerRead', counted.writes / counted.reads, budget.writesPerRead);
  within(what, 'bytesWritten', counted.bytesWritten, budget.bytesWritten);
}

function within(what: string, name: string, counted: number, most: number): void {
  process.stdout.write(`counted: ${what}: ${counted.toFixed(1)} ${name} of at most ${most}\n`);
  expect(counted, `${what}: ${name}`).toBeGreaterThan(0);
  expect(counted, `${what}: ${name}`).toBeLessThanOrEqual(most);
}

function calls(pid: number): Calls {
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)![1]);
  return { reads: of('syscr'), writes: of('syscw'), bytesWritten: of('wchar') };
}
