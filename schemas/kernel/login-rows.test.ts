import { expect, test } from 'vitest';
import { LoginRows } from './login-rows.js';

const exec = (pid: number, ...argv: string[]) => ({ source: 'kernel', kind: 'exec', data: JSON.stringify({ pid, argv }) }) as const;
const setUp = exec(10, 'sh', '-c', '{ echo 0 >/proc/self/loginuid; } 2>/dev/null; ulimit -n 1024; exec "$@"', 'sh', 'cat /etc/shadow');
const su = exec(10, 'su', '-s', '/bin/sh', '--session-command', 'echo steno-session-started; exec "$@"', 'root', 'cat /etc/shadow');
const handing = exec(11, 'sh', '-c', 'echo steno-session-started; exec "$@"', 'cat /etc/shadow');
const shell = exec(11, '/bin/bash', '-c', 'cat /etc/shadow');
const taken = (rows: readonly Parameters<LoginRows['take']>[0][]): boolean[] => {
  const login = new LoginRows();
  return rows.map((row) => login.take(row));
};

test('the login of the node service is its own, up to the shell of the account', () => {
  expect(taken([setUp, su, handing, shell, exec(12, 'cat', '/etc/shadow')])).toEqual([true, true, true, false, false]);
});

test('what imitates the login afterwards, or without one, is the user’s', () => {
  expect(taken([setUp, su, handing, shell, setUp, su, handing])).toEqual([true, true, true, false, false, false, false]);
  expect(taken([shell, setUp, su, handing])).toEqual([false, false, false, false]);
  expect(taken([handing, su])).toEqual([false, false]);
});

test('a program that the login runs in between ends it: nothing is left out on a guess', () => {
  expect(taken([setUp, exec(13, 'pam_hook'), su, handing])).toEqual([true, false, false, false]);
});

test('files and connections of the login are its own; loss is told, and so is what the recording says', () => {
  const login = new LoginRows();
  const file = { ...su, kind: 'file' } as const;
  expect(
    [file, setUp, file, { ...su, kind: 'gap' } as const, { ...su, source: 'recording' } as const, su, handing, file, shell, file].map(
      (row) => login.take(row),
    ),
  ).toEqual([false, true, true, false, false, true, true, true, false, false]);
});
