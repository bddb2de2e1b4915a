import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { changesAfter, pruneChanges } from './directory-changes.js';
import { openState } from './open.js';
import type { StateSchema } from './schema.js';
import { postgresPrograms, startPostgres } from './testing/postgres-server.js';
import type { PostgresServer } from './testing/postgres-server.js';
import { transact } from './transaction.js';

const programs = postgresPrograms();
let server: PostgresServer | undefined;
let folder: string;
let db: Kysely<StateSchema>;

const node = (name: string) => ({
  name,
  kind: 'openssh' as const,
  address: 'h:22',
  host_keys: '[]',
  labels: '{}',
  created_at: 0,
  last_seen_at: null,
});
const since = async (position: number | null): Promise<Record<string, string[]> | null> => {
  const { changed } = await changesAfter(db, position);
  return changed === null ? null : Object.fromEntries([...changed].map(([kind, keys]) => [kind, [...keys].sort()]));
};
const position = async (): Promise<number> => (await changesAfter(db, null)).position;

const engines = ['sqlite', ...('missing' in programs ? [] : ['postgres'])] as const;
beforeAll(async () => {
  if (!('missing' in programs)) server = await startPostgres();
});
afterAll(() => server?.close());

describe.each(engines)('the log of changes, %s', (engine) => {
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-changes-'));
    db = await openState(
      engine === 'sqlite' ? { kind: 'sqlite', file: join(folder, 'state.sqlite') } : { kind: 'postgres', url: await server!.newDatabase() },
    );
  });
  afterEach(async () => {
    await db.destroy();
    await rm(folder, { recursive: true });
  });

  test('names the rows that were created, changed and removed', async () => {
    const begin = await position();
    await db
      .insertInto('nodes')
      .values([node('a'), node('b')])
      .execute();
    await db
      .insertInto('locks')
      .values({ id: 'l', target_kind: 'user', target: 'x', reason: '', expires_at: null, created_at: 0, created_by: '' })
      .execute();
    expect(await since(begin)).toEqual({ nodes: ['a', 'b'], locks: ['l'] });
    const then = await position();
    await db.updateTable('nodes').set({ labels: '{"a":"b"}' }).where('name', '=', 'b').execute();
    await db.deleteFrom('nodes').where('name', '=', 'a').execute();
    expect(await since(then)).toEqual({ nodes: ['a', 'b'] });
    expect(await since(await position())).toEqual({});
  });

  test('omits unpublished data and rolled-back changes', async () => {
    await db.insertInto('nodes').values(node('a')).execute();
    const begin = await position();
    await db.updateTable('nodes').set({ last_seen_at: 5 }).execute();
    await expect(
      transact(db, async (tx) => {
        await tx.deleteFrom('nodes').execute();
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await since(begin)).toEqual({});
  });

  test('reports that everything may have changed to a reader from before its oldest entry, or after the store was restored', async () => {
    const begin = await position();
    for (const name of ['a', 'b', 'c']) await db.insertInto('nodes').values(node(name)).execute();
    const end = await position();
    await pruneChanges(db, 1);
    expect(await since(begin)).toBeNull();
    expect(await since(end - 1)).toEqual({ nodes: ['c'] });
    expect(await since(end)).toEqual({});
    expect(await since(end + 1)).toBeNull();
    expect(await since(null)).toBeNull();
  });

  test('misses no row when read continuously while many write at the same time', async () => {
    const names = Array.from({ length: 60 }, (_, i) => `n-${i}`);
    const seen = new Set<string>();
    let at = await position();
    let done = false;
    const read = async (): Promise<void> => {
      const { changed, position: next } = await changesAfter(db, at);
      for (const name of changed?.get('nodes') ?? []) seen.add(name);
      at = next;
    };
    const reading = (async () => {
      while (!done) await read();
    })();
    await Promise.all(
      names.map((name) =>
        transact(db, async (tx) => {
          await tx.insertInto('nodes').values(node(name)).execute();
          // The transaction continues after its entry is written.
          await tx.selectFrom('nodes').select('name').where('name', '=', name).execute();
        }),
      ),
    );
    done = true;
    await reading;
    await read();
    expect([...seen].sort()).toEqual([...names].sort());
  });
});
