/** Conformance of event stores for findings, decisions about them, and their evidence: part of `conformance.ts`. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import type { AuditRow, FindingRow } from '#schemas/events/rows.js';
import type { EventStore } from './contract.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleSession, exampleStart } from './examples.js';

const decided = (id: string, version: number, state: string, more: Partial<AuditRow> = {}): AuditRow =>
  exampleAuditRow({
    id: `triage ${id} ${version}`,
    event: 'finding.triage',
    target: id,
    actor: 'ann',
    at: exampleStart + version,
    data: JSON.stringify({ state, version, reason: `why ${version}` }),
    ...more,
  });

export function triageConformance(opened: () => EventStore): void {
  describe('findings', () => {
    test('inserted findings are read back; the highest version of each counts', async () => {
      const store = opened();
      const finding = (i: number, more: Partial<FindingRow> = {}): FindingRow =>
        exampleFindingRow({ id: `finding-${i}`, node: 'found', at: exampleStart + i, ...more });
      const free = finding(2, { session: '', offset_ms: null, row: null, techniques: [], evidence: [], severity: 'low' });
      await store.insert('findings', [finding(0), finding(1, { version: 2, state: 'resolved' }), free], 'findings');
      await store.insert('findings', [finding(0), finding(1)], 'findings again');
      const first = await store.findings({ node: 'found', limit: 2 });
      const second = await store.findings({ node: 'found', limit: 2, cursor: first.next ?? '' });
      expect(second.next).toBeNull();
      expect([...first.rows, ...second.rows]).toMatchObject([free, finding(1, { version: 2, state: 'resolved' }), finding(0)]);
      expect((await store.findings({ node: 'found', state: 'open', severity: 'high' })).rows).toMatchObject([finding(0)]);
      expect((await store.findings({ dedup_key: free.dedup_key, rule: 'none' })).rows).toEqual([]);
    });
  });

  describe('triage of findings', () => {
    test('the state of a finding is the decision with the highest version, whatever the order of arrival', async () => {
      const store = opened();
      const steps = fc.array(fc.constantFrom('open', 'acknowledged', 'resolved', 'dismissed', 'suppressed'), { maxLength: 4 });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 4 }), fc.integer(), async (histories, seed) => {
          const node = `triaged-${(run += 1)}`;
          const ids = histories.map((_, i) => `${node}.${i}`);
          const rows = histories.flatMap((history, i) => history.map((state, n) => decided(ids[i]!, n + 1, state)));
          const shuffled = rows.map((row, i) => [Math.sin(seed + i), row] as const).sort(([a], [b]) => a - b);
          await store.insert(
            'findings',
            ids.map((id) => exampleFindingRow({ id, node })),
            node,
          );
          // Insert two batches, one of them twice.
          const half = shuffled.map(([, row]) => row).slice(0, Math.ceil(rows.length / 2));
          await store.insert('audit', half, `${node} half`);
          await store.insert(
            'audit',
            shuffled.map(([, row]) => row),
            `${node} all`,
          );
          const now = histories.map((history) => history.at(-1) ?? 'open');
          const listed = (await store.findings({ node })).rows;
          expect(new Map(listed.map(({ id, state }) => [id, state]))).toEqual(new Map(ids.map((id, i) => [id, now[i]])));
          for (const { id, triage } of listed) {
            const i = ids.indexOf(id);
            const n = histories[i]!.length;
            expect(triage).toEqual(n === 0 ? null : { state: now[i], by: 'ann', at: exampleStart + n, reason: `why ${n}` });
          }
          const counts = await store.countFindings({ node });
          for (const state of new Set(now)) {
            const expected = ids.filter((_, i) => now[i] === state).sort();
            const found = await store.findings({ node, states: [state as 'open'] });
            expect(found.rows.map(({ id }) => id).sort()).toEqual(expected);
            expect(counts.find((one) => one.state === state)?.count).toBe(expected.length);
          }
        }),
        { numRuns: 8 },
      );
    }, 120_000);

    test('refused decisions and rows that only look like decisions have no effect', async () => {
      const store = opened();
      await store.insert('findings', [exampleFindingRow({ id: 'undecided', node: 'undecided' })], 'undecided');
      await store.insert(
        'audit',
        [
          decided('undecided', 3, 'dismissed', { outcome: 'failure', code: 'ACCESS_DENIED' }),
          decided('undecided', 4, 'dismissed', { event: 'finding.triaged' }),
        ],
        'undecided',
      );
      expect((await store.findings({ node: 'undecided' })).rows).toMatchObject([{ state: 'open', triage: null }]);
    });

    test('events are found by their ids, in that order, each once; invalid ids match nothing', async () => {
      const store = opened();
      const session = exampleSession(120);
      const rows = [0, 1, 2].map((index) => exampleEventRow({ session, source: 'kernel', emitter: 'agent/web-3', block: 7, index }));
      await store.insert('events', rows, 'named');
      const ids = rows.map(eventId);
      const other = `${session}:kernel:agent/web-4:7.0`;
      expect(await store.eventsNamed([ids[2]!, "' OR 1", ids[0]!, ids[2]!, other])).toEqual([rows[2], rows[0]]);
      await expect(store.eventsNamed(Array.from({ length: 101 }, () => ids[0]!))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
    });
  });
}
