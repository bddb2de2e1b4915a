/** Access requests, from asking to a session that names its request, with the commands and stock ssh. */
import { X509Certificate, createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AccessRequest } from '#schemas/documents/access-request.js';
import type { ReviewedHolding } from '#schemas/api/access/reviewed-access.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { TestAccount } from './test-account.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';

const steno = new Steno();
const account = new TestAccount();
let dan: Person;
let lena: Person;

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  const file = join(steno.folder, 'roles.yaml');
  writeFileSync(
    file,
    `
kind: role
name: dev
allow: { logins: ["{user}"], request: [{ roles: [ops], max_duration: 1h }, { nodes: { name: local }, logins: ["${account.name}"] }] }
---
kind: role
name: ops
allow: { nodes: { "*": "*" }, logins: ["${account.name}"] }
---
kind: role
name: lead
allow: { approve: [{ roles: [ops], nodes: { "*": "*" } }] }
`,
  );
  const applied = await steno.steno('apply', '-f', file);
  expect(applied.stderr + applied.stdout).toContain('lead');
  const ca = await openAuthorities(steno);
  await steno.steno('users', 'add', 'dan', '--roles', 'dev');
  await steno.steno('users', 'add', 'lena', '--roles', 'lead');
  dan = await person(steno, ca, 'dan', ['dev'], ['dan']);
  lena = await person(steno, ca, 'lena', ['lead'], ['-steno-none']);
});
afterAll(async () => {
  await steno.dispose();
  account.remove();
});

const target = (): string => `${account.name}@local.steno`;

it('leads from a request to a session under it, and ends the session when the request is withdrawn', async () => {
  expect((await dan.ssh(target(), 'true')).status).toBe(255);
  const asked = await dan.json<AccessRequest>('request', 'create', '--role', 'ops', '--reason', 'INC-9 disk full', '--ttl', '30m');
  expect(await lena.json<AccessRequest[]>('requests')).toMatchObject([{ id: asked.id, user: 'dan', state: 'pending', may_review: true }]);
  expect((await dan.steno('request', 'approve', asked.id)).stderr).toContain('[SELF_REVIEW]');
  expect((await lena.steno('request', 'approve', asked.id, '--reason', 'seen the alert')).stdout).toContain('approved');
  const used = await dan.json<{ logins: string[]; requests: string[] }>('login', '--request', asked.id);
  expect(used).toMatchObject({ requests: [asked.id], logins: expect.arrayContaining(['dan', account.name]) });

  const tls = new X509Certificate(readFileSync(join(dan.home, 'tls.pem')));
  expect(tls.subjectAltName).toMatch(new RegExp(`^URI:steno://user/1/[A-Za-z0-9_-]+, URI:steno://request/${asked.id}$`));
  expect((await dan.steno('request', 'use', asked.id)).stdout).toContain(asked.id);
  const again = new X509Certificate(readFileSync(join(dan.home, 'tls.pem')));
  expect([again.subjectAltName, again.validTo]).toEqual([tls.subjectAltName, tls.validTo]);

  const done = await dan.ssh(target(), 'echo', 'repaired');
  expect(done).toMatchObject({ status: 0, stdout: 'repaired\n' });
  const shell = dan.terminal('-tt', target());
  shell.write('echo sha""llow\r');
  await shell.until(/shallow/);
  const sessions = await eventually(
    () => viewerOf(steno).sessions({ request: asked.id }),
    (found) => found.length === 2,
  );
  expect(sessions.every(({ requests, user }) => requests.join() === asked.id && user === 'dan')).toBe(true);
  expect(await steno.json<SessionInfo[]>('sessions', '--request', asked.id)).toHaveLength(2);
  expect(await steno.json<SessionInfo[]>('sessions', '--request', 'r-none')).toEqual([]);
  const file = join(steno.folder, 'exec.cast');
  await eventually(
    () => steno.steno('export', sessions.find(({ kind }) => kind === 'exec')!.id, '--format', 'cast', '-o', file),
    ({ status }) => status === 0,
  );
  expect(readFileSync(file, 'utf8').split('\n')[0]).toContain(`"requests":["${asked.id}"]`);

  await dan.steno('request', 'cancel', asked.id);
  await shell.ended;
  expect(shell.text()).toContain('[REQUEST_OVER]');
  expect((await dan.ssh(target(), 'true')).stderr).toContain('[REQUEST_OVER]');
  expect((await dan.steno('nodes')).stderr).toContain('[REQUEST_OVER]');
  const rows = await eventually(
    () => viewerOf(steno).audit({ event: 'session.ended' }),
    (found) => found.length > 0,
  );
  expect(rows[0]).toMatchObject({ actor: 'dan', code: 'REQUEST_OVER', data: JSON.stringify({ requests: [asked.id] }) });
});

it('accepts an answer to a webhook through the viewer only from the users that the webhook names', async () => {
  const secrets = join(steno.data, 'authority', 'secrets');
  mkdirSync(secrets, { recursive: true, mode: 0o700 });
  writeFileSync(join(secrets, 'slack-signing'), 'shhh\n', { mode: 0o600 });
  const file = join(steno.folder, 'webhook.yaml');
  writeFileSync(
    file,
    'kind: webhook\nname: chat\nformat: slack\nurl: http://127.0.0.1:9/none\nsigning_secret: { file: slack-signing }\nusers: { U0LENA: lena, U0DAN: dan }\n',
  );
  const applied = await steno.steno('apply', '-f', file);
  expect(applied.stdout, applied.stderr).toContain('chat');

  const fresh = await person(steno, await openAuthorities(steno), 'dan', ['dev'], ['dan']);
  const asked = await fresh.json<AccessRequest>('request', 'create', '--node', 'local', '--reason', 'INC-10');
  const press = (user: string, secret = 'shhh', seconds = Math.floor(Date.now() / 1000)): Promise<Response> => {
    const payload = JSON.stringify({
      type: 'block_actions',
      user: { id: user },
      actions: [{ action_id: 'approve', block_id: 'steno-request', value: asked.id }],
    });
    const body = new URLSearchParams({ payload }).toString();
    const signature = `v0=${createHmac('sha256', secret).update(`v0:${seconds}:${body}`).digest('hex')}`;
    return fetch(`${steno.run.web}/hooks/chat`, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': String(seconds),
        'x-slack-signature': signature,
      },
    });
  };
  const codeOf = async (answer: Promise<Response>): Promise<string> =>
    ((await (await answer).json()) as { error?: { code: string } }).error?.code ?? 'ok';
  expect(await codeOf(press('U0LENA', 'guess'))).toBe('CALLBACK_REFUSED');
  expect(await codeOf(press('U0LENA', 'shhh', Math.floor(Date.now() / 1000) - 400))).toBe('CALLBACK_REFUSED');
  expect(await codeOf(press('U0STRANGER'))).toBe('ACCESS_DENIED');
  expect(await codeOf(press('U0DAN'))).toBe('SELF_REVIEW');
  const seconds = Math.floor(Date.now() / 1000);
  expect(await codeOf(press('U0LENA', 'shhh', seconds))).toBe('ok');
  expect(await codeOf(press('U0LENA', 'shhh', seconds))).toBe('CALLBACK_REFUSED');
  expect(await fresh.json<AccessRequest>('request', 'show', asked.id)).toMatchObject({
    state: 'approved',
    reviews: [{ reviewer: 'lena', via: 'chat' }],
  });
  const rows = await eventually(
    () => viewerOf(steno).audit({ event: 'webhook.answer' }),
    (found) => found.length >= 5,
  );
  expect(rows.map(({ actor, code }) => [actor, code])).toEqual(
    expect.arrayContaining([
      ['chat/U0STRANGER', 'ACCESS_DENIED'],
      ['dan', 'SELF_REVIEW'],
      ['webhook/chat', 'CALLBACK_REFUSED'],
    ]),
  );
});

it('lists roles and their holders, last use, and decisions for review', async () => {
  expect((await steno.ssh(`${steno.login}@local.steno`, 'true')).status).toBe(0);
  const rows = await eventually(
    () => steno.json<ReviewedHolding[]>('review'),
    (found) => found.some(({ user, sessions }) => user === steno.login && sessions > 0),
  );
  expect(rows.find(({ user }) => user === steno.login)).toMatchObject({
    role: 'admin',
    unused: false,
    last_used: expect.any(Number),
    reach: [{ node: 'local' }],
    decision: null,
  });
  expect(rows.find(({ user }) => user === 'dan')).toMatchObject({ role: 'dev', reach: [], sessions: 0, last_used: null, unused: false });
  const recorded = await steno.steno(
    'review',
    'record',
    '--decision',
    'remove',
    '--user',
    'dan',
    '--role',
    'dev',
    '--reason',
    'left the team, for good',
  );
  expect(recorded.stdout, recorded.stderr).toContain('remove dev of dan');
  expect((await steno.steno('review', 'decisions', '--format', 'csv')).stdout).toMatch(
    new RegExp(`,${steno.login},remove,dan,dev,"left the team, for good"\\r\\n$`),
  );
  expect((await steno.steno('review', '--user', 'dan', '--format', 'csv')).stdout).toContain(`,remove,${steno.login},`);
  expect((await lena.steno('review')).stderr).toContain('[ACCESS_DENIED]');
});
