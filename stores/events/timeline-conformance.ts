/** Conformance of event stores for the timeline of a session: part of `conformance.ts`. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventStore } from './contract.js';
import { exampleEventRow, exampleScreenRow, exampleSession, exampleStart } from './examples.js';

export function timelineConformance(store: () => EventStore): void {
  describe('the timeline of a session', () => {
    const session = exampleSession(700);
    const kernel = { session, source: 'kernel', emitter: 'agent/web-3', block: 1 } as const;
    const rows: readonly (Partial<EventRow> & { readonly lane: string })[] = [
      { lane: 'program', kind: 'exec', path: '/bin/cat' },
      { lane: '', kind: 'fork' },
      { lane: '', kind: 'exit' },
      { lane: 'file', kind: 'file', name: 'open', path: '/tmp/x', reason: 'write,create' },
      { lane: '', kind: 'file', name: 'open', path: '/etc/hosts', reason: 'read' },
      { lane: 'file', kind: 'file', name: 'open', path: '/etc/shadow', reason: 'read', data: '{"matters":"credentials"}' },
      { lane: '', kind: 'file', name: 'open', path: '/dev/null', reason: 'write' },
      { lane: '', kind: 'file', name: 'execute', path: '/usr/local/bin/cat', outcome: 'ENOENT' },
      { lane: '', kind: 'file', name: 'map', path: '/usr/lib/libc.so.6' },
      { lane: 'network', kind: 'connect', address: '192.0.2.1', port: 443 },
      { lane: '', kind: 'connect', path: '/var/run/nscd/socket', outcome: 'ENOENT' },
      { lane: 'network', kind: 'dns', name: 'example.org' },
      { lane: 'power', kind: 'privilege' },
      { lane: 'power', kind: 'escape' },
      { lane: 'gap', kind: 'gap', reason: 'kernel_events' },
    ];
    beforeAll(async () => {
      const of = ({ lane: _, ...row }: (typeof rows)[number], index: number): EventRow =>
        exampleEventRow({
          data: '{}',
          outcome: 'success',
          name: '',
          path: '',
          ...kernel,
          at: exampleStart + 1_000 * index,
          offset_ms: 1_000 * index,
          index,
          ...row,
        });
      await store().insert('events', rows.map(of), 'timeline');
      // Rows repeated under another token are not counted twice.
      await store().insert('events', rows.map(of), 'timeline again');
      const lines = [0, 10, 90_000, 95_000].map((offset, index) =>
        exampleScreenRow({ session, block: 1, index, at: exampleStart + offset, offset_ms: offset, text: 'x'.repeat(index + 1) }),
      );
      await store().insert('screen', lines, 'timeline');
      await store().insert('screen', lines, 'timeline again');
    });

    test.each(rows.map((row, i) => [`${row.kind} ${row.name ?? ''} ${row.path ?? ''} ${row.reason ?? ''}`, row.lane, i] as const))(
      '%s is in lane "%s"',
      async (_, lane, i) => {
        const { counts } = await store().timeline(session, { width: 1_000, leastIdle: 1_000 });
        expect(counts.filter(({ part, lane: of }) => part === i && of !== 'output')).toEqual(
          lane === '' ? [] : [{ lane, part: i, first: 1_000 * i, amount: 1 }],
        );
      },
    );

    test('output is counted in characters; the longest pauses are returned in order of time', async () => {
      const { counts, idle } = await store().timeline(session, { width: 50_000, leastIdle: 5_000 });
      expect(counts.filter(({ lane }) => lane === 'output')).toEqual([
        { lane: 'output', part: 0, first: 0, amount: 3 },
        { lane: 'output', part: 1, first: 90_000, amount: 7 },
      ]);
      expect(idle).toEqual([
        { from: 10, to: 90_000 },
        { from: 90_000, to: 95_000 },
      ]);
      expect((await store().timeline(session, { width: 50_000, leastIdle: 80_000 })).idle).toEqual([{ from: 10, to: 90_000 }]);
    });

    test('an unknown session has an empty timeline, and an invalid session id is refused', async () => {
      expect(await store().timeline(exampleSession(701), { width: 1, leastIdle: 1 })).toEqual({ counts: [], idle: [] });
      const refused = expect.objectContaining({ code: 'BAD_REQUEST' }) as Error;
      await expect(store().timeline("' OR 1", { width: 1, leastIdle: 1 })).rejects.toEqual(refused);
      await expect(store().timeline(session, { width: 0, leastIdle: 1 })).rejects.toEqual(refused);
    });
  });
}
