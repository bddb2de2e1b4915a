import { afterEach, describe, expect, test } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string, detail = ''): unknown => expect.objectContaining({ code, detail: expect.stringContaining(detail) });

async function scene() {
  const dir = temporaryFolder(cleanup);
  const authority = await authorityIn(dir, cleanup);
  const admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/dev', {
    kind: 'role',
    name: 'dev',
    allow: { nodes: { env: 'dev' }, logins: ['www'], request: [{ roles: ['admin'] }] },
  });
  const add = (): Promise<unknown> => admin.call('POST', '/v1/users', { name: 'carol', roles: ['dev'] });
  const unlock = async (): Promise<void> => {
    for (const { id, target } of (await admin.call('GET', '/v1/locks')) as LockRecord[])
      if (target === 'carol') await admin.call('DELETE', `/v1/locks/${id}`);
  };
  return { dir, authority, admin, add, unlock };
}

describe('a name that was used', () => {
  test('is kept from others until somebody who administers everything releases it', async () => {
    const { admin, add, unlock } = await scene();
    await add();
    await admin.call('DELETE', '/v1/users/carol');
    await expect(add()).rejects.toEqual(refusal('LOCKED'));
    await unlock();
    await expect(add()).rejects.toEqual(refusal('USER_NAME_USED', 'carol'));
    await expect(admin.call('POST', '/v1/bots', { name: 'carol', roles: ['dev'] })).rejects.toEqual(refusal('USER_NAME_USED', 'carol'));
    expect(await admin.call('GET', '/v1/user-names')).toEqual([{ name: 'carol', removed_at: expect.any(Number) }]);
    await expect(admin.call('POST', '/v1/user-names/nobody/release')).rejects.toEqual(refusal('NOT_FOUND'));
    await admin.call('POST', '/v1/user-names/carol/release');
    await add();
    expect(await admin.call('GET', '/v1/user-names')).toEqual([]);
  });

  test('is not released while a webhook lets somebody answer under it', async () => {
    const { admin, add } = await scene();
    await add();
    await admin.call('DELETE', '/v1/users/carol');
    const webhook = {
      kind: 'webhook',
      name: 'chat',
      format: 'json',
      url: 'http://127.0.0.1:1/',
      secret: { file: 'key' },
      events: ['request.create'],
    };
    await admin.call('PUT', '/v1/webhooks/chat', { ...webhook, users: { U1: 'carol' } });
    await expect(admin.call('POST', '/v1/user-names/carol/release')).rejects.toEqual(refusal('BAD_REQUEST', 'webhook chat'));
    await admin.call('PUT', '/v1/webhooks/chat', { ...webhook, users: {} });
    await admin.call('POST', '/v1/user-names/carol/release');
  });

  test('brings its next bearer nothing of before: no requests, no certificate, no decision, and no recordings', async () => {
    const { dir, authority, admin, add, unlock } = await scene();
    await add();
    const first = await person(authority, dir, admin, 'carol', ['dev'], cleanup);
    const { id } = (await first.call('POST', '/v1/requests', { roles: ['admin'], reason: 'mine' })) as AccessRequest;
    await admin.call('POST', '/v1/access-decisions', { user: 'carol', role: 'dev', decision: 'keep', reason: 'fine' });
    const viewer = await clientOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
    expect(viewer.current().names_since).toEqual({});
    await admin.call('DELETE', '/v1/users/carol');
    await unlock();
    await admin.call('POST', '/v1/user-names/carol/release');
    // Certificates have a resolution of one second.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const changed = new Promise<Snapshot>((resolve) => {
      const stop = viewer.onChange((snapshot) => {
        if (Object.hasOwn(snapshot.names_since, 'carol')) {
          stop();
          resolve(snapshot);
        }
      });
    });
    await add();
    expect((await changed).names_since).toEqual({ carol: expect.any(Number) });
    await expect(first.call('GET', '/v1/requests')).rejects.toEqual(refusal('ACCESS_DENIED', 'earlier user named carol'));
    const second = await person(authority, dir, admin, 'carol', ['dev'], cleanup);
    expect(await second.call('GET', '/v1/requests')).toEqual([]);
    await expect(second.call('GET', `/v1/requests/${id}`)).rejects.toEqual(refusal('NOT_FOUND'));
    expect(await admin.call('GET', `/v1/requests/${id}`)).toMatchObject({ state: 'cancelled' });
    const holdings = (await admin.call('GET', '/v1/access-review')) as readonly { readonly user: string; readonly decision: unknown }[];
    expect(holdings.find(({ user }) => user === 'carol')).toMatchObject({ decision: null });
  });
});
