import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import { migrateState, migrations } from './migrate.js';
import { openState } from './open.js';
import { placeOf } from './postgres.js';
import type { NewRow, StateSchema } from './schema.js';
import { postgresPrograms, startPostgres } from './testing/postgres-server.js';
import type { PostgresServer } from './testing/postgres-server.js';
import { isStoreFailure, transact } from './transaction.js';
import { watchState } from './watch.js';
import type { StateWatch } from './watch.js';

const programs = postgresPrograms();

test('the address of a store is shown without its password', () => {
  expect(placeOf('postgres://steno:secret@db.example:5433/steno?sslmode=require')).toBe('postgres://db.example:5433/steno');
  expect(placeOf('secret')).not.toContain('secret');
});

describe.skipIf('missing' in programs)(`PostgreSQL${'missing' in programs ? `: ${programs.missing}` : ''}`, () => {
  let server: PostgresServer;
  let url: string;
  const open: { destroy(): Promise<void> }[] = [];
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    url = await server.newDatabase();
  });
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.destroy();
  });
  const store = async (): Promise<Kysely<StateSchema>> => {
    const state = await openState({ kind: 'postgres', url });
    open.push(state);
    return state;
  };
  const watch = (): StateWatch => {
    const watching = watchState({ kind: 'postgres', url });
    open.push({ destroy: () => watching.close() });
    return watching;
  };
  const lock = (id: string): NewRow<'locks'> => ({
    id,
    target_kind: 'user',
    target: 'ann',
    reason: '',
    created_by: 'bob',
    created_at: 1,
    expires_at: null,
  });

  test('keeps rows, including times beyond 32 bits and bytes, after reopening', async () => {
    const first = await store();
    await first
      .insertInto('ca_keys')
      .values({
        name: 'ssh-user',
        generation: 1,
        state: 'active',
        signer: 'sealed',
        public: 'k',
        private_sealed: Buffer.from([0, 255, 1]),
        created_at: 4_102_444_800_000,
        retired_at: null,
      })
      .execute();
    const row = await (await store()).selectFrom('ca_keys').selectAll().executeTakeFirstOrThrow();
    expect(row.created_at).toBe(4_102_444_800_000);
    expect([...row.private_sealed!]).toEqual([0, 255, 1]);
  });

  test('may be opened by many at the same time while empty', async () => {
    const stores = await Promise.all([store(), store(), store(), store()]);
    await stores[0]!.insertInto('locks').values(lock('a')).execute();
    expect(await stores[3]!.selectFrom('locks').select('id').execute()).toEqual([{ id: 'a' }]);
  });

  test('refuses a store that a newer Steno wrote', async () => {
    const state = await store();
    await migrateState(state, 'postgres', { ...migrations, '9999_later': { up: async () => undefined } });
    await expect(openState({ kind: 'postgres', url })).rejects.toMatchObject({ code: 'STORE_NEWER' });
  });

  test('that does not exist is unavailable, and the error does not contain the password', async () => {
    const error: unknown = await openState({ kind: 'postgres', url: 'postgres://steno:secret@127.0.0.1:1/none' }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(JSON.stringify([(error as Error).message, error])).not.toContain('secret');
  });

  test('a transaction that loses a race is run again, so that no increment is lost', async () => {
    const [one, two] = [await store(), await store()];
    await one.insertInto('gateways').values({ name: 'g', recording_key: 'k', created_at: 1, last_counter: 0 }).execute();
    let runs = 0;
    const increment = (state: Kysely<StateSchema>): Promise<void> =>
      transact(state, async (tx) => {
        runs += 1;
        const { last_counter } = await tx.selectFrom('gateways').select('last_counter').where('name', '=', 'g').executeTakeFirstOrThrow();
        await tx
          .updateTable('gateways')
          .set({ last_counter: last_counter + 1 })
          .where('name', '=', 'g')
          .execute();
      });
    await Promise.all(Array.from({ length: 10 }, (_, i) => increment(i % 2 === 0 ? one : two)));
    expect((await one.selectFrom('gateways').select('last_counter').executeTakeFirstOrThrow()).last_counter).toBe(10);
    expect(runs).toBeGreaterThanOrEqual(10);
  });

  test('other errors are not retried', async () => {
    const state = await store();
    let runs = 0;
    await expect(
      transact(state, async () => {
        runs += 1;
        throw new Error('on purpose');
      }),
    ).rejects.toThrow('on purpose');
    expect(runs).toBe(1);
  });

  test('notifies every watcher of published changes at commit, and of nothing that was rolled back', async () => {
    const state = await store();
    const heard: string[] = [];
    const watching = watch();
    await arrival(watching);
    watching.onChange(() => heard.push('change'));
    watching.onAudit(() => heard.push('audit'));
    await expect(
      state.transaction().execute(async (tx) => {
        await tx.insertInto('locks').values(lock('x')).execute();
        throw new Error('on purpose');
      }),
    ).rejects.toThrow();
    await state
      .insertInto('nodes')
      .values({ name: 'n', kind: 'agent', address: 'a:1', host_keys: '[]', labels: '{}', created_at: 1, last_seen_at: null })
      .execute();
    await state.updateTable('nodes').set({ last_seen_at: 5 }).execute();
    await state.insertInto('audit_outbox').values({ id: 'a', row: '{}', created_at: 1 }).execute();
    await state.deleteFrom('audit_outbox').execute();
    await state.insertInto('locks').values(lock('b')).execute();
    await until(() => heard.length >= 3);
    expect(heard).toEqual(['change', 'audit', 'change']);
  });

  test('has one leader; when its connection ends another leads', async () => {
    await store();
    const one = watch();
    await leads(one);
    const two = watch();
    await arrival(two);
    expect([one.leads(), two.leads()]).toEqual([true, false]);
    await one.close();
    await leads(two);
    expect([one.leads(), two.leads()]).toEqual([false, true]);
  });

  test('survives a crash of the server: committed data is kept, watchers reconnect and read again', async () => {
    const state = await store();
    const watching = watch();
    await leads(watching);
    await state.insertInto('locks').values(lock('before')).execute();
    const back = arrival(watching);
    await server.restart();
    await back;
    await leads(watching);
    expect(await state.selectFrom('locks').select('id').execute()).toEqual([{ id: 'before' }]);
  });

  // pg also reports a lost connection by an event, which ends a process that does not listen for it.
  test.each([
    ['between two queries', false],
    ['during a query', true],
  ])('the server ends the connection of a transaction %s: only that transaction fails', async (_, during) => {
    const state = await store();
    const other = await store();
    const failed = transact(state, async (tx) => {
      await tx.insertInto('locks').values(lock('lost')).execute();
      const { rows } = await sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`.execute(tx);
      const asleep = during ? sql`SELECT pg_sleep(25)`.execute(tx) : undefined;
      asleep?.catch(() => undefined);
      await sql`SELECT pg_terminate_backend(${rows[0]!.pid}, 10000)`.execute(other);
      await asleep;
      await tx.insertInto('locks').values(lock('lost too')).execute();
    });
    await expect(failed).rejects.toSatisfy(isStoreFailure);
    await state.insertInto('locks').values(lock('after')).execute();
    expect(await state.selectFrom('locks').select('id').execute()).toEqual([{ id: 'after' }]);
  });
});

/** Resolves the next time the watch reports a possible change. */
function arrival(watching: StateWatch): Promise<void> {
  return new Promise((resolve) => watching.onChange(resolve));
}

function leads(watching: StateWatch): Promise<void> {
  return new Promise((resolve) => watching.onLead(resolve));
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
