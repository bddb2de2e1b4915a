import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openEventStore } from './clickhouse/store.js';
import { exampleAuditRow } from './examples.js';
import { FaultyEventStore } from './faulty.js';
import { eventStoreConformance } from './conformance.js';
import { openedChdb } from './testing/opened.js';

eventStoreConformance('faulty, without faults', async () => {
  const fixture = await openedChdb();
  return { ...fixture, store: new FaultyEventStore(fixture.store) };
});

describe('a faulty event store', () => {
  test('an insert that fails before is not stored, one that fails after is, and repeating it is harmless', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
    const store = new FaultyEventStore(await openEventStore({ kind: 'chdb', path: join(folder, 'events') }));
    const rows = [exampleAuditRow()];
    store.faults.failBefore('insert');
    await expect(store.insert('audit', rows, 't')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect((await store.audit({})).rows).toEqual([]);
    store.faults.failAfter('insert');
    await expect(store.insert('audit', rows, 't')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect((await store.audit({})).rows).toEqual(rows);
    await store.insert('audit', rows, 't');
    expect((await store.audit({})).rows).toEqual(rows);
    await store.close();
    await rm(folder, { recursive: true, force: true });
  });
});
