/** Conformance of event stores for readers that follow changes: part of `conformance.ts`. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventStore, StoredPosition } from './contract.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleStart } from './examples.js';

export function changesConformance(opened: () => EventStore): void {
  describe('the order in which rows were stored', () => {
    const row = (block: number, index: number, more: Partial<EventRow> = {}): EventRow =>
      exampleEventRow({ session: '', source: 'kernel', emitter: 'agent/changes', block, index, at: exampleStart + index, ...more });

    test('rows stored after a position are read in the order of storing, whatever their time', async () => {
      const store = opened();
      const start = await store.changesEnd('events');
      expect(await store.changes({ table: 'events', after: start })).toEqual({ rows: [], position: start, more: false });
      await store.insert('events', [row(1, 5), row(1, 6)], 'changes 1');
      await store.insert('events', [row(1, 1, { at: exampleStart - 86_400_000 })], 'changes 2');
      expect(await store.countChanges('events', start)).toBe(3);
      const first = await store.changes({ table: 'events', after: start, limit: 2 });
      expect(first).toMatchObject({ rows: [row(1, 5), row(1, 6)], more: true });
      const second = await store.changes({ table: 'events', after: first.position });
      expect(second).toMatchObject({ rows: [row(1, 1, { at: exampleStart - 86_400_000 })], more: false });
      expect(await store.countChanges('events', second.position)).toBe(0);
      // A recreated table is read from the start.
      const lost = { ...second.position, table: 'another' };
      expect((await store.changes({ table: 'events', after: lost, limit: 1 })).more).toBe(true);
      expect(await store.countChanges('events', lost)).toBeGreaterThan(2);
    });

    test('audit rows and findings are read too, with all of their fields', async () => {
      const store = opened();
      const [audit, findings] = await Promise.all([store.changesEnd('audit'), store.changesEnd('findings')]);
      const said = exampleAuditRow({ id: 'changes 1' });
      const found = exampleFindingRow({ id: 'changes-1' });
      await store.insert('audit', [said], 'changes');
      await store.insert('findings', [found], 'changes');
      await store.insert('findings', [{ ...found, version: found.version + 1, state: 'resolved' }], 'changes again');
      expect((await store.changes({ table: 'audit', after: audit })).rows).toEqual([said]);
      const versions = (await store.changes({ table: 'findings', after: findings })).rows;
      expect(versions.at(-1)).toEqual({ ...found, version: found.version + 1, state: 'resolved' });
    });

    test('a page of long rows has fewer of them', async () => {
      const store = opened();
      const start = await store.changesEnd('events');
      const data = JSON.stringify({ text: 'x'.repeat(200_000) });
      await store.insert(
        'events',
        Array.from({ length: 30 }, (_, index) => row(2, index, { data })),
        'changes long',
      );
      const page = await store.changes({ table: 'events', after: start });
      expect(page.more).toBe(true);
      expect(page.rows.length).toBeLessThan(25);
      expect((await store.changes({ table: 'events', after: page.position })).rows.length + page.rows.length).toBe(30);
    });

    test('no row is missed by a reader that pages while rows are stored and parts are merged', async () => {
      const store = opened();
      let run = 100;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.boolean()), { minLength: 1, maxLength: 12 }),
          fc.integer({ min: 1, max: 7 }),
          async (inserts, limit) => {
            run += 1;
            const block = run;
            let position: StoredPosition = await store.changesEnd('events');
            const read: string[] = [];
            const stored: EventRow[] = [];
            const page = async (): Promise<boolean> => {
              const { rows, position: next, more } = await store.changes({ table: 'events', after: position, limit });
              position = next;
              read.push(...rows.filter(({ emitter }) => emitter === 'agent/changes').map(eventId));
              return more;
            };
            const writing = (async () => {
              for (const [i, [count, again]] of inserts.entries()) {
                const rows = Array.from({ length: count }, (_, index) => row(block, stored.length + index));
                stored.push(...rows);
                await store.insert('events', rows, `changes ${block} ${i}`);
                if (again) await store.insert('events', stored.slice(-5), `changes ${block} ${i} again`);
              }
            })();
            for (let i = 0; i < 4; i += 1) await page();
            await writing;
            while (await page());
            expect(new Set(read)).toEqual(new Set(stored.map(eventId)));
          },
        ),
        { numRuns: 8 },
      );
    }, 60_000);

    test('a position is saved under its name; the highest version counts', async () => {
      const store = opened();
      expect(await store.readPosition('reader')).toBeNull();
      await store.keepPosition('reader', 2, 'second');
      await store.keepPosition('reader', 1, 'first');
      await store.keepPosition('other', 9, 'elsewhere');
      expect(await store.readPosition('reader')).toBe('second');
    });
  });
}
