/** Conformance of event stores for sessions opened from inside other sessions: part of `conformance.ts`. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventStore } from './contract.js';
import { exampleEventRow, exampleSession, exampleStart } from './examples.js';

export function openedFromConformance(store: () => EventStore): void {
  describe('sessions opened from inside others', () => {
    const at = exampleStart + 5_000_000;
    const here = { source: '10.4.0.7', source_port: 40_001, address: '10.4.0.1', port: 3022, machine: 'a' };
    const loopback = { ...here, source: '127.0.0.1', address: '127.0.0.1' };
    const local = (of: typeof here): object => ({ local_address: of.source, local_port: of.source_port });
    const cases: readonly [what: string, inner: Partial<typeof here> | null, outers: readonly object[], linked: boolean][] = [
      ['exactly the same connection', here, [{}], true],
      ['a row repeated under another token', here, [{ twice: true }], true],
      ['a clock one second behind', here, [{ at: at - 1_000 }], true],
      ['a port that is reused later', here, [{ at: at - 2_001 }], false],
      ['a later connection', here, [{ at: at + 2_001 }], false],
      ['translated addresses', { ...here, source: '192.0.2.1' }, [{}], false],
      ['another port of the node', { ...here, source_port: 40_002 }, [{}], false],
      ['another address of the gateway', { ...here, address: '10.4.0.2' }, [{}], false],
      ['another port of the gateway', { ...here, port: 3023 }, [{}], false],
      ['a failed connection', here, [{ outcome: 'ECONNREFUSED' }], false],
      ['two nodes with the same address', here, [{}, {}], false],
      ['a datagram', here, [{ name: 'udp' }], false],
      ['loopback of the same machine', loopback, [{ machine: 'a' }], true],
      ['loopback of another machine', loopback, [{ machine: 'b' }], false],
      ['loopback of a node that does not report its machine', loopback, [{}], false],
      ['loopback of two machines, one of them ours', loopback, [{ machine: 'b' }, { machine: 'a' }], true],
      ['a recording of an older version', null, [{}], false],
    ];
    const innerOf = (i: number): string => exampleSession(500 + i);
    const outerOf = (i: number, n: number): string => exampleSession(600 + 2 * i + n);
    beforeAll(async () => {
      const rows = cases.flatMap(([, inner, outers], i): EventRow[] => {
        // Each case has its own port of the gateway, so that it does not match another case's connections.
        const own = 10 * i;
        const { source, ...connection } = { ...here, ...inner };
        const moved = { ...connection, port: connection.port + own, accepted_at: at };
        return [
          exampleEventRow({
            session: innerOf(i),
            node: 'nested',
            kind: 'participant',
            at: at + 100,
            address: source,
            port: inner === null ? null : connection.source_port,
            data: JSON.stringify(inner === null ? {} : { connection: moved }),
          }),
          ...outers.flatMap((outer, n): EventRow[] => {
            const { machine, twice, ...change } = outer as { machine?: string; twice?: true };
            const row = { session: outerOf(i, n), node: 'nested', source: 'kernel', emitter: `agent/n${n}`, block: 1 } as const;
            const to = inner !== null && inner.source === '127.0.0.1' ? loopback : here;
            const connect = exampleEventRow({
              ...row,
              index: 1,
              kind: 'connect',
              name: 'tcp',
              outcome: 'success',
              at,
              address: to.address,
              port: here.port + own,
              data: JSON.stringify(local(to)),
              ...change,
            });
            const named = exampleEventRow({ ...row, index: 0, kind: 'kernel', name: 'recording', data: JSON.stringify({ machine }) });
            // The last row of a session has the same kind but no machine.
            const end = exampleEventRow({ ...row, index: 2, kind: 'kernel', name: 'end', data: '{}' });
            return [named, connect, end, ...(twice === true ? [connect] : [])];
          }),
        ];
      });
      await store().insert('events', rows, 'nested');
    });

    test.each(cases.map(([what, , , linked], i) => ({ what, linked, i })))('$what', async ({ linked, i }) => {
      const expected = linked ? [{ session: innerOf(i), outer: outerOf(i, cases[i]![2].length - 1) }] : [];
      expect(await store().openedFrom([innerOf(i)])).toEqual(expected);
    });

    test('many at once, each with its own outer session', async () => {
      const found = await store().openedFrom(cases.map((_, i) => innerOf(i)));
      expect(found.map(({ session }) => session).sort()).toEqual(cases.flatMap(([, , , linked], i) => (linked ? [innerOf(i)] : [])).sort());
      expect(await store().openedFrom([])).toEqual([]);
      await expect(store().openedFrom(["' OR 1"])).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    });
  });
}
