import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SignedStatement, TrustedCluster } from '#schemas/documents/cluster.js';
import { CLUSTER_NAMESPACE } from '#schemas/documents/cluster.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { signMessage } from '#runtime/ssh/sshsig.js';
import type { RunningAuthority } from '../../app.js';
import { administrator, authorityIn, Cleanup, clientOf, temporaryFolder } from '../../testing/authority.js';
import type { Administrator } from '../../testing/authority.js';

const cleanup = new Cleanup();
let authority: RunningAuthority;
let admin: Administrator;
beforeEach(async () => {
  authority = await authorityIn(temporaryFolder(cleanup), cleanup, { cluster: 'here' });
  admin = await administrator(authority, cleanup);
});
afterEach(() => cleanup.run());

const line = (key: SshPrivateKey): string => formatPublicLine(key.publicBlob);
/** The other cluster: keys that are its own, and statements that it signs. */
function other(
  keys: readonly SshPrivateKey[] = [generateKey()],
  more: Readonly<Record<string, unknown>> = {},
  signers = keys,
): SignedStatement {
  const statement = JSON.stringify({
    version: 1,
    name: 'b',
    issued_at: 1000,
    ssh_user_ca: keys.map(line),
    ssh_host_ca: keys.map(line),
    gateways: ['127.0.0.1:1'],
    updates: null,
    ...more,
  });
  return { statement, signatures: signers.map((key) => signMessage(key, Buffer.from(statement), { namespace: CLUSTER_NAMESPACE })) };
}
const trust = (signed: SignedStatement, role_map = {}, name = 'b'): Promise<unknown> =>
  admin.call('PUT', `/v1/clusters/${name}`, { signed, role_map, reach: true });
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: { code: string }) => error.code,
  );

describe('trust in another cluster', () => {
  test('is told to every stage, and its end too', async () => {
    const gateway = await clientOf(authority, { kind: 'gateway', name: 'gw' }, cleanup);
    await trust(other(), { dev: ['admin'] });
    expect(gateway.current()).toMatchObject({ cluster: 'here', clusters: [{ name: 'b', role_map: { dev: ['admin'] }, reach: true }] });
    const gone = new Promise<void>((resolve) =>
      gateway.onChange(({ clusters }) => {
        if (clusters.length === 0) resolve();
      }),
    );
    await admin.call('DELETE', '/v1/clusters/b');
    await gone;
    expect(await code(admin.call('DELETE', '/v1/clusters/b'))).toBe('NOT_FOUND');
  });

  test.each([
    ['not signed by a key it names', 'CLUSTER_UNTRUSTED', () => other([generateKey()], {}, [generateKey()])],
    [
      'signed for another purpose',
      'CLUSTER_UNTRUSTED',
      () => {
        const key = generateKey();
        const { statement } = other([key]);
        return { statement, signatures: [signMessage(key, Buffer.from(statement), { namespace: 'steno-request' })] };
      },
    ],
    [
      'changed after it was signed',
      'CLUSTER_UNTRUSTED',
      () => {
        const signed = other();
        return { ...signed, statement: signed.statement.replace('127.0.0.1:1', '127.0.0.1:2') };
      },
    ],
    ['of another name', 'BAD_REQUEST', () => other(undefined, { name: 'c' })],
    ['no statement', 'BAD_REQUEST', () => ({ statement: '{}', signatures: ['x'] })],
  ])('is not given to a statement that is %s', async (_why, expected, signed) => {
    expect(await code(trust(signed()))).toBe(expected);
    expect(await admin.call('GET', '/v1/clusters')).toEqual([]);
  });

  test('is not given to ourselves, nor twice to one key, nor to roles that do not exist', async () => {
    const own = (await admin.call('POST', '/v1/cluster-statement', { gateways: ['127.0.0.1:1'], updates: null })) as SignedStatement;
    expect(await code(trust(own, {}, 'here'))).toBe('BAD_REQUEST');
    const key = generateKey();
    await trust(other([key]));
    expect(await code(trust(other([key], { name: 'c' }), {}, 'c'))).toBe('BAD_REQUEST');
    expect(await code(trust(other([key]), { dev: ['nobody-knows'] }))).toBe('BAD_REQUEST');
  });
});

describe('new keys of a trusted cluster', () => {
  const [first, second] = [generateKey(), generateKey()];
  let answer: () => string;
  let server: Server;
  let updates: string;
  beforeEach(async () => {
    server = createServer((_request, response) => response.end(answer())).listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.add(() => void server.close());
    updates = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cluster`;
    await trust(other([first], { updates }), { dev: ['admin'] });
  });
  const refresh = (): Promise<{ cluster: TrustedCluster; changed: boolean }> => admin.call('POST', '/v1/clusters/b/refresh') as never;

  test('are taken when a known key signs them, with what we decided left as it is; then the old key may go', async () => {
    answer = () => JSON.stringify(other([first, second], { updates, issued_at: 2000 }, [first]));
    expect(await refresh()).toMatchObject({
      changed: true,
      cluster: { ssh_user_ca: [line(first), line(second)], role_map: { dev: ['admin'] } },
    });
    answer = () => JSON.stringify(other([second], { updates, issued_at: 3000 }));
    expect(await refresh()).toMatchObject({ changed: true, cluster: { ssh_user_ca: [line(second)] } });
    expect(await refresh()).toMatchObject({ changed: false });
  });

  test.each([
    ['signed by a new key only', 'CLUSTER_UNTRUSTED', () => JSON.stringify(other([second], { updates, issued_at: 2000 }))],
    ['older than what is known', 'CLUSTER_STALE', () => JSON.stringify(other([first, second], { updates, issued_at: 999 }, [first]))],
    ['of another cluster', 'CLUSTER_UNTRUSTED', () => JSON.stringify(other([first], { name: 'c', issued_at: 2000 }))],
    ['no JSON', 'BAD_REQUEST', () => '<html>'],
    ['too long', 'NOT_RUNNING', () => 'x'.repeat(300_000)],
  ])('are refused when the statement is %s', async (_why, expected, text) => {
    answer = text;
    expect(await code(refresh())).toBe(expected);
    expect(await admin.call('GET', '/v1/clusters')).toMatchObject([{ ssh_user_ca: [line(first)] }]);
  });

  test('leave what is known when nothing answers', async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await code(refresh())).toBe('NOT_RUNNING');
    expect(await admin.call('GET', '/v1/clusters')).toHaveLength(1);
  });
});

test('our own statement counts for another cluster, and is given to viewers', async () => {
  const viewer = await clientOf(authority, { kind: 'viewer', name: 'v' }, cleanup);
  expect(await code(viewer.clusterStatement())).toBe('NOT_FOUND');
  await admin.call('POST', '/v1/cluster-statement', { gateways: ['127.0.0.1:8022'], updates: null });
  const there = await authorityIn(temporaryFolder(cleanup), cleanup, { cluster: 'there' });
  const other_ = await administrator(there, cleanup);
  const signed = await viewer.clusterStatement();
  expect(await other_.call('PUT', '/v1/clusters/here', { signed, role_map: { admin: ['admin'] }, reach: false })).toMatchObject({
    name: 'here',
    gateways: ['127.0.0.1:8022'],
  });
});
