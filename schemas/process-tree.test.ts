import { expect, it } from 'vitest';
import type { KernelEventInfo } from './api.js';
import { processForest } from './process-tree.js';
import type { ProcessNode } from './process-tree.js';

const event = (kind: string, data: object, offset = 0): KernelEventInfo => ({
  place: '',
  at: 0,
  offset,
  kind,
  path: '',
  size: null,
  sha256: '',
  address: '',
  port: null,
  name: kind,
  reason: '',
  outcome: 'success',
  count: null,
  data: { ...data },
});
const fork = (pid: number, child: number): KernelEventInfo => event('fork', { pid, child });
const shape = (node: ProcessNode): unknown => [
  node.pid,
  node.execs.length,
  node.acts.length,
  node.exit !== null,
  ...node.children.map(shape),
];

it('children hang under who forked them, with what each became, did and how it ended', () => {
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

it('a number that comes again is another process', () => {
  const { roots } = processForest([fork(1, 10), fork(10, 11), event('exit', { pid: 11 }), fork(10, 11), event('exec', { pid: 11 })]);
  expect(roots.map(shape)).toEqual([[10, 0, 0, false, [11, 0, 0, true], [11, 1, 0, false]]]);
});

it('what has no known beginning hangs at the top or under its parent; gaps are of no process', () => {
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
