/** Attacks on a running authority by signed requests, each of which once succeeded. */
import { afterEach, describe, expect, test } from 'vitest';
import type { AccessRequest, RequestView } from '#schemas/documents/access-request.js';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { UserInfo } from '#schemas/api/people/users.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { Cleanup, administrator, authorityIn, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator, Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string, detail = ''): unknown => expect.objectContaining({ code, detail: expect.stringContaining(detail) });

const documents: readonly object[] = [
  { name: 'desk', allow: { nodes: { env: 'dev' }, logins: ['www'], rules: [{ resources: ['user', 'bot', 'lock'], verbs: ['*'] }] } },
  { name: 'team', allow: { node_expression: 'labels.team in user.traits.team', logins: ['www'] } },
  { name: 'named', allow: { nodes: { env: 'dev' }, logins: ['{user}'] } },
  { name: 'own', allow: { nodes: { env: 'dev' }, logins: ['{traits.logins}'] } },
  {
    name: 'editor',
    allow: { nodes: { env: 'dev' }, logins: ['www'], rules: [{ resources: ['role'], verbs: ['*'] }], request: [{ roles: ['guest'] }] },
  },
  { name: 'guest', allow: { nodes: { env: 'dev' }, logins: ['www'] } },
  {
    name: 'lead',
    allow: { approve: [{ roles: ['guest', 'dba'] }], rules: [{ resources: ['user', 'bot'], verbs: ['*'] }], request: [{ roles: ['dba'] }] },
  },
  { name: 'dba', allow: { nodes: { env: 'prod' }, logins: ['postgres'] } },
  { name: 'operator', allow: { nodes: { env: 'dev' }, logins: ['root', 'www'], rules: [{ resources: ['node', 'token'], verbs: ['*'] }] } },
  {
    name: 'updater',
    allow: { nodes: { env: '*' }, logins: ['root', 'www', 'postgres'], rules: [{ resources: ['node'], verbs: ['create', 'update'] }] },
  },
  {
    name: 'owner',
    allow: { nodes: { '*': '*' }, logins: ['root', '*'], rules: [{ resources: ['node'], verbs: ['create', 'update', 'label'] }] },
  },
  { name: 'oncall', allow: { request: [{ nodes: { env: '*' }, logins: ['www'] }] } },
  { name: 'chief', allow: { approve: [{ nodes: { '*': '*' } }] } },
  { name: 'reader', allow: { rules: [{ resources: ['cluster'], verbs: ['list', 'read'] }] } },
];

interface Scene {
  readonly admin: Administrator;
  /** A user with these roles and traits, signed in. */
  readonly as: (name: string, roles: readonly string[], traits?: Readonly<Record<string, readonly string[]>>) => Promise<Signer>;
  /** A certificate of an existing user: the holder of an invitation controls the account. */
  readonly sign: (name: string, roles: readonly string[]) => Promise<Signer>;
}

async function scene(): Promise<Scene> {
  const dir = temporaryFolder(cleanup);
  const authority = await authorityIn(dir, cleanup);
  const admin = await administrator(authority, cleanup);
  for (const document of documents)
    await admin.call('PUT', `/v1/roles/${(document as { name: string }).name}`, { kind: 'role', ...document });
  for (const [name, env] of [
    ['web', 'dev'],
    ['db', 'prod'],
  ] as const)
    await admin.call('PUT', `/v1/nodes/${name}`, node(name, { env }));
  return {
    admin,
    sign: (name, roles) => person(authority, dir, admin, name, roles, cleanup),
    as: async (name, roles, traits = {}) => {
      await admin.call('POST', '/v1/users', { name, roles, traits });
      return person(authority, dir, admin, name, roles, cleanup, { traits });
    },
  };
}

const node = (name: string, labels: Readonly<Record<string, string>>, address = `${name}.internal:22`): object => ({
  name,
  kind: 'openssh',
  address,
  labels,
  host_keys: [],
});
const ask = (who: Signer, role: string): Promise<AccessRequest> =>
  who.call('POST', '/v1/requests', { roles: [role], reason: 'INC-7' }) as Promise<AccessRequest>;
const approve = (who: Signer, { id }: Pick<AccessRequest, 'id'>): Promise<RequestView> =>
  who.call('POST', `/v1/requests/${id}/review`, { decision: 'approve' }) as Promise<RequestView>;
const use = (who: Signer, { id }: Pick<AccessRequest, 'id'>): Promise<unknown> =>
  who.call('POST', '/v1/request-certificate', { public_key: formatPublicLine(generateKey().publicBlob), requests: [id] });

describe('accounts', () => {
  test('a bot, or a user, gets no trait that who makes them lacks', async () => {
    const { as } = await scene();
    const ann = await as('ann', ['desk', 'team'], { team: ['shop'] });
    for (const path of ['/v1/bots', '/v1/users']) {
      await expect(ann.call('POST', path, { name: 'robot', roles: ['desk', 'team'], traits: { team: ['payments'] } })).rejects.toEqual(
        refusal('POWER_LACKING', 'trait team = payments'),
      );
    }
    await expect(
      ann.call('POST', '/v1/bots', { name: 'robot', roles: ['desk', 'team'], traits: { team: ['shop'] } }),
    ).resolves.toMatchObject({ bot: 'robot' });
  });

  test('a name gives no login', async () => {
    const { as } = await scene();
    const ann = await as('ann', ['desk', 'named']);
    for (const path of ['/v1/bots', '/v1/users'])
      await expect(ann.call('POST', path, { name: 'postgres', roles: ['desk', 'named'] })).rejects.toEqual(
        refusal('POWER_LACKING', 'login postgres by role named'),
      );
    await expect(ann.call('POST', '/v1/users', { name: 'postgres', roles: ['desk'] })).resolves.toMatchObject({ user: 'postgres' });
  });

  test('whoever has the same roles and other traits is not reset, changed or closed', async () => {
    const { as } = await scene();
    const ann = await as('ann', ['desk', 'own'], { logins: ['ops'] });
    await as('rich', ['own', 'desk'], { logins: ['mysql'] });
    for (const [method, path, body] of [
      ['POST', '/reset', undefined],
      ['PUT', '', { traits: { logins: ['ops'] } }],
      ['POST', '/disable', {}],
      ['DELETE', '', undefined],
    ] as const) {
      await expect(ann.call(method, `/v1/users/rich${path}`, body)).rejects.toEqual(refusal('POWER_LACKING', 'trait logins = mysql'));
    }
  });

  test('a reset ends what was granted to the account', async () => {
    const { admin, as } = await scene();
    const [ann, ed, lena] = [await as('ann', ['desk', 'editor']), await as('ed', ['editor', 'desk']), await as('lena', ['lead'])];
    const request = await ask(ed, 'guest');
    await approve(lena, request);
    await use(ed, request);
    await ann.call('POST', '/v1/users/ed/reset');
    await expect(use(ed, request)).rejects.toEqual(refusal('REQUEST_OVER', 'is cancelled'));
    expect(((await admin.call('GET', '/v1/users/ed')) as UserInfo).handlers).toEqual(['ann']);
    await admin.call('POST', '/v1/users/ed/reset');
    expect(((await admin.call('GET', '/v1/users/ed')) as UserInfo).handlers).toEqual([]);
  });

  test('who could be behind two accounts does not approve for one as the other, in whatever order', async () => {
    const { admin, as, sign } = await scene();
    const [lena, other] = [await as('lena', ['lead']), await as('other', ['lead'])];
    for (const name of ['second', 'third']) await lena.call('POST', '/v1/users', { name, roles: ['lead'] });
    const [second, third] = [await sign('second', ['lead']), await sign('third', ['lead'])];
    const request = await ask(second, 'dba');
    for (const reviewer of [lena, third])
      await expect(approve(reviewer, request)).rejects.toEqual(refusal('SELF_REVIEW', 'could control both'));
    await expect(approve(other, request)).resolves.toMatchObject({ state: 'approved' });
    await use(second, request);
    const hers = await ask(lena, 'dba');
    await expect(approve(second, hers)).rejects.toEqual(refusal('SELF_REVIEW'));
    // Once a user who administers everything resets an account, nobody else controls it any more.
    await admin.call('POST', '/v1/users/third/reset');
    await expect(approve(third, hers)).resolves.toMatchObject({ state: 'approved' });
  });

  test('who has other roles than their certificate says hands out nothing', async () => {
    const { admin, as } = await scene();
    const ann = await as('ann', ['desk', 'team'], { team: ['shop'] });
    await admin.call('PUT', '/v1/users/ann', { roles: ['desk'] });
    await expect(ann.call('POST', '/v1/bots', { name: 'robot', roles: ['desk', 'team'], traits: { team: ['shop'] } })).rejects.toEqual(
      refusal('LOGIN_TOO_OLD', 'have changed'),
    );
  });

  test('a lock is not exchanged for another, nor lifted from an account that one made', async () => {
    const { admin, as } = await scene();
    const ann = await as('ann', ['desk']);
    await ann.call('POST', '/v1/bots', { name: 'robot', roles: ['desk'] });
    const lock = { id: 'stop', target_kind: 'user', target: 'robot', reason: 'stolen', expires_at: null };
    await admin.call('PUT', '/v1/locks/stop', lock);
    await expect(ann.call('DELETE', '/v1/locks/stop')).rejects.toEqual(refusal('POWER_LACKING', 'user robot'));
    await expect(ann.call('PUT', '/v1/locks/stop', { ...lock, target: 'nobody' })).rejects.toEqual(refusal('POWER_LACKING', 'user robot'));
    await admin.call('PUT', '/v1/roles/locker', {
      kind: 'role',
      name: 'locker',
      allow: { rules: [{ resources: ['lock'], verbs: ['create'] }] },
    });
    const lou = await as('lou', ['locker']);
    await expect(lou.call('PUT', '/v1/locks/stop', { ...lock, target: 'nobody' })).rejects.toEqual(refusal('ACCESS_DENIED', 'update lock'));
    expect(((await admin.call('GET', '/v1/locks')) as LockRecord[]).find(({ id }) => id === 'stop')?.target).toBe('robot');
  });
});

describe('roles that are granted', () => {
  test('are those that were approved: an editor gains nothing by rewriting them before, between or after', async () => {
    const { admin, as } = await scene();
    const [ed, lena] = [await as('ed', ['editor']), await as('lena', ['lead'])];
    const request = await ask(ed, 'guest');
    const rich = { kind: 'role', name: 'guest', allow: { nodes: { '*': '*' }, logins: ['root'] } };
    await expect(ed.call('PUT', '/v1/roles/guest', rich)).rejects.toEqual(refusal('POWER_LACKING', 'login root'));
    // After a permitted change, the pending request is about a different role.
    await admin.call('PUT', '/v1/roles/guest', rich);
    await expect(approve(lena, request)).rejects.toEqual(refusal('REQUEST_STALE', 'role guest'));
    expect(await ed.call('GET', `/v1/requests/${request.id}`)).toMatchObject({ changed: ['guest'], revisions: { guest: 1 } });
    const again = await ask(ed, 'guest');
    await approve(lena, again);
    await use(ed, again);
    // A narrowed role stays valid; a widened one does not, and is valid again when restored.
    await admin.call('PUT', '/v1/roles/guest', { ...rich, allow: { nodes: { env: 'dev' }, logins: ['root'] } });
    await use(ed, again);
    await admin.call('PUT', '/v1/roles/guest', { ...rich, allow: { nodes: { '*': '*' }, logins: ['root', 'ops'] } });
    await expect(use(ed, again)).rejects.toEqual(refusal('REQUEST_STALE', 'role guest'));
    await admin.call('PUT', '/v1/roles/guest', rich);
    await use(ed, again);
  });

  test('cannot be removed and written anew', async () => {
    const { as } = await scene();
    const [ed, lena] = [await as('ed', ['editor']), await as('lena', ['lead'])];
    const request = await ask(ed, 'guest');
    await ed.call('DELETE', '/v1/roles/guest');
    await ed.call('PUT', '/v1/roles/guest', {
      kind: 'role',
      name: 'guest',
      allow: { nodes: { env: 'dev' }, logins: ['www'] },
      description: 'the same',
    });
    await approve(lena, request);
    await ed.call('DELETE', '/v1/roles/guest');
    await expect(use(ed, request)).rejects.toMatchObject({ code: expect.stringMatching(/NOT_FOUND|ACCESS_DENIED/) });
  });
});

describe('nodes', () => {
  test('prod is not called dev by who has dev, nor moved, nor given a second name', async () => {
    const { as } = await scene();
    const op = await as('op', ['operator']);
    await expect(op.call('PUT', '/v1/nodes/db', node('db', { env: 'dev' }))).rejects.toEqual(
      refusal('POWER_LACKING', 'login www on db (role desk)'),
    );
    await expect(op.call('PUT', '/v1/nodes/web', node('web', { env: 'dev' }, 'db.internal:22'))).rejects.toEqual(
      refusal('POWER_LACKING', 'node web'),
    );
    await expect(op.call('PUT', '/v1/nodes/alias', node('alias', { env: 'dev' }, 'db.internal:22'))).rejects.toEqual(
      refusal('POWER_LACKING', 'node alias'),
    );
    await expect(op.call('PUT', '/v1/nodes/web', node('web', { env: 'dev', rack: '7' }))).resolves.toMatchObject({
      labels: { env: 'dev', rack: '7' },
    });
  });

  test('labels take the verb, and creating by PUT the verb to create', async () => {
    const { admin, as } = await scene();
    const up = await as('up', ['updater']);
    await expect(up.call('PUT', '/v1/nodes/db', node('db', { env: 'dev' }))).rejects.toEqual(refusal('ACCESS_DENIED', 'label node'));
    await expect(up.call('PUT', '/v1/nodes/db', node('db', { env: 'prod' }))).resolves.toMatchObject({ name: 'db' });
    const own = await as('own', ['owner']);
    await expect(own.call('PUT', '/v1/nodes/db', node('db', { env: 'dev' }))).resolves.toMatchObject({ labels: { env: 'dev' } });
    await admin.call('PUT', '/v1/roles/mover', {
      kind: 'role',
      name: 'mover',
      allow: { nodes: { '*': '*' }, logins: ['root', '*'], rules: [{ resources: ['node'], verbs: ['update', 'label'] }] },
    });
    const mo = await as('mo', ['mover']);
    await expect(mo.call('PUT', '/v1/nodes/new', node('new', {}))).rejects.toEqual(refusal('ACCESS_DENIED', 'create node'));
  });

  test.each(['steno/kubernetes', 'steno/kubernetes-node'])('the label %s is given by administrators of everything alone', async (label) => {
    const { admin, as } = await scene();
    const own = await as('own', ['owner']);
    const labelled = node('web', { env: 'dev', [label]: 'east' });
    await expect(own.call('PUT', '/v1/nodes/web', labelled)).rejects.toEqual(refusal('POWER_LACKING', `the label ${label}, which`));
    await admin.call('PUT', '/v1/nodes/web', labelled);
    // Nor is it removed.
    await expect(own.call('PUT', '/v1/nodes/web', node('web', { env: 'dev' }))).rejects.toEqual(refusal('POWER_LACKING'));
  });

  test('what was granted for a node, or asked for, ends when its name comes to mean another machine, or nothing', async () => {
    const { admin, as } = await scene();
    const [own, bob, chief] = [await as('own', ['owner']), await as('bob', ['oncall']), await as('chief', ['chief'])];
    const askFor = (name: string): Promise<AccessRequest> =>
      bob.call('POST', '/v1/requests', { nodes: [name], reason: 'INC-7' }) as Promise<AccessRequest>;
    const [granted, open, other] = [await askFor('web'), await askFor('web'), await askFor('db')];
    for (const request of [granted, other]) await approve(chief, request);
    await use(bob, granted);
    await own.call('PUT', '/v1/nodes/web', node('web', { env: 'dev' }, 'db.internal:22'));
    await expect(use(bob, granted)).rejects.toEqual(refusal('REQUEST_OVER', 'is cancelled'));
    await expect(approve(chief, open)).rejects.toEqual(refusal('REQUEST_DECIDED'));
    await use(bob, other);
    await admin.call('DELETE', '/v1/nodes/db');
    await expect(use(bob, other)).rejects.toEqual(refusal('REQUEST_OVER', 'is cancelled'));
  });

  test('a token gives machines no label that opens more than its maker reaches there', async () => {
    const { as } = await scene();
    const op = await as('op', ['operator']);
    const token = (labels: Readonly<Record<string, string>>, patterns: readonly string[] = []): Promise<unknown> =>
      op.call('POST', '/v1/tokens', { ttl_ms: 60_000, uses: 1, labels, node_labels: patterns });
    await expect(token({ env: 'prod' })).rejects.toEqual(refusal('POWER_LACKING', 'login postgres'));
    await expect(token({}, ['env'])).rejects.toEqual(refusal('POWER_LACKING', 'label env'));
    await expect(token({ env: 'prod', frozen: 'no' })).rejects.toEqual(refusal('POWER_LACKING'));
    await expect(token({ rack: '7' }, ['node/*'])).resolves.toMatchObject({ labels: { rack: '7' } });
  });
});

test('who may read clusters rewrites nothing that is told of ours', async () => {
  const { admin, as } = await scene();
  const rea = await as('rea', ['reader']);
  await expect(rea.call('POST', '/v1/cluster-statement', { gateways: ['evil.example:22'], updates: null })).rejects.toEqual(
    refusal('ACCESS_DENIED'),
  );
  await expect(admin.call('POST', '/v1/cluster-statement', { gateways: ['gw.example:22'], updates: null })).resolves.toMatchObject({
    signatures: [expect.any(String)],
  });
});
