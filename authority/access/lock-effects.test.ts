import { afterEach, expect, test } from 'vitest';
import type { LockEffects } from '#schemas/api/access/locks.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const lock = { id: 'l-1', target_kind: 'user', target: 'mallory', reason: '', expires_at: null };
const held = { epoch: '0'.repeat(16), address: '', ingest: '', up: [], down: [], all: [] };

test('of every gateway that is there, what a lock has ended is told; the word of a gateway counts for itself', async () => {
  const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
  const admin = await administrator(authority, cleanup);
  const [east, west] = [
    await clientOf(authority, { kind: 'gateway', name: 'east' }, cleanup),
    await clientOf(authority, { kind: 'gateway', name: 'west' }, cleanup),
  ];
  const effects = async (): Promise<LockEffects> => (await admin.call('GET', '/v1/lock-effects/l-1')) as LockEffects;
  for (const { nodes } of [east, west]) await nodes.held(held);
  await admin.call('PUT', '/v1/locks/l-1', lock);
  expect(await effects()).toEqual({ lock: 'l-1', gateways: ['east', 'west'], applied: [] });
  await east.lockEffects([{ lock: 'l-1', connections: 2, sessions: 3 }]);
  await east.lockEffects([{ lock: 'l-1', connections: 3, sessions: 3 }]);
  await west.lockEffects([{ lock: 'l-1', connections: 0, sessions: 0 }]);
  expect((await effects()).applied).toMatchObject([
    { gateway: 'east', connections: 3, sessions: 3 },
    { gateway: 'west', connections: 0, sessions: 0 },
  ]);

  // Set again unchanged, it is the same lock. Changed or lifted, earlier reports concern another lock.
  await admin.call('PUT', '/v1/locks/l-1', lock);
  expect((await effects()).applied).toHaveLength(2);
  await admin.call('PUT', '/v1/locks/l-1', { ...lock, target: 'eve' });
  expect((await effects()).applied).toEqual([]);
  await east.lockEffects([{ lock: 'l-1', connections: 1, sessions: 1 }]);
  await admin.call('DELETE', '/v1/locks/l-1');
  await east.lockEffects([{ lock: 'l-1', connections: 1, sessions: 1 }]);
  expect((await effects()).applied).toEqual([]);
});
