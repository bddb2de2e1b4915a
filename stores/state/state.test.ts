import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler, SqliteDialect } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { columnTypes } from './engine/dialect.js';
import { migrateState, migrations } from './migrate.js';
import { openState } from './open.js';
import type { NewRow, StateSchema } from './schema.js';

describe('the state store', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-state-'));
    file = join(folder, 'inner', 'state.db');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const certificate: NewRow<'certificates'> = {
    kind: 'user',
    key_id: 'alice@steno',
    user: 'alice',
    principals: '["root"]',
    valid_after: 0,
    valid_before: 4_102_444_800_000,
    issued_at: 1,
    source: 'socket',
  };

  test('keeps rows, including times beyond 32 bits and bytes, after reopening', async () => {
    const first = await openState({ kind: 'sqlite', file });
    await first
      .insertInto('users')
      .values({ name: 'alice', roles: '["admin"]', created_at: 4_102_444_800_000, disabled_at: null })
      .execute();
    await first
      .insertInto('ca_keys')
      .values({
        name: 'ssh-user',
        generation: 1,
        state: 'active',
        signer: 'sealed',
        public: 'ssh-ed25519 AAAA',
        private_sealed: Buffer.from([0, 255, 1]),
        created_at: 5,
        retired_at: null,
      })
      .execute();
    await first.destroy();
    const second = await openState({ kind: 'sqlite', file });
    expect(await second.selectFrom('users').select(['name', 'roles', 'created_at', 'disabled_at']).execute()).toEqual([
      { name: 'alice', roles: '["admin"]', created_at: 4_102_444_800_000, disabled_at: null },
    ]);
    const authority = await second.selectFrom('ca_keys').selectAll().executeTakeFirstOrThrow();
    expect([...authority.private_sealed!]).toEqual([0, 255, 1]);
    await second.destroy();
  });

  test('is durable by default and readable by its owner only', async () => {
    const state = await openState({ kind: 'sqlite', file });
    await state.insertInto('audit_outbox').values({ id: 'a', row: '{}', created_at: 1 }).execute();
    for (const suffix of ['', '-wal', '-shm']) expect((await stat(file + suffix)).mode & 0o777, suffix).toBe(0o600);
    await state.destroy();
    const raw = new Database(file);
    expect(raw.pragma('journal_mode', { simple: true })).toBe('wal');
    raw.close();
  });

  test('never reuses a serial, not even of a deleted row', async () => {
    const state = await openState({ kind: 'sqlite', file });
    const issue = async (): Promise<number> =>
      (await state.insertInto('certificates').values(certificate).returning('serial').executeTakeFirstOrThrow()).serial;
    expect(await issue()).toBe(1);
    expect(await issue()).toBe(2);
    await state.deleteFrom('certificates').where('serial', '=', 2).execute();
    expect(await issue()).toBe(3);
    await state.destroy();
  });

  test('a link belongs to an existing user and is deleted with the user', async () => {
    const state = await openState({ kind: 'sqlite', file });
    const link = { hash: 'h', user: 'alice', expires_at: 1, used_at: null };
    await expect(state.insertInto('sign_in_links').values(link).execute()).rejects.toThrow(/FOREIGN KEY/);
    await state.insertInto('users').values({ name: 'alice', roles: '[]', created_at: 1, disabled_at: null }).execute();
    await state.insertInto('sign_in_links').values(link).execute();
    await state.deleteFrom('users').where('name', '=', 'alice').execute();
    expect(await state.selectFrom('sign_in_links').selectAll().execute()).toEqual([]);
    await state.destroy();
  });

  test('CA keys from before generations become generation 1', async () => {
    const raw = new Kysely<Record<string, Record<string, unknown>>>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) });
    await migrateState(raw, 'sqlite', { '0001_tables': migrations['0001_tables']! });
    await raw
      .insertInto('authorities')
      .values({ name: 'ssh-user', phase: 'standby', public: 'ssh-ed25519 AAAA', private_sealed: Buffer.from([0, 255, 1]), created_at: 5 })
      .execute();
    await migrateState(raw, 'sqlite');
    expect(await raw.selectFrom('ca_keys').selectAll().execute()).toEqual([
      {
        name: 'ssh-user',
        generation: 1,
        state: 'active',
        signer: 'sealed',
        public: 'ssh-ed25519 AAAA',
        private_sealed: Buffer.from([0, 255, 1]),
        created_at: 5,
        retired_at: null,
      },
    ]);
    await raw.destroy();
  });

  test('roles that do not mention streams get the new default, others stay unchanged', async () => {
    const raw = new Kysely<Record<string, Record<string, unknown>>>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) });
    const before = Object.fromEntries(Object.entries(migrations).filter(([name]) => name < '0011'));
    await migrateState(raw, 'sqlite', before);
    const cases: readonly (readonly [name: string, source: string, recording: object, streams: string])[] = [
      ['silent', 'kind: role\nname: silent\n', { streams: 'limited', limit: 1 << 20 }, 'commands'],
      [
        'mode-only',
        'kind: role\nname: mode-only\nrecording: {mode: best_effort}\n',
        { mode: 'best_effort', streams: 'limited', limit: 1 << 20 },
        'commands',
      ],
      ['without-text', '', { streams: 'limited', limit: 1 << 20 }, 'commands'],
      ['without-text-small', '', { streams: 'limited', limit: 5 }, 'limited'],
      [
        'says-limited',
        'kind: role\nname: says-limited\nrecording: {streams: limited}\n',
        { streams: 'limited', limit: 1 << 20 },
        'limited',
      ],
      [
        'says-how-much',
        'kind: role\nname: says-how-much\nrecording: {limit: 1048576}\n',
        { streams: 'limited', limit: 1 << 20 },
        'limited',
      ],
      ['says-full', 'kind: role\nname: says-full\nrecording: {streams: full}\n', { streams: 'full', limit: 1 << 20 }, 'full'],
      ['unreadable', 'kind: [role', { streams: 'limited', limit: 1 << 20 }, 'limited'],
    ];
    for (const [name, source, recording] of cases) {
      await raw
        .insertInto('roles')
        .values({ name, document: JSON.stringify({ kind: 'role', name, recording }), source, updated_at: 1, revision: 1, updated_by: 'a' })
        .execute();
    }
    await migrateState(raw, 'sqlite');
    for (const [name, , recording, streams] of cases) {
      const { document } = (await raw.selectFrom('roles').select('document').where('name', '=', name).executeTakeFirstOrThrow()) as {
        document: string;
      };
      expect(JSON.parse(document)).toEqual({ kind: 'role', name, recording: { ...recording, streams } });
    }
    await raw.destroy();
  });

  test('existing open access requests are pinned to the current roles, and existing names are kept', async () => {
    const raw = new Kysely<Record<string, Record<string, unknown>>>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) });
    const before = Object.fromEntries(Object.entries(migrations).filter(([name]) => name < '0012'));
    await migrateState(raw, 'sqlite', before);
    await raw.insertInto('roles').values({ name: 'dba', document: '{"kind":"role","name":"dba"}', updated_at: 1, revision: 4 }).execute();
    const request = {
      user: 'ann',
      reason: '',
      items: '[{"kind":"role","role":"dba"},{"kind":"role","role":"gone"}]',
      thresholds: '{}',
      created_at: 1,
      expires_at: 2,
      duration: 1,
      version: 1,
    };
    await raw
      .insertInto('access_requests')
      .values([
        { id: 'open', state: 'approved', ...request },
        { id: 'old', state: 'over', ...request },
      ])
      .execute();
    await raw
      .insertInto('users')
      .values([
        { name: 'ann', roles: '[]', created_at: 10 },
        { name: 'bob', roles: '[]', created_at: 10 },
      ])
      .execute();
    const issued = (user: string, at: number) => ({ ...certificate, user, issued_at: at });
    await raw
      .insertInto('certificates')
      .values([issued('ann', 11), issued('bob', 9), issued('bob', 12), issued('carol', 7)])
      .execute();
    await migrateState(raw, 'sqlite');
    expect(await raw.selectFrom('access_requests').select(['id', 'pins']).orderBy('id').execute()).toEqual([
      { id: 'old', pins: '{}' },
      { id: 'open', pins: '{"dba":{"revision":4,"document":{"kind":"role","name":"dba"}}}' },
    ]);
    expect(await raw.selectFrom('user_names').selectAll().orderBy('name').execute()).toEqual([
      { name: 'bob', removed_at: 10, released_at: 10 },
      { name: 'carol', removed_at: 7, released_at: null },
    ]);
    expect(await raw.selectFrom('users').select(['name', 'own_since']).orderBy('name').execute()).toEqual([
      { name: 'ann', own_since: null },
      { name: 'bob', own_since: 10 },
    ]);
    await raw.destroy();
  });

  test('existing gateways keep the names in their certificates, except the name of the service', async () => {
    const raw = new Kysely<Record<string, Record<string, unknown>>>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) });
    const before = Object.fromEntries(Object.entries(migrations).filter(([name]) => name < '0013'));
    await migrateState(raw, 'sqlite', before);
    const certificate = (key_id: string, principals: readonly string[], valid_before: number): Record<string, unknown> => ({
      kind: 'host',
      key_id,
      user: 'x',
      principals: JSON.stringify(principals),
      valid_after: 1,
      valid_before,
      issued_at: 1,
      source: '',
    });
    await raw
      .insertInto('certificates')
      .values([
        certificate('host gateway/gw', ['gw', 'gw.steno', 'localhost', 'GW.example.com.'], 5),
        certificate('host gateway/gw', ['gw', 'gw.steno', 'gw.example.com', '::ffff:192.0.2.7'], 9),
        certificate('host agent/web-1', ['web-1', 'web-1.steno'], 9),
        certificate('host web-2', ['web-2'], 9),
      ])
      .execute();
    await raw
      .insertInto('nodes')
      .values({ name: 'web-1', kind: 'agent', address: '', host_keys: '[]', labels: '{}', created_at: 1, last_seen_at: null })
      .execute();
    await migrateState(raw, 'sqlite');
    const month = 30 * 86_400_000;
    expect(await raw.selectFrom('gateway_names').selectAll().orderBy('name').execute()).toEqual([
      { gateway: 'gw', name: '192.0.2.7', until: 9 + month },
      { gateway: 'gw', name: 'gw.example.com', until: 9 + month },
      { gateway: 'gw', name: 'localhost', until: 5 + month },
    ]);
    expect(await raw.selectFrom('nodes').select(['name', 'node_principals']).execute()).toEqual([{ name: 'web-1', node_principals: 0 }]);
    await raw.destroy();
  });

  test('a failed transaction leaves no changes', async () => {
    const state = await openState({ kind: 'sqlite', file });
    await expect(
      state.transaction().execute(async (transaction) => {
        await transaction
          .insertInto('locks')
          .values({
            id: 'l',
            target_kind: 'user',
            target: 'alice',
            reason: 'r',
            created_by: 'bob',
            created_at: 1,
            expires_at: null,
          })
          .execute();
        throw new Error('on purpose');
      }),
    ).rejects.toThrow('on purpose');
    expect(await state.selectFrom('locks').selectAll().execute()).toEqual([]);
    await state.destroy();
  });

  test('refuses a store that a newer Steno wrote, and does not change it', async () => {
    const state = await openState({ kind: 'sqlite', file });
    await migrateState(state, 'sqlite', { ...migrations, '9999_later': { up: async () => undefined } });
    await state.destroy();
    await expect(openState({ kind: 'sqlite', file })).rejects.toMatchObject({ code: 'STORE_NEWER' });
    const raw = new Database(file);
    expect(raw.prepare('SELECT name FROM schema_migrations ORDER BY name').all()).toEqual(
      [...Object.keys(migrations).sort(), '9999_later'].map((name) => ({ name })),
    );
    raw.close();
  });

  test('a step that fails leaves the store at the step before', async () => {
    const state = await openState({ kind: 'sqlite', file });
    const broken = {
      up: async (database: Kysely<unknown>): Promise<void> => {
        await database.schema.createTable('half').addColumn('a', 'text').execute();
        throw new Error('on purpose');
      },
    };
    await expect(migrateState(state, 'sqlite', { ...migrations, '9999_broken': broken })).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    const names = (await state.introspection.getTables()).map(({ name }) => name);
    expect(names).not.toContain('half');
    await state.destroy();
  });

  test('a file that is not a database is unavailable', async () => {
    await rm(folder, { recursive: true });
    folder = await mkdtemp(join(tmpdir(), 'steno-state-'));
    const other = join(folder, 'state.db');
    await writeFile(other, 'this is not a database, and long enough to be sure of it'.repeat(100));
    await expect(openState({ kind: 'sqlite', file: other })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });

  test('two connections to one file see each other, and wait for each other', async () => {
    const [one, two] = [await openState({ kind: 'sqlite', file }), await openState({ kind: 'sqlite', file })];
    await one.insertInto('gateways').values({ name: 'g', recording_key: 'k', created_at: 1, last_counter: 1 }).execute();
    await two
      .updateTable('gateways')
      .set((e) => ({ last_counter: e('last_counter', '+', 1) }))
      .where('name', '=', 'g')
      .execute();
    expect((await one.selectFrom('gateways').select('last_counter').executeTakeFirstOrThrow()).last_counter).toBe(2);
    await one.destroy();
    await two.destroy();
  });

  test('the same steps are valid PostgreSQL', async () => {
    const statements: string[] = [];
    const postgres = new Kysely<StateSchema>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (database) => new PostgresIntrospector(database),
        createQueryCompiler: () => new PostgresQueryCompiler(),
      },
      log: (event) => {
        statements.push(event.query.sql);
      },
    });
    for (const { up } of Object.values(migrations)) await up(postgres as Kysely<unknown>, columnTypes.postgres);
    const all = statements.join('\n');
    expect(all).toContain('"serial" bigint generated always as identity primary key');
    expect(all).toContain('"private_sealed" bytea not null');
    expect(all).toContain('"created_at" bigint not null');
    expect(all).not.toMatch(/autoincrement|blob| integer/);
    expect(statements.length).toBeGreaterThan(10);
  });
});
