import { describe, expect, it } from 'vitest';
import { exampleEventRow } from '#stores/events/examples.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection } from '../detection/detector.js';
import { reverseShellDetector } from './reverse-shell.js';

let index = 0;
const row = (facts: Partial<EventRow>, data: unknown): EventRow =>
  exampleEventRow({ source: 'kernel', emitter: 'agent/a', index: (index += 1), outcome: 'success', ...facts, data: JSON.stringify(data) });
const connect = (pid: number, facts: Partial<EventRow> = {}): EventRow =>
  row({ kind: 'connect', name: 'tcp', address: '203.0.113.9', port: 4444, ...facts }, { pid });
const fork = (pid: number, child: number): EventRow => row({ kind: 'fork' }, { pid, child });
const exec = (pid: number, path: string, ...argv: string[]): EventRow =>
  row({ kind: 'exec', path, name: argv.join(' ') }, { pid, ppid: 1, argv });
const found = async (rows: readonly EventRow[]): Promise<readonly Detection[]> => {
  const session = await reverseShellDetector().open(null);
  return rows.flatMap((one) => session.take({ kind: 'event', row: one }));
};

describe('a shell on a connection', () => {
  it.each<[string, readonly EventRow[]]>([
    ['bash with a redirection: the child connects, then becomes a shell', [fork(5, 7), connect(7), exec(7, '/bin/bash', 'bash', '-i')]],
    [
      'an interpreter: its child is the shell',
      [exec(7, '/usr/bin/python3', 'python3', '-c', 'x'), connect(7), fork(7, 8), exec(8, '/bin/sh', '/bin/sh', '-i')],
    ],
    ['nc -e', [exec(7, '/usr/bin/nc', 'nc', '-e', '/bin/sh', 'h', '1'), connect(7), exec(7, '/bin/sh', 'sh')]],
    ['through a subshell', [connect(7), fork(7, 8), fork(8, 9), exec(9, '/bin/dash', 'sh')]],
    ['one that listened', [row({ kind: 'accept', address: '203.0.113.9', port: 5 }, { pid: 7 }), fork(7, 8), exec(8, '/bin/sh', 'sh')]],
  ])('%s', async (_, rows) => {
    const detections = await found(rows);
    expect(detections).toMatchObject([{ rule: { id: 'steno/shell-on-connection', severity: 'critical' } }]);
    expect(detections[0]!.reason).toContain('203.0.113.9');
    expect(detections[0]!.evidence).toHaveLength(2);
  });

  it.each<[string, readonly EventRow[]]>([
    [
      'a program that connects and runs a script of a shell',
      [exec(7, '/usr/bin/curl', 'curl'), connect(7), fork(7, 8), exec(8, '/bin/sh', 'sh', '-c', 'date')],
    ],
    ['a shell beside a connection', [connect(7), exec(9, '/bin/sh', 'sh')]],
    [
      'a shell long after',
      [connect(7), row({ ...exec(7, '/bin/sh', 'sh'), at: exec(7, '', '').at + 3_600_000 }, { pid: 7, argv: ['sh'] })],
    ],
    ['a socket of this machine', [connect(7, { name: 'unix', address: '' }), exec(7, '/bin/sh', 'sh')]],
    ['ssh with a command of the user', [exec(7, '/usr/bin/ssh', 'ssh', 'h'), connect(7), fork(7, 8), exec(8, '/bin/bash', 'bash')]],
    ['an execution that failed', [connect(7), row({ kind: 'exec', path: '/bin/sh', outcome: 'ENOENT' }, { pid: 7, argv: ['sh'] })]],
    ['a process that had the number before', [connect(7), row({ kind: 'exit' }, { pid: 7 }), exec(7, '/bin/sh', 'sh')]],
    [
      'data that is not what it should be',
      [row({ kind: 'connect', name: 'tcp', address: 'h' }, []), row({ kind: 'exec', path: '/bin/sh' }, { pid: 'x' })],
    ],
  ])('is not %s', async (_, rows) => {
    expect(await found(rows)).toEqual([]);
  });
});
