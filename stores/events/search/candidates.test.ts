/** Which statements a search consists of: they are as many for rows that are hidden as for rows that do not exist. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseSearch } from '#schemas/search/parse.js';
import { ClickHouseEventStore } from '../clickhouse/store.js';
import { openEngine } from '../engine/engine.js';
import type { Engine } from '../engine/engine.js';
import { exampleSession, exampleSessionRow } from '../examples.js';
import { migrate } from '../migrations/migrate.js';
import type { SearchScope } from '../search-contract.js';

let folder: string;
let engine: Engine;
let store: ClickHouseEventStore;
let statements: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
  engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  await migrate(engine);
  store = new ClickHouseEventStore({
    layout: engine.layout,
    database: engine.database,
    command: (sql) => engine.command(sql),
    insert: (...of) => engine.insert(...of),
    read: (sql, parameters) => {
      statements.push(sql);
      return engine.read(sql, parameters);
    },
    readChecked: (...of) => engine.readChecked(...of),
    progress: (mark) => engine.progress(mark),
    close: () => engine.close(),
  });
  await store.insert('sessions', [exampleSessionRow({ session: exampleSession(1), user: 'bob', command: 'cat hidden' })], 'one');
  await store.insert('sessions', [exampleSessionRow({ session: exampleSession(2), user: 'alice', command: 'cat own' })], 'other');
});
afterAll(async () => {
  await store.close();
  await rm(folder, { recursive: true, force: true });
});

test.each<[string, SearchScope]>([
  ['by a condition', { audit: false, visible: { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: 'alice' } } }],
  ['of one user', { audit: false, user: 'alice' }],
])('a word in a hidden row takes the statements of a word that is nowhere: %s', async (_, scope) => {
  const asked = async (word: string): Promise<{ readonly rows: number; readonly statements: readonly string[] }> => {
    statements = [];
    const { rows } = await store.searchRows({ expression: parseSearch(word, 0), scope, limit: 10 });
    return { rows: rows.length, statements: statements.filter((sql) => !sql.includes('system.')) };
  };
  const nowhere = await asked('nowhere');
  expect(await asked('hidden')).toEqual(nowhere);
  expect(nowhere.statements.some((sql) => /FROM sessions FINAL/.test(sql))).toBe(false);
  expect((await asked('own')).rows).toBe(1);
});
