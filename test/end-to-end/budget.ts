/**
 * The cost of an operation for a process, counted instead of timed: system calls and bytes written. These hardly depend on the
 * load of the machine, so an operation over its budget is a regression.
 */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

export interface Calls {
  /** read(2), readv(2) and pread(2) of all threads, as counted in /proc/PID/io (proc_pid_io(5)). */
  readonly reads: number;
  readonly writes: number;
  readonly bytesWritten: number;
}

/** Average number of calls that the process made for each of `count` operations. */
export async function callsOfEach(pid: number, count: number, operations: () => Promise<unknown>): Promise<Calls> {
  const before = calls(pid);
  await operations();
  const after = calls(pid);
  const each = (name: keyof Calls): number => (after[name] - before[name]) / count;
  return { reads: each('reads'), writes: each('writes'), bytesWritten: each('bytesWritten') };
}

/** Prints the counts and fails if one is over its budget. Budgets are about twice the count when they were set. */
export function expectWithin(what: string, counted: Calls, budget: Calls): void {
  for (const name of ['reads', 'writes', 'bytesWritten'] as const) within(what, name, counted[name], budget[name]);
}

/**
 * A budget for forwarded data. The sender and the load of the machine decide in how many pieces data arrives: the same transfer
 * took between 16 and 160 reads per mebibyte. So the budget limits the writes for each read.
 */
export interface TransferBudget {
  readonly writesPerRead: number;
  readonly bytesWritten: number;
}

/** A mebibyte in pieces of 3 KiB. No sender writes smaller pieces, so more reads mean that each read takes too little. */
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
