import { afterEach, expect, test } from 'vitest';
import type { AccessDecision, AccessHolding } from '#schemas/api/access/access-reviews.js';
import { Cleanup, administrator, authorityIn, person, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string) => expect.objectContaining({ code });

test('says who holds what since when, what it reaches by which rules, and what was decided last', async () => {
  const dataDir = temporaryFolder(cleanup);
  let now = Date.now();
  const authority = await authorityIn(dataDir, cleanup, {}, () => now);
  const admin = await administrator(authority, cleanup);
  const node = (name: string, env: string) =>
    admin.call('PUT', `/v1/nodes/${name}`, { name, kind: 'openssh', address: '127.0.0.1:22', labels: { env }, host_keys: [] });
  await node('web-1', 'prod');
  await node('lab', 'dev');
  await admin.call('PUT', '/v1/roles/ops', {
    kind: 'role',
    name: 'ops',
    allow: { nodes: { env: 'prod' }, logins: ['deploy', '{user}'] },
    view: 'none',
  });
  await admin.call('PUT', '/v1/roles/audit', {
    kind: 'role',
    name: 'audit',
    view: 'all',
    allow: { rules: [{ resources: ['access'], verbs: ['*'] }] },
  });
  await admin.call('POST', '/v1/users', { name: 'ann', roles: ['ops'] });
  const began = now;
  now += 5_000;
  await admin.call('PUT', '/v1/users/ann', { roles: ['ops', 'audit'] });
  const auditor = await person(authority, dataDir, admin, 'ann', ['ops', 'audit'], cleanup);
  const of = async (user: string): Promise<readonly AccessHolding[]> =>
    ((await auditor.call('GET', '/v1/access-review')) as AccessHolding[]).filter((holding) => holding.user === user);
  expect(await of('ann')).toEqual([
    {
      user: 'ann',
      kind: 'local',
      disabled: false,
      role: 'ops',
      because: ['allow.nodes', 'allow.logins'],
      reach: [{ node: 'web-1', logins: ['ann', 'deploy'] }],
      since: began,
      decision: null,
    },
    {
      user: 'ann',
      kind: 'local',
      disabled: false,
      role: 'audit',
      because: ['allow.rules', 'view: all'],
      reach: [],
      since: began + 5_000,
      decision: null,
    },
  ]);

  await admin.call('POST', '/v1/access-decisions', { user: 'ann', role: 'ops', decision: 'keep', reason: 'on call' });
  now += 1_000;
  const last = (await admin.call('POST', '/v1/access-decisions', {
    user: 'ann',
    role: 'ops',
    decision: 'remove',
    reason: 'moved team',
  })) as AccessDecision;
  expect(last).toEqual({ user: 'ann', role: 'ops', decision: 'remove', reason: 'moved team', reviewer: admin.login.user, at: now });
  expect((await of('ann'))[0]!.decision).toEqual(last);
  expect(((await auditor.call('GET', '/v1/access-decisions')) as AccessDecision[]).map(({ decision }) => decision)).toEqual([
    'remove',
    'keep',
  ]);

  await expect(auditor.call('POST', '/v1/access-decisions', { user: 'ann', role: 'ops', decision: 'keep', reason: 'me' })).rejects.toEqual(
    refusal('ACCESS_DENIED'),
  );
  await expect(admin.call('POST', '/v1/access-decisions', { user: 'ann', role: 'admin', decision: 'keep', reason: 'x' })).rejects.toEqual(
    refusal('NOT_FOUND'),
  );
  await expect(admin.call('POST', '/v1/access-decisions', { user: 'nobody', role: 'ops', decision: 'keep', reason: 'x' })).rejects.toEqual(
    refusal('NOT_FOUND'),
  );
  await expect(admin.call('POST', '/v1/access-decisions', { user: 'ann', role: 'ops', decision: 'keep', reason: ' ' })).rejects.toEqual(
    refusal('BAD_REQUEST'),
  );
  await admin.call('POST', '/v1/users', { name: 'bob', roles: ['ops'] });
  const bob = await person(authority, dataDir, admin, 'bob', ['ops'], cleanup);
  for (const path of ['/v1/access-review', '/v1/access-decisions'])
    await expect(bob.call('GET', path)).rejects.toEqual(refusal('ACCESS_DENIED'));
});
