import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openEventStore } from '../clickhouse/store.js';
import { exampleAuditRow, exampleEventRow, exampleScreenRow, exampleSession, exampleSessionRow, exampleStart } from '../examples.js';
import { columns, encodeRows, quote } from '../engine/columns.js';
import { openEngine } from '../engine/engine.js';
import type { Engine } from '../engine/engine.js';
import { migrate, migrations } from './migrate.js';

const KERNEL = 0x8000_0000;
const [tables, sources] = migrations as [(typeof migrations)[number], (typeof migrations)[number]];
const added = {
  sessions: ['cluster', 'namespace', 'pod', 'container', 'image', 'labels', 'labels_known'],
  events: ['source', 'emitter', 'raw_kind', 'cluster', 'namespace', 'pod', 'container'],
  screen: [],
  audit: [],
} as const;

/** Inserts rows as the previous version wrote them: without the later columns, and kernel rows with a bit in `block`. */
async function insertOld<T extends keyof typeof added>(engine: Engine, table: T, rows: Parameters<typeof encodeRows<T>>[1]): Promise<void> {
  const kept = columns[table].map(({ name }, i) => ({ name, i })).filter(({ name }) => !(added[table] as readonly string[]).includes(name));
  const lines = encodeRows(table, rows).trimEnd().split('\n');
  const body = lines.map((line) => {
    const values = JSON.parse(line) as unknown[];
    return `${JSON.stringify(kept.map(({ name, i }) => (name === 'block' && (rows as readonly { source?: string }[])[lines.indexOf(line)]?.source === 'kernel' ? KERNEL + Number(values[i]) : values[i])))}\n`;
  });
  await engine.insert(table, kept.map(({ name }) => quote(name)).join(', '), body.join(''), `old ${table}`);
}

const session = exampleSession(7);
const unlabelled = { labels: {}, labels_known: false } as const;
const rows = {
  sessions: [exampleSessionRow({ session, ...unlabelled }), exampleSessionRow({ session, version: 2, state: 'sealed', ...unlabelled })],
  events: [
    ...[1, 2].map((block) => exampleEventRow({ session, block, kind: 'exec', at: exampleStart + block })),
    ...[0, 1, 2].map((index) =>
      exampleEventRow({
        session,
        source: 'kernel',
        emitter: 'agent/web-3',
        block: 1,
        index,
        kind: 'file',
        path: `/${index}`,
        at: exampleStart + 10 + index,
      }),
    ),
  ],
  screen: [exampleScreenRow({ session, text: 'kept as it was' })],
  audit: [exampleAuditRow()],
} as const;

describe('a data directory of the previous version', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
    path = join(folder, 'events');
    const engine = await openEngine({ kind: 'chdb', path });
    await migrate(engine, [tables]);
    for (const table of ['sessions', 'events', 'screen', 'audit'] as const) await insertOld(engine, table, rows[table] as never);
    await engine.close();
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function expectCarried(): Promise<void> {
    const store = await openEventStore({ kind: 'chdb', path });
    expect(await store.session(session)).toEqual(rows.sessions[1]);
    expect((await store.events({ session, source: 'recording', order: 'session' })).rows).toEqual(rows.events.slice(0, 2));
    expect((await store.events({ session, source: 'kernel', order: 'session' })).rows).toEqual(rows.events.slice(2));
    expect((await store.events({ session })).rows).toHaveLength(5);
    expect((await store.searchScreen({ text: 'kept' })).rows).toHaveLength(1);
    expect((await store.audit({})).rows).toEqual(rows.audit);
    // Resending rows that were already stored changes nothing.
    await store.insert('events', rows.events, 'resent');
    expect((await store.events({ session })).rows).toHaveLength(5);
    await store.close();
  }

  test('is migrated with all its rows', expectCarried);

  test.each(['DROP TABLE IF EXISTS events_next', 'INSERT INTO events_next', 'EXCHANGE TABLES', 'schema_migrations'])(
    'is migrated after a crash before: %s',
    async (before) => {
      const engine = await openEngine({ kind: 'chdb', path });
      let seen = 0;
      const stops = (sql: string): void => {
        // The table is dropped twice; crash at the second time, after the exchange.
        if (sql.includes(before) && (!before.startsWith('DROP') || ++seen === 2)) throw new Error('crash');
      };
      const crashing: Engine = {
        layout: engine.layout,
        database: engine.database,
        command: async (sql) => {
          stops(sql);
          await engine.command(sql);
        },
        insert: async (table, ...rest) => {
          stops(table);
          await engine.insert(table, ...rest);
        },
        read: (...args) => engine.read(...args),
        readChecked: (sql) => engine.readChecked(sql),
        progress: (mark) => engine.progress(mark),
        close: () => engine.close(),
      };
      await expect(migrate(crashing, [tables, sources])).rejects.toThrow('crash');
      await engine.close();
      await expectCarried();
    },
  );
});

describe('definitions for every layout', () => {
  let folder: string;
  let engine: Engine;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
    engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  });
  afterEach(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  test.each([
    ['one machine', { kind: 'embedded' }, /ENGINE = ReplacingMergeTree/, /PARTITION BY|ON CLUSTER|Replicated/],
    ['one server', { kind: 'server' }, /PARTITION BY toYYYYMM/, /ON CLUSTER|Replicated/],
    [
      'a cluster',
      { kind: 'server', cluster: 'main' },
      /ON CLUSTER main .*ReplicatedReplacingMergeTree\(.*PARTITION BY toYYYYMM/,
      /non_replicated/,
    ],
  ] as const)('of %s are accepted by the engine', async (_, layout, has, lacks) => {
    for (const step of migrations) {
      for (const statement of step.statements(layout)) {
        const [row] = await engine.read('SELECT formatQuerySingleLine({sql:String})', { sql: statement });
        const printed = String(row?.[0]);
        // The table of reader positions is small and has no partitions.
        if (printed.startsWith('CREATE') && !printed.includes(' positions ')) expect(printed).toMatch(has);
        else if (layout.kind === 'server' && 'cluster' in layout) expect(printed).toMatch(/ON CLUSTER main/);
        expect(printed).not.toMatch(lacks);
      }
    }
  });
});
