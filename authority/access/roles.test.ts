import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AccessExplanation, RoleDocument } from '#schemas/api/access/roles.js';
import { roleSchema } from '#schemas/policy/role.js';
import { parseResource } from '#runtime/resources/document.js';
import type { RunningAuthority } from '../app.js';
import { Cleanup, administrator, authorityIn, person, temporaryFolder } from '../testing/authority.js';
import type { Administrator } from '../testing/authority.js';
import { sourceOf } from './roles.js';
import type { AppliedRole } from '#schemas/api/access/roles.js';

const cleanup = new Cleanup();
let dir: string;
let running: RunningAuthority;
let admin: Administrator;
beforeEach(async () => {
  dir = temporaryFolder(cleanup);
  running = await authorityIn(dir, cleanup);
  admin = await administrator(running, cleanup);
});
afterEach(() => cleanup.run());

const text = (name: string, more = ''): string => `kind: role\nname: ${name}\nallow:\n  nodes: {env: dev}\n  logins: [www]\n${more}`;
type Document = { readonly source: string; readonly revision?: number | null };
const apply = async (documents: readonly Document[], check = false): Promise<readonly AppliedRole[]> =>
  ((await admin.call('POST', '/v1/roles', { documents, check })) as { applied: readonly AppliedRole[] }).applied;
const get = async (name: string): Promise<RoleDocument> => (await admin.call('GET', `/v1/roles/${name}`)) as RoleDocument;
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: { code?: string }) => error.code ?? String(error),
  );

describe('applying', () => {
  test('keeps the text, counts revisions, and leaves what is the same', async () => {
    const source = `# who may touch web servers\n${text('web')}`;
    expect(await apply([{ source }])).toEqual([{ name: 'web', outcome: 'created', from: null, to: 1 }]);
    expect(await apply([{ source }])).toEqual([{ name: 'web', outcome: 'unchanged', from: 1, to: 1 }]);
    expect(await apply([{ source: text('web', 'view: none\n') }])).toEqual([{ name: 'web', outcome: 'updated', from: 1, to: 2 }]);
    expect(await get('web')).toMatchObject({
      revision: 2,
      source: text('web', 'view: none\n'),
      updated_by: admin.login.user,
      role: { view: 'none' },
    });
  });

  test('is for all documents or none', async () => {
    expect(await code(apply([{ source: text('a') }, { source: text('b', 'viw: none\n') }]))).toBe('DOCUMENT_INVALID');
    expect(await code(apply([{ source: text('a') }, { source: text('a') }]))).toBe('DOCUMENT_INVALID');
    expect(await code(get('a'))).toBe('NOT_FOUND');
  });

  test('as a check says what would happen and changes nothing', async () => {
    expect(await apply([{ source: text('a') }], true)).toEqual([{ name: 'a', outcome: 'created', from: null, to: 1 }]);
    expect(await code(get('a'))).toBe('NOT_FOUND');
  });

  test('what was made from another revision is refused', async () => {
    await apply([{ source: text('a'), revision: null }]);
    expect(await code(apply([{ source: text('a', 'view: none\n'), revision: null }]))).toBe('REVISION_CONFLICT');
    await apply([{ source: text('a', 'view: none\n'), revision: 1 }]);
    expect(await code(apply([{ source: text('a', 'view: all\n'), revision: 1 }]))).toBe('REVISION_CONFLICT');
    expect((await get('a')).revision).toBe(2);
  });

  test('of two at the same time from the same revision, one is refused', async () => {
    await apply([{ source: text('a') }]);
    const both = await Promise.all(['all', 'none'].map((view) => code(apply([{ source: text('a', `view: ${view}\n`), revision: 1 }]))));
    expect(both.sort()).toEqual(['REVISION_CONFLICT', 'done']);
  });

  test('never leaves Steno without somebody who administers everything', async () => {
    for (const more of ['administer: false\n', 'administer: true\ndeny:\n  rules: [{resources: [ca], verbs: [update]}]\n']) {
      expect(await code(apply([{ source: `kind: role\nname: admin\nallow: {nodes: {'*': '*'}, logins: [root]}\n${more}` }]))).toBe(
        'NOBODY_ADMINISTERS',
      );
    }
    expect((await get('admin')).role.administer).toBe(true);
  });
});

describe('removing', () => {
  test('refuses while users hold the role, and takes it away otherwise', async () => {
    expect(await code(admin.call('DELETE', '/v1/roles/admin'))).toBe('ROLE_HELD');
    await apply([{ source: text('a') }]);
    await admin.call('DELETE', '/v1/roles/a');
    expect(await code(get('a'))).toBe('NOT_FOUND');
    expect(await code(admin.call('DELETE', '/v1/roles/a'))).toBe('NOT_FOUND');
  });
});

test('a change is told with its revisions and its text, a refusal with the name', async () => {
  await apply([{ source: text('a') }]);
  await apply([{ source: text('a', 'view: none\n') }]);
  await admin.call('DELETE', '/v1/roles/a');
  await code(apply([{ source: text('b', 'view: everything\n') }]));
  const { default: Database } = await import('better-sqlite3');
  const rows = new Database(`${dir}/authority/state.sqlite`, { readonly: true })
    .prepare("select row from audit_outbox where row like '%\"role.%' order by created_at, rowid")
    .all() as { row: string }[];
  const told = rows.map(({ row }) => JSON.parse(row) as { event: string; actor: string; target: string; code: string; data: string });
  expect(told.at(-1)).toMatchObject({
    event: 'role.put',
    outcome: 'failure',
    target: 'b',
    code: 'DOCUMENT_INVALID',
    reason: expect.stringContaining('view is invalid'),
  });
  expect(told.slice(0, -1).map(({ event, actor, data }) => [event, actor, JSON.parse(data)])).toEqual([
    ['role.put', admin.login.user, { from: null, to: 1, source: text('a') }],
    ['role.put', admin.login.user, { from: 1, to: 2, source: text('a', 'view: none\n') }],
    ['role.delete', admin.login.user, { from: 2, to: null, source: text('a', 'view: none\n') }],
  ]);
});

describe('a decision is explained', () => {
  const check = async (login: string, node = 'web-1'): Promise<AccessExplanation> =>
    (await admin.call('POST', '/v1/access/check', { user: admin.login.user, node, login })) as AccessExplanation;
  beforeEach(async () => {
    await admin.call('PUT', '/v1/nodes/web-1', {
      name: 'web-1',
      kind: 'openssh',
      address: '127.0.0.1:22',
      labels: { env: 'dev' },
      host_keys: [],
    });
  });

  test('by the rule and the line of the text that `get` shows', async () => {
    const { source } = await get('admin');
    const explained = await check('www');
    expect(explained).toMatchObject({
      allowed: true,
      because: [
        { role: 'admin', rule: 'allow.nodes' },
        { role: 'admin', rule: 'allow.logins[0]' },
      ],
      terms: { recording: { mode: 'strict' }, max_session_length: null },
    });
    for (const { line, text: shown } of explained.because) expect(source.split('\n')[line! - 1]!.trim()).toBe(shown);
  });

  test('when it is denied', async () => {
    await apply([
      {
        source:
          "kind: role\nname: admin\nadminister: true\nallow:\n  nodes: {'*': '*'}\n  logins: [root, ops]\ndeny:\n  # nobody is mysql\n  logins:\n    - mysql\n",
      },
    ]);
    expect(await check('mysql')).toMatchObject({
      allowed: false,
      reason: 'role admin denies login mysql',
      because: [{ role: 'admin', rule: 'deny.logins[0]', line: 10, text: '- mysql' }],
    });
    expect(await check('www')).toMatchObject({
      allowed: false,
      because: [],
      others: [{ role: 'admin', why: 'allows the node, but not the login www' }],
    });
    expect(await code(check('www', 'nowhere'))).toBe('NODE_UNKNOWN');
  });
});

test('a role written as values gets a text that reads as the same', () => {
  const role = roleSchema.parse({
    kind: 'role',
    name: 'x',
    allow: { nodes: { '*': '*' }, logins: ['*', '{user}'] },
    recording: { limit: 5 },
    view: 'all',
    max_ttl: '2h',
  });
  expect(sourceOf(role)).toBe(
    'kind: role\nversion: 2\nname: x\nmax_ttl: 7200\nallow:\n  nodes:\n    "*": "*"\n  logins:\n    - "*"\n    - "{user}"\nrecording:\n  limit: 5\nview: all\n',
  );
  expect(parseResource(sourceOf(role), 'x').value).toEqual(role);
});

describe('who does not administer everything', () => {
  const somebody = async (name: string, roles: readonly string[]): Promise<Administrator['call']> =>
    (await person(running, dir, admin, name, roles, cleanup)).call;
  const rule = (resources: string, verbs: string): string => `  rules: [{resources: [${resources}], verbs: [${verbs}]}]\n`;

  test.each<[string, string, string, string, object | undefined, string]>([
    ['may do what a rule says', rule('role', 'read, list'), 'GET', '/v1/roles/admin', undefined, 'done'],
    ['may not do what none says', rule('role', 'read, list'), 'DELETE', '/v1/roles/other', undefined, 'ACCESS_DENIED'],
    [
      'may write roles that give what they have',
      `  nodes: {env: [dev, stage]}\n${rule('role', 'create, update')}`,
      'POST',
      '/v1/roles',
      { documents: [{ source: text('new') }] },
      'done',
    ],
    [
      'may not write a role for nodes that they do not reach',
      rule('role', 'create, update'),
      'POST',
      '/v1/roles',
      { documents: [{ source: text('new') }] },
      'POWER_LACKING',
    ],
    [
      'may not write a role that they hold',
      rule('role', 'create, update'),
      'POST',
      '/v1/roles',
      { documents: [{ source: text('helper') }] },
      'POWER_LACKING',
    ],
    [
      'may not write a role that administers',
      rule('role', 'create, update'),
      'POST',
      '/v1/roles',
      { documents: [{ source: 'kind: role\nname: new\nadminister: true\n' }] },
      'POWER_LACKING',
    ],
    [
      'may not create with the right to update',
      rule('role', 'update'),
      'POST',
      '/v1/roles',
      { documents: [{ source: text('new') }] },
      'ACCESS_DENIED',
    ],
    ['may make users with roles that they hold', rule('user', '"*"'), 'POST', '/v1/users', { name: 'new', roles: ['helper'] }, 'done'],
    [
      'may not give a role that they do not hold',
      rule('user', '"*"'),
      'POST',
      '/v1/users',
      { name: 'new', roles: ['admin'] },
      'POWER_LACKING',
    ],
    [
      'may not give traits',
      rule('user', '"*"'),
      'POST',
      '/v1/users',
      { name: 'new', roles: ['helper'], traits: { logins: ['root'] } },
      'POWER_LACKING',
    ],
    ['may not reset somebody with more roles', rule('user', '"*"'), 'POST', `/v1/users/OWNER/reset`, undefined, 'POWER_LACKING'],
    ['may not manage themselves', rule('user', '"*"'), 'PUT', '/v1/users/ann', { roles: ['helper'] }, 'ACCESS_DENIED'],
    [
      'may lock with that right',
      rule('lock', 'create'),
      'PUT',
      '/v1/locks/a',
      { id: 'a', target_kind: 'login', target: 'ftp', reason: '', expires_at: null },
      'done',
    ],
    ['may not rotate a CA', rule('lock', 'create'), 'PUT', '/v1/ca/ssh-user/rotation', {}, 'ACCESS_DENIED'],
    ['sees roles that they hold', rule('lock', 'create'), 'GET', '/v1/roles/helper', undefined, 'done'],
    ['does not see the others', rule('lock', 'create'), 'GET', '/v1/roles/admin', undefined, 'ACCESS_DENIED'],
    ['asks about themselves', rule('lock', 'create'), 'POST', '/v1/access/check', { user: 'ann', node: 'web-1', login: 'www' }, 'done'],
    [
      'does not ask about others',
      rule('lock', 'create'),
      'POST',
      '/v1/access/check',
      { user: 'OWNER', node: 'web-1', login: 'www' },
      'ACCESS_DENIED',
    ],
    [
      'asks about others with that right',
      rule('access', 'read'),
      'POST',
      '/v1/access/check',
      { user: 'OWNER', node: 'web-1', login: 'www' },
      'done',
    ],
  ])('%s', async (_claim, rules, method, target, body, expected) => {
    await admin.call('PUT', '/v1/nodes/web-1', { name: 'web-1', kind: 'openssh', address: '127.0.0.1:22', labels: {}, host_keys: [] });
    await apply([{ source: `kind: role\nname: helper\nallow:\n  logins: [www]\n${rules}` }]);
    await admin.call('POST', '/v1/users', { name: 'ann', roles: ['helper'] });
    const call = await somebody('ann', ['helper']);
    const here = (value: string): string => value.replace('OWNER', admin.login.user);
    const given = body === undefined ? undefined : (JSON.parse(here(JSON.stringify(body))) as object);
    expect(await code(call(method as 'GET', here(target), given))).toBe(expected);
  });

  test('sees in the list the roles that they hold', async () => {
    await apply([{ source: text('helper') }]);
    const call = await somebody('ann', ['helper']);
    expect(((await call('GET', '/v1/roles')) as { name: string }[]).map(({ name }) => name)).toEqual(['helper']);
  });
});
