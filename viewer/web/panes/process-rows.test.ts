import { expect, test } from 'vitest';
import type { KernelEventInfo } from '#schemas/kernel/event-info.js';
import { processForest } from '#schemas/kernel/process-tree.js';
import { MAX_DEPTH, actsOf, foldRepeats, latestRow, phaseOf, processRows } from './process-rows.js';

let place = 0;
const event = (kind: string, offset: number, more: Partial<KernelEventInfo>): KernelEventInfo => ({
  ...{ place: `1.${place++}`, at: offset, offset, kind, path: '', size: null, sha256: '', address: '', port: null },
  ...{ name: '', reason: '', outcome: 'success', count: null, data: {} },
  ...more,
});
const fork = (offset: number, pid: number, child: number): KernelEventInfo => event('fork', offset, { data: { pid, child } });
const exec = (offset: number, pid: number, name: string): KernelEventInfo => event('exec', offset, { name, data: { pid } });
const exit = (offset: number, pid: number, name: string): KernelEventInfo => event('exit', offset, { name, data: { pid } });

test('rows stand as the tree does, a process that became another has a row for each, and each knows when it ran', () => {
  const { roots } = processForest([
    fork(0, 1, 10),
    exec(10, 10, '-bash'),
    fork(100, 10, 11),
    exec(110, 11, 'sudo cat /etc/shadow'),
    exec(150, 11, 'cat /etc/shadow'),
    event('file', 160, { name: 'open', path: '/etc/shadow', reason: 'read', data: { pid: 11, matters: 'credentials' } }),
    exit(200, 11, '1'),
    fork(300, 10, 12),
  ]);
  const rows = processRows(roots);
  expect(rows.map(({ depth, kind, again, text, start, end, exit: how }) => [depth, kind, again, text, start, end, how])).toEqual([
    [0, 'process', false, '-bash', 10, null, null],
    [1, 'process', false, 'sudo cat /etc/shadow', 110, 150, null],
    [1, 'process', true, 'cat /etc/shadow', 150, 200, '1'],
    [2, 'act', false, 'read (credentials) /etc/shadow', 160, null, null],
    [1, 'copy', false, '', 300, null, null],
  ]);
  const phases = (position: number): string[] => rows.map((row) => phaseOf(row, position));
  expect(phases(0)).toEqual(['before', 'before', 'before', 'before', 'before']);
  expect(phases(120)).toEqual(['now', 'now', 'before', 'before', 'before']);
  expect(phases(150)).toEqual(['now', 'over', 'now', 'before', 'before']);
  expect(phases(1_000)).toEqual(['now', 'over', 'over', 'now', 'now']);
  expect([latestRow(rows, 0), latestRow(rows, 155), latestRow(rows, 9_999)]).toEqual([null, 2, 4]);
  expect(actsOf(roots).map(({ path }) => path)).toEqual(['/etc/shadow']);
});

test('a chain of as many processes as the page holds makes rows, none deeper than what is drawn', () => {
  const rows = processRows(processForest(Array.from({ length: 20_000 }, (_, i) => fork(i, i, i + 1))).roots);
  expect(rows).toHaveLength(20_000);
  expect(Math.max(...rows.map(({ depth }) => depth))).toBe(MAX_DEPTH);
});

test('the same again and again is one row with how often; another outcome is another row', () => {
  const open = (offset: number, outcome: string, count: number | null = null): KernelEventInfo =>
    event('file', offset, { name: 'open', path: '/var/log/x', outcome, count });
  const folded = foldRepeats([open(1, 'success'), open(2, 'success', 5), open(3, 'EACCES'), open(9, 'success')]);
  expect(folded.map(({ event: { offset, outcome }, times, last }) => [offset, outcome, times, last])).toEqual([
    [1, 'success', 7, 9],
    [3, 'EACCES', 1, 3],
  ]);
});
