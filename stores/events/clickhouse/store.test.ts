import { spawn } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createClient } from '@clickhouse/client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEventStore } from './store.js';
import { eventStoreConformance } from '../conformance.js';
import { openEngine } from '../engine/engine.js';
import { exampleScreenRow } from '../examples.js';
import { migrate, migrations } from '../migrations/migrate.js';
import { opened, openedChdb } from '../testing/opened.js';

eventStoreConformance('chDB', openedChdb);

const serverUrl = process.env['STENO_TEST_CLICKHOUSE_URL'];
if (serverUrl === undefined) {
  test.skip('event store: ClickHouse server (skipped: STENO_TEST_CLICKHOUSE_URL names no server)', () => undefined);
} else {
  const database = `steno_test_${process.pid}`;
  eventStoreConformance('ClickHouse server', () =>
    opened({ kind: 'server', url: serverUrl, database }, async () => {
      const client = createClient({ url: serverUrl });
      await client.command({ query: `DROP DATABASE ${database}` });
      await client.close();
    }),
  );
}

describe('the embedded store', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
    path = join(folder, 'events');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('holds few descriptors, however many queries it has run', async () => {
    const engine = await openEngine({ kind: 'chdb', path });
    await migrate(engine);
    const ask = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        await engine.insert('audit', '`id`, `at`, `event`', `["${i}","2026-01-01 00:00:00.000","a.b"]\n`, `token ${times} ${i}`);
        await Promise.all([
          engine.read('SELECT event, count() FROM audit GROUP BY event', {}),
          engine.readChecked('SELECT count() FROM steno.screen'),
        ]);
      }
    };
    await ask(20);
    // A query that uses many threads leaves them all behind unless idle threads end.
    await engine.readChecked('SELECT sum(number) FROM numbers_mt(50000000) SETTINGS max_threads = 64');
    await ask(5);
    // Three descriptors per thread that has run something.
    const perThread = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return /^\/proc\/\d+\/task\/\d+\/(io|stat|schedstat)$/.test(readlinkSync(`/proc/self/fd/${fd}`));
        } catch {
          return false;
        }
      }).length;
    expect(perThread()).toBeLessThanOrEqual(60);
    await engine.close();
  }, 60_000);

  test('writes the same rows under the same token once', async () => {
    const engine = await openEngine({ kind: 'chdb', path });
    await migrate(engine);
    const columns = '`id`, `at`, `event`';
    const stored = async (): Promise<unknown> => (await engine.read('SELECT count() FROM audit', {}))[0]?.[0];
    await engine.insert('audit', columns, '["a","2026-01-01 00:00:00.000","a.b"]\n', 'token');
    await engine.insert('audit', columns, '["a","2026-01-01 00:00:00.000","a.b"]\n', 'token');
    expect(await stored()).toBe(1);
    await engine.insert('audit', columns, '["a","2026-01-01 00:00:00.000","a.b"]\n', 'another');
    expect(await stored()).toBe(2);
    await engine.close();
  });

  test('is migrated step by step, once, and refuses a schema that a newer Steno wrote', async () => {
    const engine = await openEngine({ kind: 'chdb', path });
    await migrate(engine);
    await migrate(engine);
    const released = migrations.map(({ version, name }) => [version, name]);
    const versions = async (): Promise<unknown> => await engine.read('SELECT version, name FROM schema_migrations ORDER BY version', {});
    expect(await versions()).toEqual(released);
    const later = {
      version: released.length + 1,
      name: 'later',
      statements: () => ['ALTER TABLE audit ADD COLUMN IF NOT EXISTS later String'],
    };
    await migrate(engine, [...migrations, later]);
    expect(await versions()).toEqual([...released, [later.version, 'later']]);
    await expect(migrate(engine)).rejects.toMatchObject({ code: 'STORE_NEWER' });
    await engine.close();
    await expect(openEventStore({ kind: 'chdb', path })).rejects.toMatchObject({ code: 'STORE_NEWER' });
  });

  test('a step that was interrupted is run again', async () => {
    const engine = await openEngine({ kind: 'chdb', path });
    const halves = {
      version: 1,
      name: 'halves',
      statements: () => ['CREATE TABLE IF NOT EXISTS one (a Int8) ENGINE = MergeTree ORDER BY a', 'not a statement'],
    };
    await expect(migrate(engine, [halves])).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await migrate(engine, [{ ...halves, statements: () => halves.statements().slice(0, 1) }]);
    await engine.close();
  });

  test('waits for running calls when it is closed, and refuses later ones', async () => {
    const store = await openEventStore({ kind: 'chdb', path });
    const inserted = store.insert('screen', [exampleScreenRow({ text: 'late' })], 'late');
    const closed = store.close();
    await inserted;
    await closed;
    await expect(store.session(exampleScreenRow().session)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const again = await openEventStore({ kind: 'chdb', path });
    expect((await again.searchScreen({ text: 'late' })).rows).toHaveLength(1);
    await again.close();
  });

  test('rows acknowledged before kill -9 are complete after it, and the directory opens at once', async () => {
    const child = spawn(
      process.execPath,
      [
        '--conditions=source',
        '--import',
        new URL('source-loader.mjs', import.meta.url).href,
        fileURLToPath(new URL('killed.child.ts', import.meta.url)),
        path,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const exited = new Promise<string | null>((resolve) => {
      child.once('exit', (_, signal) => {
        resolve(signal);
      });
    });
    let acknowledged = -1;
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'open') {
        await expect(openEventStore({ kind: 'chdb', path })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
        continue;
      }
      acknowledged = Number(line);
      // Killed while the next batch is being written.
      if (acknowledged === 5) child.kill('SIGKILL');
    }
    expect(await exited).toBe('SIGKILL');
    const store = await openEventStore({ kind: 'chdb', path });
    const { rows } = await store.readOnlySql(
      "SELECT block, count(), countIf(text = concat('line ', toString(index), ' of block ', toString(block))) FROM screen GROUP BY block ORDER BY block",
      { maxRows: 1000, maxSeconds: 10 },
    );
    expect(rows.length).toBeGreaterThanOrEqual(acknowledged + 1);
    expect(rows).toEqual(rows.map((_, block) => [block, 200, 200]));
    await store.insert('screen', [exampleScreenRow({ block: 9999, text: 'afterwards' })], 'afterwards');
    expect((await store.searchScreen({ text: 'afterwards' })).rows).toHaveLength(1);
    await store.close();
  });
});
