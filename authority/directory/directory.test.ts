import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { Snapshot } from '#schemas/snapshot.js';
import { roleSchema } from '#schemas/policy/role.js';
import { openState } from '#stores/state/open.js';
import { LiveCa } from '../ca/ca.js';
import { caState } from '../ca/ca-records.js';
import { keyPlaces, sealedPlace } from '../ca/places.js';
import { SealStore } from '../ca/seal-store.js';
import { Directory } from './directory.js';
import { deleteLock, putLock, Records } from '../records/records.js';
import type { Tx } from '../records/records.js';
import { authorityIn, Cleanup, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

type Step = { readonly of: 'node' | 'role' | 'lock' | 'user'; readonly name: string; readonly value: number; readonly gone: boolean };
const step: fc.Arbitrary<Step> = fc.record({
  of: fc.constantFrom('node', 'role', 'lock', 'user'),
  name: fc.constantFrom('a', 'b', 'c'),
  value: fc.integer({ min: 0, max: 3 }),
  gone: fc.boolean(),
});

async function take(tx: Tx, { of, name, value, gone }: Step): Promise<void> {
  if (of === 'node') {
    await tx.deleteFrom('nodes').where('name', '=', name).execute();
    const row = {
      name,
      kind: 'openssh' as const,
      address: `h${value}:22`,
      host_keys: '[]',
      labels: '{}',
      created_at: 0,
      last_seen_at: null,
    };
    if (!gone) await tx.insertInto('nodes').values(row).execute();
  } else if (of === 'role') {
    const role = roleSchema.parse({ kind: 'role', name, allow: { logins: [`l${value}`] } });
    await tx.deleteFrom('roles').where('name', '=', name).execute();
    if (!gone)
      await tx
        .insertInto('roles')
        .values({ name, document: JSON.stringify(role), updated_at: 0 })
        .execute();
  } else if (of === 'lock') {
    if (gone) await deleteLock(tx, name).catch(() => undefined);
    else
      await putLock(tx, { id: name, target_kind: 'user', target: `u${value}`, reason: '', expires_at: value === 0 ? 2_000 : null }, '', 0);
  } else {
    await tx.deleteFrom('users').where('name', '=', name).execute();
    if (!gone) await tx.insertInto('users').values({ name, roles: '[]', created_at: value, disabled_at: null, own_since: value }).execute();
  }
}

/** A store with CAs, and directories over it. */
async function store(): Promise<{ readonly records: Records; readonly open: (clock: () => number) => Promise<Directory> }> {
  const dir = temporaryFolder(cleanup);
  await (await authorityIn(dir, cleanup)).close();
  const folder = join(dir, 'authority');
  const records = new Records(await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') }));
  cleanup.add(() => records.close());
  const { sealer } = await SealStore.open(records, { file: join(folder, 'seal.key'), now: 0 });
  const open = async (clock: () => number): Promise<Directory> => {
    const ca = await LiveCa.open(() => records.read(caState), keyPlaces(sealedPlace(sealer)));
    return Directory.open(records, ca, 'main', clock);
  };
  return { records, open };
}

const content = (directory: Directory): Snapshot => ({ ...directory.current(), version: 0 });

describe('the directory', () => {
  test('brought up to date change by change is the one that is read as a whole, also when locks run out', async () => {
    const { records, open } = await store();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 5 }), { maxLength: 6 }), async (rounds) => {
        let now = 1_000;
        const directory = await open(() => now);
        for (const steps of rounds) {
          now += 400;
          await records.act([], async (tx) => {
            for (const each of steps) await take(tx, each);
          });
          await directory.changed();
          const whole = await open(() => now);
          expect(content(directory)).toEqual(content(whole));
          whole.close();
        }
        directory.close();
      }),
      { numRuns: 40 },
    );
  });

  test('publishes nothing when nothing differs, and shares a reading among those who ask at the same time', async () => {
    const { records, open } = await store();
    const directory = await open(() => 1_000);
    cleanup.add(() => directory.close());
    const published: number[] = [];
    directory.onChange(({ version }) => published.push(version));
    await directory.changed();
    expect(published).toEqual([]);
    await records.act([], (tx) => take(tx, { of: 'node', name: 'a', value: 1, gone: false }));
    await Promise.all([directory.changed(), directory.changed(), directory.changed()]);
    expect(published).toHaveLength(1);
    expect(directory.node('a')?.address).toBe('h1:22');
  });
});
