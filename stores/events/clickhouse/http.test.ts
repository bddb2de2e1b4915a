import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventStoreConformance } from '../conformance.js';
import type { EventStore } from '../contract.js';
import { exampleAuditRow, exampleScreenRow, exampleSession, exampleSessionRow } from '../examples.js';
import { opened } from '../testing/opened.js';
import { openHttpFront } from '../testing/http-front.js';
import type { HttpFront } from '../testing/http-front.js';
import { openEventStore } from './store.js';

/** An engine serves only one directory in its lifetime. */
let folder: string;
let front: HttpFront;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
  front = await openHttpFront(join(folder, 'events'));
});
afterAll(async () => {
  await front.close();
  await rm(folder, { recursive: true, force: true });
});

eventStoreConformance("ClickHouse's HTTP interface, served from chDB", () =>
  opened({ kind: 'server', url: front.url, database: 'conformance' }, () => Promise.resolve()),
);

describe('over HTTP', () => {
  let store: EventStore;
  beforeAll(async () => {
    store = await openEventStore({ kind: 'server', url: front.url, database: 'faults', timeoutMs: 20_000 });
    await store.insert('sessions', [exampleSessionRow(), exampleSessionRow({ session: exampleSession(2) })], 'two');
  });
  afterAll(() => store.close());

  test('a connection that is cut at any byte of a response is a failure, never a shorter result', async () => {
    await store.sessions({});
    const whole = front.answered;
    const head = whole - 300;
    for (let after = 0; after < whole; after += after < head ? 13 : 1) {
      front.plan({ kind: 'cut', after, run: true });
      const before = front.requests;
      const outcome = await store.sessions({}).then(
        ({ rows }) => rows.length,
        (error: { code: string }) => error.code,
      );
      expect(outcome, `after ${after} bytes`).toBe('STORE_UNAVAILABLE');
      expect(front.requests).toBe(before + 1);
    }
    expect((await store.sessions({})).rows).toHaveLength(2);
  }, 120_000);

  test.each([true, false])('an insert whose response is lost may be repeated, whether or not it was done (%s)', async (run) => {
    const name = `lost-${run}`;
    for (const after of [0, 1, 40, 200, 100_000]) {
      const row = exampleAuditRow({ id: `${name}-${after}`, actor: name });
      front.plan({ kind: 'cut', after, run });
      await expect(store.insert('audit', [row], `${name} ${after}`)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await store.insert('audit', [row], `${name} ${after}`);
    }
    expect((await store.audit({ actor: name })).rows).toHaveLength(5);
  });

  test('an exception in the middle of a response is thrown, and no rows are returned', async () => {
    front.plan({ kind: 'exception' });
    await expect(store.sessions({})).rejects.toMatchObject({ code: 'QUERY_TOO_HEAVY' });
    front.plan({ kind: 'exception' });
    await expect(store.insert('audit', [exampleAuditRow({ id: 'late' })], 'late')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    front.plan({ kind: 'exception' });
    await expect(store.readOnlySql('SELECT session FROM sessions', { maxRows: 9, maxSeconds: 9 })).rejects.toMatchObject({
      name: 'StenoError',
    });
    expect((await store.sessions({})).rows).toHaveLength(2);
  });

  test.each([
    ['a proxy that is not ClickHouse', 502, '<html>Bad Gateway</html>'],
    ['a redirect', 302, ''],
    ['an overloaded server', 503, 'Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)'],
  ])('%s makes an insert fail with a retryable error', async (_, status, body) => {
    front.plan({ kind: 'status', status, body });
    await expect(store.insert('screen', [exampleScreenRow({ text: 'refused' })], 'refused')).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
  });

  test('a server that does not answer in time is a failure, and its insert is stored once', async () => {
    const hasty = await openEventStore({ kind: 'server', url: front.url, database: 'faults', timeoutMs: 3_000 });
    const row = exampleAuditRow({ id: 'silent', actor: 'silent' });
    front.plan({ kind: 'silence', run: true });
    await expect(hasty.insert('audit', [row], 'silent')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await store.insert('audit', [row], 'silent');
    expect((await store.audit({ actor: 'silent' })).rows).toHaveLength(1);
    await hasty.close();
  });

  test('a server that is too old is refused, and so are invalid names', async () => {
    front.plan({ kind: 'status', status: 200, body: '["25.8.1.1"]\n' });
    await expect(openEventStore({ kind: 'server', url: front.url })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', detail: /26\.7/ });
    for (const bad of [{ database: 'a b' }, { cluster: "x' y" }])
      await expect(openEventStore({ kind: 'server', url: front.url, ...bad })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  });

  test('several services may open an empty database at the same time, and repeatedly', async () => {
    const open = (): Promise<EventStore> => openEventStore({ kind: 'server', url: front.url, database: 'together' });
    const stores = await Promise.all([open(), open(), open()]);
    await stores[0]!.insert('sessions', [exampleSessionRow()], 'one');
    for (const one of stores) expect((await one.sessions({})).rows).toHaveLength(1);
    const again = await open();
    expect((await again.sessions({})).rows).toHaveLength(1);
    for (const one of [...stores, again]) await one.close();
  });
});
