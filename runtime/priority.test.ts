import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { expect, it } from 'vitest';
import { lowerPriority } from './priority.js';

const nice = (pid: string): number =>
  Number(
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[16],
  );

it('lowers the calling thread and threads that it starts, and never raises a priority', () => {
  const before = getPriority();
  lowerPriority(before - 1);
  expect(nice('thread-self')).toBe(before);
  lowerPriority(before + 1);
  expect(nice('thread-self')).toBe(before + 1);
  lowerPriority(before);
  expect(nice('thread-self')).toBe(before + 1);
  const { stdout } = spawnSync('sh', ['-c', 'cat /proc/$$/stat'], { encoding: 'utf8' });
  expect(Number(stdout.replace(/^.*\) /s, '').split(' ')[16])).toBe(before + 1);
});
