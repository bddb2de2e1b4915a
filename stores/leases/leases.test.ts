import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openState } from '../state/open.js';
import type { StateOptions } from '../state/open.js';
import type { StateSchema } from '../state/schema.js';
import { postgresPrograms, startPostgres } from '../state/testing/postgres-server.js';
import type { PostgresServer } from '../state/testing/postgres-server.js';
import { transact } from '../state/transaction.js';
import { conformance } from './conformance.js';
import type { LeaseWorld } from './conformance.js';
import { SqlLeases, fence, storeClock } from './sql.js';

const programs = postgresPrograms();
let server: PostgresServer | undefined;
beforeAll(async () => {
  if (!('missing' in programs)) server = await startPostgres();
});
afterAll(() => server?.close());

describe.each(['sqlite', ...('missing' in programs ? [] : (['postgres'] as const))] as const)('leases, %s', (engine) => {
  let folder: string;
  let options: StateOptions;
  let world: LeaseWorld;
  const opened: Kysely<StateSchema>[] = [];
  let only: Promise<Kysely<StateSchema>> | undefined;
  const open = async (): Promise<Kysely<StateSchema>> => {
    const db = await openState(options);
    opened.push(db);
    return db;
  };
  // A process opens one SQLite store.
  const store = (): Promise<Kysely<StateSchema>> => (engine === 'sqlite' ? (only ??= open()) : open());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'steno-leases-'));
    options =
      engine === 'sqlite' ? { kind: 'sqlite', file: join(folder, 'state.sqlite') } : { kind: 'postgres', url: await server!.newDatabase() };
    const clock = { now: 1_700_000_000_000 };
    world = { clock, open: async () => new SqlLeases(await store(), async () => clock.now) };
  });
  afterEach(async () => {
    only = undefined;
    for (const db of opened.splice(0)) await db.destroy();
    await rm(folder, { recursive: true });
  });
  conformance(() => world);

  test('a transaction under a token that is no longer current is rolled back', async () => {
    const leases = await world.open();
    const token = (await leases.acquire({ name: 'work', holder: 'a', ttlMs: 1_000 }))!;
    let writes = 0;
    const write = (by: number): Promise<unknown> =>
      transact(opened[0]!, async (tx) => {
        await tx
          .insertInto('request_nonces')
          .values({ nonce: `n${writes++}`, expires_at: 0 })
          .execute();
        await fence(tx, { name: 'work', token: by });
      });
    await write(token);
    world.clock.now += 1_000;
    const next = (await leases.acquire({ name: 'work', holder: 'b', ttlMs: 1_000 }))!;
    await expect(write(token)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await write(next);
    expect(await opened[0]!.selectFrom('request_nonces').select('nonce').execute()).toHaveLength(2);
  });

  test('expiry goes by the clock of the store', async () => {
    const now = storeClock(engine, () => 5);
    const read = await (await store()).transaction().execute(now);
    if (engine === 'sqlite') expect(read).toBe(5);
    else expect(read).toBeGreaterThan(1_700_000_000_000);
  });
});
