import { createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, identityOf, person, temporaryFolder } from '../testing/authority.js';
import type { Signer } from '../testing/authority.js';

const cleanup = new Cleanup();
let answer: (name: string, body: string, headers: Record<string, string>) => Promise<string>;
let dan: Signer;
let dataDir: string;
let asked: AccessRequest;

beforeAll(async () => {
  dataDir = temporaryFolder(cleanup);
  const authority = await authorityIn(dataDir, cleanup);
  const admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/dev', { kind: 'role', name: 'dev', allow: { logins: ['{user}'], request: [{ roles: ['dba'] }] } });
  await admin.call('PUT', '/v1/roles/dba', { kind: 'role', name: 'dba', allow: { nodes: { '*': '*' }, logins: ['postgres'] } });
  await admin.call('PUT', '/v1/roles/lead', { kind: 'role', name: 'lead', allow: { approve: [{ roles: ['dba'] }] } });
  for (const [name, role] of [
    ['dan', 'dev'],
    ['lena', 'lead'],
  ] as const)
    await admin.call('POST', '/v1/users', { name, roles: [role] });
  dan = await person(authority, dataDir, admin, 'dan', ['dev'], cleanup);
  const secrets = join(dataDir, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true });
  for (const name of ['slack', 'jira', 'json', 'token']) writeFileSync(join(secrets, name), `${name}-secret`, { mode: 0o600 });
  const users = { 'ext-lena': 'lena', 'ext-dan': 'dan', 'ext-gone': 'gone' };
  const common = { kind: 'webhook', url: 'http://127.0.0.1:1', users };
  for (const document of [
    { ...common, name: 'chat', format: 'slack', signing_secret: { file: 'slack' } },
    { ...common, name: 'mute', format: 'slack' },
    {
      ...common,
      name: 'tickets',
      format: 'jira',
      email: 'bot@example.com',
      token: { file: 'token' },
      project: 'SEC',
      webhook_secret: { file: 'jira' },
    },
    { ...common, name: 'j', format: 'json', secret: { file: 'json' } },
  ])
    await admin.call('PUT', `/v1/webhooks/${document.name}`, document);
  const viewer = await identityOf(authority, { kind: 'viewer', name: 'web' }, cleanup);
  const agent = new Agent(viewer.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  answer = (name, body, headers) =>
    callAuthority(
      { kind: 'tls', url: authority.addresses.tls, agent },
      {
        method: 'POST',
        target: `/v1/webhooks/${name}/answer`,
        body: { body: Buffer.from(body).toString('base64'), headers },
      },
    ).then(
      (result) => (result as { request: { state: string } | null }).request?.state ?? 'nothing',
      (error: { code: string }) => error.code,
    );
});
afterAll(() => cleanup.run());
beforeEach(async () => {
  asked = (await dan.call('POST', '/v1/requests', { roles: ['dba'], reason: 'INC-7' })) as AccessRequest;
  const state = await openState({ kind: 'sqlite', file: join(dataDir, 'authority', 'state.sqlite') });
  await state
    .insertInto('webhook_references')
    .values({ webhook: 'tickets', reference: 'SEC-1', request: asked.id })
    .onConflict((on) => on.columns(['webhook', 'reference']).doUpdateSet({ request: asked.id }))
    .execute();
  await state
    .updateTable('access_requests')
    .set({ state: 'cancelled' })
    .where('id', '!=', asked.id)
    .where('state', '=', 'pending')
    .execute();
  await state.destroy();
});

const now = (): number => Math.floor(Date.now() / 1000);
const hmac = (secret: string, text: string): string => createHmac('sha256', secret).update(text).digest('hex');

const slack = (
  user: string,
  {
    action = 'approve',
    value = asked.id,
    at = now(),
    secret = 'slack-secret',
    name = 'chat',
    type = 'block_actions',
    block = 'steno-request',
  } = {},
): Promise<string> => {
  const body = new URLSearchParams({
    payload: JSON.stringify({
      type,
      user: { id: user, username: 'x' },
      team: { id: 'T1' },
      actions: [{ type: 'button', action_id: action, block_id: block, value }],
    }),
  }).toString();
  return answer(name, body, { 'x-slack-request-timestamp': String(at), 'x-slack-signature': `v0=${hmac(secret, `v0:${at}:${body}`)}` });
};
const jira = (
  user: string,
  { status = 'Approved', at = Date.now(), secret = 'jira-secret', event = 'jira:issue_updated', key = 'SEC-1', field = 'status' } = {},
): Promise<string> => {
  const body = JSON.stringify({
    timestamp: at,
    webhookEvent: event,
    user: { accountId: user, displayName: 'x' },
    issue: { id: '1', key },
    changelog: { id: '9', items: [{ field, fieldtype: 'jira', from: '1', fromString: 'Open', to: '2', toString: status }] },
  });
  return answer('tickets', body, { 'x-hub-signature': `sha256=${hmac(secret, body)}` });
};
const json = (user: string, { decision = 'approve', at = now(), secret = 'json-secret', more = {} } = {}): Promise<string> => {
  const body = JSON.stringify({ request: asked.id, decision, user, ...more });
  return answer('j', body, { 'steno-signature': `t=${at},v1=${hmac(secret, `${at}.${body}`)}` });
};

describe('an answer', () => {
  const cases: readonly (readonly [string, () => Promise<string>, string])[] = [
    ['of a mapped user by a button of Slack decides', () => slack('ext-lena'), 'approved'],
    ['that denies denies', () => slack('ext-lena', { action: 'deny' }), 'denied'],
    ['by the status of an issue decides', () => jira('ext-lena'), 'approved'],
    ['by the other status denies', () => jira('ext-lena', { status: 'Declined' }), 'denied'],
    ['in JSON decides', () => json('ext-lena'), 'approved'],
    ['of somebody who is not mapped is refused', () => slack('U-STRANGER'), 'ACCESS_DENIED'],
    ['of an identity that is called like a property is refused', () => json('constructor'), 'ACCESS_DENIED'],
    ['of an identity whose user is gone is refused', () => json('ext-gone'), 'ACCESS_DENIED'],
    ['of the requester is refused, by whatever way', () => slack('ext-dan'), 'SELF_REVIEW'],
    ['of the requester through an issue, too', () => jira('ext-dan'), 'SELF_REVIEW'],
    ['signed with another secret is refused', () => slack('ext-lena', { secret: 'guess' }), 'CALLBACK_REFUSED'],
    ['signed with another secret is refused of Jira', () => jira('ext-lena', { secret: 'guess' }), 'CALLBACK_REFUSED'],
    ['signed with another secret is refused in JSON', () => json('ext-lena', { secret: 'guess' }), 'CALLBACK_REFUSED'],
    ['of six minutes ago is refused', () => slack('ext-lena', { at: now() - 360 }), 'CALLBACK_REFUSED'],
    ['of six minutes ahead is refused', () => json('ext-lena', { at: now() + 360 }), 'CALLBACK_REFUSED'],
    ['about an issue of an hour ago is refused', () => jira('ext-lena', { at: Date.now() - 3_600_000 }), 'CALLBACK_REFUSED'],
    ['to a webhook that takes none is refused', () => slack('ext-lena', { name: 'mute' }), 'CALLBACK_REFUSED'],
    ['to a webhook that there is not is refused alike', () => slack('ext-lena', { name: 'nothing' }), 'CALLBACK_REFUSED'],
    ['without a signature is refused', () => answer('chat', 'payload=%7B%7D', {}), 'CALLBACK_REFUSED'],
    ['about another request than there is is refused', () => slack('ext-lena', { value: 'r-none' }), 'NOT_FOUND'],
    ['with a value that is no id is refused', () => slack('ext-lena', { value: '../x' }), 'BAD_REQUEST'],
    ['with another button is refused', () => slack('ext-lena', { action: 'approve_all' }), 'BAD_REQUEST'],
    ['that presses nothing of ours decides nothing', () => slack('ext-lena', { block: 'other' }), 'nothing'],
    ['about another change of the issue decides nothing', () => jira('ext-lena', { field: 'assignee' }), 'nothing'],
    ['about another status decides nothing', () => jira('ext-lena', { status: 'In Progress' }), 'nothing'],
    ['about an issue that we did not make decides nothing', () => jira('ext-lena', { key: 'SEC-999' }), 'nothing'],
    ['with unknown fields is refused in JSON', () => json('ext-lena', { more: { admin: true } }), 'BAD_REQUEST'],
  ];
  test.each(cases)('%s', async (_, act, expected) => expect(await act()).toBe(expected));

  test('counts once: the same bytes again are refused, also at the same time', async () => {
    const at = now();
    const results = await Promise.all(Array.from({ length: 5 }, () => json('ext-lena', { at })));
    expect(results.sort()).toEqual(['CALLBACK_REFUSED', 'CALLBACK_REFUSED', 'CALLBACK_REFUSED', 'CALLBACK_REFUSED', 'approved']);
  });

  test('that was altered on its way is refused', async () => {
    const body = JSON.stringify({ request: asked.id, decision: 'deny', user: 'ext-lena' });
    expect(
      await answer('j', body.replace('deny', 'approve'), { 'steno-signature': `t=${now()},v1=${hmac('json-secret', `${now()}.${body}`)}` }),
    ).toBe('CALLBACK_REFUSED');
  });
});
