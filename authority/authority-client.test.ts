import { afterEach, describe, expect, test } from 'vitest';
import { connectAuthority } from '#runtime/service/authority-client.js';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import { administrator, authorityIn, Cleanup, clientOf, identityOf, silent, temporaryFolder } from './testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const node = { name: 'web-1', kind: 'openssh', address: 'h:22', labels: {}, host_keys: [] };
const changed = (client: AuthorityClient): Promise<void> =>
  new Promise((resolve) => {
    client.onChange(() => resolve());
  });

describe('a client', () => {
  test('keeps the last snapshot while the authority is away, and goes on when it is back', async () => {
    const dir = temporaryFolder(cleanup);
    const first = await authorityIn(dir, cleanup);
    const gateway = await clientOf(first, { kind: 'gateway', name: 'gw-1' }, cleanup);
    await (await administrator(first, cleanup)).call('PUT', '/v1/nodes/web-1', node);
    const listen = first.addresses.tls.replace('https://', '');
    await first.close();
    expect(gateway.current().ssh_user_ca).toHaveLength(1);
    await expect(gateway.hostCertificate({ public_key: 'x', name: 'gw-1' })).rejects.toEqual(refusal('NOT_RUNNING'));
    const back = changed(gateway);
    const second = await authorityIn(dir, cleanup, { listen });
    await back;
    expect(gateway.current().nodes.map(({ name }) => name)).toEqual(['web-1']);
    const removed = changed(gateway);
    await (await administrator(second, cleanup)).call('DELETE', '/v1/nodes/web-1');
    await removed;
    expect(gateway.current().nodes).toEqual([]);
  });

  test('has no snapshot before the first, and says so', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const identity = await identityOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
    await authority.close();
    const client = connectAuthority({ url: authority.addresses.tls, identity }, { log: silent });
    expect(() => client.current()).toThrow(expect.objectContaining({ code: 'NOT_RUNNING' }));
    const ready = client.ready();
    client.close();
    await expect(ready).rejects.toEqual(refusal('NOT_RUNNING'));
  });

  test('sees a lock end by itself', async () => {
    const authority = await authorityIn(temporaryFolder(cleanup), cleanup);
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw-1' }, cleanup);
    const admin = await administrator(authority, cleanup);
    const counts: number[] = [];
    const over = new Promise<void>((resolve) => {
      gateway.onChange(({ locks }) => {
        counts.push(locks.length);
        if (counts.includes(1) && locks.length === 0) resolve();
      });
    });
    await admin.call('PUT', '/v1/locks/short', {
      id: 'short',
      target_kind: 'login',
      target: 'x',
      reason: '',
      expires_at: Date.now() + 1_500,
    });
    await over;
  });
});
