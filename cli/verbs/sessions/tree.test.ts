import { expect, it } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { exampleKernelEvent } from '#schemas/testing/recordings.js';
import { treeLines } from './tree.js';

let index = 0;
const event = (kind: string, data: object, more: Partial<KernelEventInfo> = {}): KernelEventInfo =>
  exampleKernelEvent({ place: `2147483649.${++index}`, offset: index * 10, kind, data: { ...data }, ...more });
const exec = (pid: number, ...argv: readonly string[]): KernelEventInfo => event('exec', { pid, argv }, { path: `/usr/bin/${argv[0]!}` });
const made = (pid: number, path: string): KernelEventInfo => event('file', { pid }, { name: 'create', path, reason: 'write' });
const events = [
  event('fork', { pid: 1, child: 2 }),
  exec(2, 'sh'),
  made(2, '/tmp/by-sh'),
  event('fork', { pid: 2, child: 3 }),
  exec(3, 'env', 'touch'),
  made(3, '/tmp/by-env'),
  exec(3, 'touch', 'a-rather-long-name-of-a-file'),
  made(3, '/tmp/by-touch'),
  event('exit', { pid: 3 }, { name: 'status 1', outcome: 'failure' }),
  event('fork', { pid: 2, child: 4 }),
  exec(4, 'id'),
];

it('has what a process did below the program that it was then, and its children after that', () => {
  expect(treeLines(events, false, Number.POSITIVE_INFINITY)).toEqual([
    ' 0:00.020  sh  /usr/bin/sh [2]',
    ' 0:00.030  │ · create    /tmp/by-sh  write',
    ' 0:00.050  ├─ env touch  /usr/bin/env  status 1 [3]',
    ' 0:00.060  │    · create    /tmp/by-env  write',
    ' 0:00.070  │    → touch a-rather-long-name-of-a-file  /usr/bin/touch',
    ' 0:00.080  │    · create    /tmp/by-touch  write',
    ' 0:00.110  └─ id  /usr/bin/id [4]',
  ]);
});

it('goes on below the beginning of a line where the terminal is narrow, and leaves out nothing', () => {
  const lines = treeLines(events, false, 40);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
  expect(lines.slice(0, 3)).toEqual([' 0:00.020  sh  /usr/bin/sh [2]', ' 0:00.030  │ · create    /tmp/by-sh  ', '           │     write']);
  const whole = treeLines(events, false, Number.POSITIVE_INFINITY);
  const bare = (of: readonly string[]): string => of.map((line) => line.slice(11).replaceAll(/[│├└─·→ ]/g, '')).join('');
  expect(bare(lines)).toBe(bare(whole));
});

it('ends with what the login of the node service did after the user, without its command line', () => {
  const login = [
    event('fork', { pid: 1, child: 10 }),
    exec(10, 'su', '-s', '/bin/sh'),
    event('fork', { pid: 10, child: 11 }),
    exec(11, 'sh', '-c', 'echo steno-session-started; exec "$@"'),
    exec(11, 'bash'),
    event('exit', { pid: 11 }),
    made(10, '/var/log/late'),
  ];
  const lines = treeLines(login, false, Number.POSITIVE_INFINITY).map((line) => line.slice(11));
  expect(lines).toEqual([
    'login by the node service: 2 events, see them with --all',
    'bash  /usr/bin/bash [11]',
    '(the login by the node service) [10]',
    '  · create    /var/log/late  write',
  ]);
});
