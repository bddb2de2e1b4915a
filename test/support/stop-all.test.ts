import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { stopAll } from './stop-all.js';

const gone = new Error('it had ended with 70');
const failing = (): Promise<never> => Promise.reject(gone);
const throwing = (): never => {
  throw gone;
};

test.each([
  ['rejects', failing],
  ['throws', throwing],
])('a process is stopped although the step before it %s, which is reported', async (_, step) => {
  const child = spawn('sleep', ['600']);
  const ended = once(child, 'exit');
  await expect(stopAll(step, () => child.kill('SIGKILL'))).rejects.toBe(gone);
  await ended;
  expect(child.signalCode).toBe('SIGKILL');
});

test('steps run in order, each after the one before it, and all failures are reported', async () => {
  const ran: string[] = [];
  const after = async (name: string): Promise<void> => {
    await Promise.resolve();
    ran.push(name);
  };
  await expect(
    stopAll(
      () => after('one'),
      failing,
      () => after('two'),
      throwing,
    ),
  ).rejects.toMatchObject({ errors: [gone, gone] });
  expect(ran).toEqual(['one', 'two']);
  await stopAll(() => after('three'));
  expect(ran).toEqual(['one', 'two', 'three']);
});
