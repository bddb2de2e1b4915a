import { expect, it } from 'vitest';
import type { KernelEventInfo } from './event-info.js';
import { exampleKernelEvent } from '../testing/recordings.js';
import { fold, processForest } from './process-tree.js';
import type { ProcessNode } from './process-tree.js';

const event = (kind: string, data: object, offset = 0): KernelEventInfo =>
  exampleKernelEvent({ place: '', offset, kind, name: kind, data: { ...data } });
const fork = (pid: number, child: number): KernelEventInfo => event('fork', { pid, child });
const shape = (node: ProcessNode): unknown => [
  node.pid,
  node.execs.length,
  node.acts.length,
  node.exit !== null,
  ...node.children.map(shape),
];

it('children are below the process that forked them, with their programs, acts and end', () => {
  const { roots } = processForest([
    fork(1, 10),
    event('exec', { pid: 10 }),
    fork(10, 11),
    event('exec', { pid: 11, ppid: 10 }),
    event('file', { pid: 11 }),
    event('exec', { pid: 11 }),
    event('exit', { pid: 11 }),
    fork(10, 12),
    fork(12, 13),
    event('exit', { pid: 12 }),
    event('exec', { pid: 13, ppid: 1 }),
    event('exit', { pid: 10 }),
  ]);
  expect(roots.map(shape)).toEqual([[10, 1, 0, true, [11, 2, 1, true], [12, 0, 0, true, [13, 1, 0, false]]]]);
});

it('a reused process id is another process', () => {
  const { roots } = processForest([fork(1, 10), fork(10, 11), event('exit', { pid: 11 }), fork(10, 11), event('exec', { pid: 11 })]);
  expect(roots.map(shape)).toEqual([[10, 0, 0, false, [11, 0, 0, true], [11, 1, 0, false]]]);
});

it('a process without a known start is at the top or below its parent; gaps belong to no process', () => {
  const { roots, other } = processForest([
    event('exec', { pid: 5, ppid: 4 }),
    event('file', { pid: 6 }),
    event('exec', { pid: 7, ppid: 5 }),
    event('gap', {}),
    event('kernel', {}),
  ]);
  expect(roots.map(shape)).toEqual([
    [5, 1, 0, false, [7, 1, 0, false]],
    [6, 0, 1, false],
  ]);
  expect(other.map(({ kind }) => kind)).toEqual(['gap', 'kernel']);
});

it('folding hides the login of the node service, and nothing that the user ran', () => {
  let n = 0;
  const at = (kind: string, data: object, more: object = {}): KernelEventInfo => ({
    ...event(kind, data),
    place: `2147483649.${(n += 2)}`,
    ...more,
  });
  const file = (pid: number, path: string): KernelEventInfo => at('file', { pid }, { path, name: 'open' });
  const exec = (pid: number, ...argv: readonly string[]): KernelEventInfo => at('exec', { pid, argv });
  const forest = processForest([
    at('fork', { pid: 1, child: 10 }),
    exec(10, 'sh', '-c', 'outside'),
    exec(10, 'su'),
    file(10, '/etc/shadow'),
    at('fork', { pid: 10, child: 11 }),
    exec(11, 'sh', '-c', 'echo steno-session-started; exec "$@"'),
    file(11, '/dev/null'),
    exec(11, '/bin/bash', '-c', 'cat /etc/shadow'),
    file(11, '/dev/null'),
    at('fork', { pid: 11, child: 12 }),
    at('fork', { pid: 12, child: 13 }),
    exec(13, 'cat', '/etc/shadow'),
    file(13, '/etc/shadow'),
    at('exit', { pid: 13 }),
    at('exit', { pid: 12 }),
    // A second handover, imitated by the user, hides nothing.
    at('fork', { pid: 11, child: 14 }),
    exec(14, 'sh', '-c', 'echo steno-session-started; exec "$@"'),
    file(14, '/tmp/evil'),
    exec(14, 'true'),
    at('exit', { pid: 11 }),
    file(10, '/var/log/late'),
  ]);
  const { roots, login } = fold(forest);
  expect(login).toBe(5);
  expect(roots.map(shape)).toEqual([
    [11, 1, 0, true, [13, 1, 1, true], [14, 2, 1, false]],
    // The login's final acts are shown after the user's processes.
    [10, 2, 1, false],
  ]);
  expect(roots.map((root) => root.login)).toEqual([undefined, true]);
});

it('folds events that every program causes: system libraries, and folders searched for a program', () => {
  const one = (kind: string, place: number, more: Partial<KernelEventInfo>, data: object = {}): KernelEventInfo =>
    exampleKernelEvent({ place: `2147483648.${place}`, offset: place, kind, data: { pid: 7, ...data }, ...more });
  const left = [
    one('file', 4, { name: 'execute', path: '/opt/other', outcome: 'ENOENT' }),
    one('file', 5, { name: 'execute', path: '/opt/found', outcome: 'EACCES' }),
    one('file', 7, { name: 'map', path: '/tmp/evil.so' }),
    one('file', 8, { name: 'map', path: '' }),
    one('connect', 10, { name: 'unix', path: '/tmp/nscd/socket', outcome: 'ENOENT' }),
    one('connect', 11, { name: 'unix', path: '/run/nscd/socket' }),
    // No program was found after this one.
    one('file', 12, { name: 'execute', path: '/opt/found', outcome: 'ENOENT' }),
  ];
  const events = [
    one('exec', 1, { path: '/usr/bin/env' }),
    one('file', 2, { name: 'execute', path: '/opt/found', outcome: 'ENOENT' }),
    one('file', 3, { name: 'execute', path: '/usr/local/bin/found', outcome: 'ENOENT' }),
    ...left.slice(0, 2),
    one('exec', 6, { path: '/usr/bin/found' }),
    ...left.slice(2, 4),
    one('file', 9, { name: 'map', path: '/usr/lib/x86_64-linux-gnu/libc.so.6' }),
    ...left.slice(4),
    one('connect', 13, { name: 'unix', path: '/var/run/nscd/socket', outcome: 'ENOENT' }),
  ];
  expect(fold(processForest(events)).roots[0]!.acts).toEqual(left);
  expect(processForest(events).roots[0]!.acts).toHaveLength(events.length - 2);
});

it('an arbitrarily deep chain of processes is folded', () => {
  const chain = Array.from({ length: 50_000 }, (_, i) => [fork(i + 1, i + 2), event('exec', { pid: i + 2 })]).flat();
  let deepest = 0;
  for (let [node] = fold(processForest(chain)).roots; node !== undefined; [node] = node.children) deepest += 1;
  expect(deepest).toBe(50_000);
});
