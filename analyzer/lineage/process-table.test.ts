import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ProcessTable } from './process-table.js';

const session = '01m81gpp13j0br7sqn8qcecmxs';
const row = (kind: EventRow['kind'], data: Readonly<Record<string, number>>, path = ''): EventRow => ({
  session, source: 'kernel', emitter: 'agent/a', block: 0, index: 0, at: 0, offset_ms: 0, kind, user: '', node: '', login: '', ...noFacts, path, name: path, data: JSON.stringify(data),
}); // prettier-ignore
/** The answer for each row, in order. */
function told(...rows: readonly EventRow[]): readonly (string | null)[] {
  const table = new ProcessTable();
  return rows.map((one) => table.take(one)?.path ?? null);
}

describe('programs of processes', () => {
  it('the parent of a program that is started, and the program that acts', () => {
    expect(
      told(
        row('exec', { pid: 10, ppid: 1 }, '/bin/bash'),
        row('fork', { pid: 10, child: 11 }),
        row('file', { pid: 11 }),
        row('exec', { pid: 11, ppid: 10 }, '/bin/cat'),
        row('file', { pid: 11 }),
        row('connect', { pid: 10 }),
      ),
    ).toEqual([null, '/bin/bash', '/bin/bash', '/bin/bash', '/bin/cat', '/bin/bash']);
  });

  it('over two forks, and no further', () => {
    const forks = [1, 2, 3].map((n) => row('fork', { pid: 9 + n, child: 10 + n }));
    expect(told(row('exec', { pid: 10, ppid: 1 }, '/bin/sh'), ...forks, row('file', { pid: 12 }), row('file', { pid: 13 }))).toEqual([
      null,
      '/bin/sh',
      '/bin/sh',
      '/bin/sh',
      '/bin/sh',
      null,
    ]);
  });

  it('the process that JSON names, whatever else is in the data and in which order', () => {
    const key = fc.constantFrom('pid', 'p\\u0069d', 'ppid', 'path', 'of');
    const value = fc.oneof(
      fc.integer({ min: -2, max: 30 }).map(String),
      fc.constantFrom('"{\\"pid\\":20}"', '{"pid":20}', '1e1', '10.0', 'null'),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 4 }), fc.constantFrom('file', 'exit', 'connect'), (facts, kind) => {
        const data = `{${facts.map(([name, text]) => `"${name}":${text}`).join(',')}}`;
        const table = new ProcessTable();
        for (const pid of [10, 20]) table.take(row('exec', { pid, ppid: 1 }, `/bin/${pid}`));
        const { pid } = JSON.parse(data) as { readonly pid?: unknown };
        expect(table.take({ ...row(kind, {}), data })?.path ?? null).toBe(pid === 10 || pid === 20 ? `/bin/${pid}` : null);
      }),
    );
  });

  it('a number that is used again is another process', () => {
    expect(told(row('exec', { pid: 10, ppid: 1 }, '/bin/sh'), row('fork', { pid: 99, child: 10 }), row('file', { pid: 10 }))).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('holds no more processes of a session than it may, and forgets those that ended first', () => {
    const table = new ProcessTable();
    table.take(row('exec', { pid: 1, ppid: 0 }, '/first'));
    for (let pid = 2; pid <= 10_000; pid += 1) {
      table.take(row('exec', { pid, ppid: 1 }, '/x'));
      table.take(row('exit', { pid }));
    }
    table.take(row('exec', { pid: 20_000, ppid: 1 }, '/x'));
    expect(table.take(row('file', { pid: 1 }))?.path).toBe('/first');
    expect(table.take(row('file', { pid: 5 }))).toBeNull();
  });
});
