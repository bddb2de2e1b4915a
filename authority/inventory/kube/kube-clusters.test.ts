import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { administrator, authorityIn, Cleanup, clientOf, identityOf, person, temporaryFolder } from '../../testing/authority.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { Agent } from 'node:https';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const upstream = { url: 'https://10.0.0.1:6443', credential: { kind: 'token', token: 'the-upstream-secret' } };
const role = (name: string, rules: readonly object[]): string => JSON.stringify({ kind: 'role', name, allow: { kubernetes: rules } });

async function scene() {
  const folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup, { kube: 'gw.example:8443' });
  const admin = await administrator(authority, cleanup);
  const gateway = await clientOf(authority, { kind: 'gateway', name: 'east' }, cleanup);
  return { folder, authority, admin, gateway };
}

test('a cluster reaches every gateway with the watch, its credential only a gateway that asks, and each change has another revision', async () => {
  const { authority, admin, gateway } = await scene();
  const agent = await clientOf(authority, { kind: 'agent', name: 'web-1' }, cleanup);
  const revisionOf = (): number | undefined => gateway.current().kube_clusters[0]?.revision;
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => gateway.onChange(() => resolve()));
  };
  const first = (await admin.call('PUT', '/v1/kube-clusters/prod', { labels: { env: 'prod' }, upstream })) as { revision: number };
  await until(() => revisionOf() === first.revision);
  expect(gateway.current().kube_clusters).toEqual([{ name: 'prod', labels: { env: 'prod' }, revision: first.revision }]);
  expect(JSON.stringify(gateway.current())).not.toContain('secret');
  expect(agent.current().kube_clusters).toEqual([]);
  expect(await gateway.kubeUpstream('prod')).toEqual({ revision: first.revision, upstream });
  await expect(gateway.kubeUpstream('other')).rejects.toMatchObject({ code: 'NOT_FOUND' });

  const moved = { ...upstream, url: 'https://10.0.0.2:6443' };
  await admin.call('PUT', '/v1/kube-clusters/prod', { labels: {}, upstream: moved });
  await until(() => revisionOf()! > first.revision);
  expect(await gateway.kubeUpstream('prod')).toEqual({ revision: revisionOf(), upstream: moved });

  await admin.call('DELETE', '/v1/kube-clusters/prod');
  await until(() => revisionOf() === undefined);
  await expect(gateway.kubeUpstream('prod')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(admin.call('DELETE', '/v1/kube-clusters/prod')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('the credential is in no file of the authority in the clear', async () => {
  const { folder, admin } = await scene();
  await admin.call('PUT', '/v1/kube-clusters/prod', { labels: {}, upstream });
  const files = readdirSync(join(folder, 'authority'), { withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(0);
  for (const { name } of files) expect(readFileSync(join(folder, 'authority', name)).includes('the-upstream-secret'), name).toBe(false);
});

test('no other service is told the credential, and nobody but who administers everything changes clusters', async () => {
  const { folder, authority, admin } = await scene();
  await admin.call('PUT', '/v1/kube-clusters/prod', { labels: {}, upstream });
  for (const kind of ['viewer', 'ingest', 'agent'] as const) {
    const identity = await identityOf(authority, { kind, name: `${kind}-1` }, cleanup);
    const agent = new Agent(identity.tlsClientOptions(['authority']));
    cleanup.add(() => agent.destroy());
    await expect(
      callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'GET', target: '/v1/kube-clusters/prod/upstream' }),
    ).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  }
  await expect(admin.call('GET', '/v1/kube-clusters/prod/upstream')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await admin.call('POST', '/v1/roles', { documents: [{ source: role('dev', [{ groups: ['devs'] }]) }] });
  const dev = await person(authority, folder, admin, 'dev', ['dev'], cleanup);
  for (const [method, body] of [
    ['PUT', { labels: {}, upstream }],
    ['DELETE', undefined],
  ] as const)
    await expect(dev.call(method, '/v1/kube-clusters/prod', body)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});

test('users see the clusters that their roles let them use, and where the gateway is', async () => {
  const { folder, authority, admin } = await scene();
  for (const name of ['prod', 'lab']) await admin.call('PUT', `/v1/kube-clusters/${name}`, { labels: { env: name }, upstream });
  await admin.call('POST', '/v1/roles', { documents: [{ source: role('dev', [{ clusters: { env: 'lab' }, groups: ['devs'] }]) }] });
  const dev = await person(authority, folder, admin, 'dev', ['dev'], cleanup);
  const listed = async (who: typeof dev): Promise<unknown> => {
    const { gateway, clusters } = (await who.call('GET', '/v1/kube-clusters')) as { gateway: string; clusters: { name: string }[] };
    return [gateway, clusters.map(({ name }) => name)];
  };
  expect(await listed(dev)).toEqual(['gw.example:8443', ['lab']]);
  expect(await listed(admin)).toEqual(['gw.example:8443', ['lab', 'prod']]);
});

test.each([
  ['a name that is no label of DNS', 'Prod', upstream],
  ['http', 'prod', { ...upstream, url: 'http://10.0.0.1' }],
  ['an address with credentials', 'prod', { ...upstream, url: 'https://a:b@10.0.0.1' }],
  ['a token with a line break', 'prod', { ...upstream, credential: { kind: 'token', token: 'a\nb' } }],
  ['a credential of another kind', 'prod', { ...upstream, credential: { kind: 'exec', command: 'x' } }],
  ['an unknown field', 'prod', { ...upstream, insecure: true }],
])('%s is refused', async (_what, name, value) => {
  const { admin } = await scene();
  await expect(admin.call('PUT', `/v1/kube-clusters/${name}`, { labels: {}, upstream: value })).rejects.toMatchObject({
    code: 'BAD_REQUEST',
  });
});
