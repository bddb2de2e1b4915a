import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceLogin, DeviceLoginAnswer, DeviceLoginFacts } from '#schemas/api/people/logins.js';
import { StenoError } from '#schemas/base/errors.js';
import { identityOf } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, onSocket, temporaryFolder } from '../../testing/authority.js';
import { createSealer } from '../../ca/seal.js';
import { Links } from '../../web-sessions/web-sessions.js';
import { Records, ensureRole, ensureUser } from '../../records/records.js';
import { people } from '../../testing/people.js';
import type { Enrolled, People } from '../../testing/people.js';
import type { Connector, LoginOutcome } from './connector.js';
import { SingleSignOn, ownPath } from './single-sign-on.js';

const cleanup = new Cleanup();
let world: People;
let ann: Enrolled;
beforeAll(async () => {
  world = await people(cleanup);
  ann = await world.enrol('ann');
});
afterAll(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const key = (): string => formatPublicLine(generateKey().publicBlob);
const begin = (more: object = {}, client = '198.51.100.4'): Promise<DeviceLogin> =>
  world.relay('POST', '/v1/login/device', { public_key: key(), client: 'steno login, ann on laptop', ...more }, { client });
const decide = (user_code: string, session: string, approve = true): Promise<unknown> =>
  world.relay('POST', '/v1/login/device/decision', { user_code, approve }, { session });
const poll = (device_code: string): Promise<DeviceLoginAnswer> => world.relay('POST', '/v1/login/device/token', { device_code });

describe('a login of a command through a browser', () => {
  test('is shown with where it came from and what it grants, waits, and ends in a certificate for the key it began with', async () => {
    const line = key();
    const login = await begin({ public_key: line });
    expect(login.user_code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    expect(await poll(login.device_code)).toMatchObject({ state: 'waiting' });
    const facts = await world.relay<DeviceLoginFacts>(
      'POST',
      '/v1/login/device/facts',
      { user_code: login.user_code.toLowerCase().replace('-', ' ') },
      { session: ann.session, client: '192.0.2.7' },
    );
    expect(facts).toMatchObject({
      client: 'steno login, ann on laptop',
      source_address: '198.51.100.4',
      browser_address: '192.0.2.7',
      user: 'ann',
      roles: ['admin'],
      fresh: true,
    });
    await decide(login.user_code, ann.session);
    const answer = await poll(login.device_code);
    if (answer.state !== 'approved') throw new Error(answer.state);
    const certificate = parseCertificate(parseAuthorizedLine(answer.login.certificate).blob);
    expect(formatPublicLine(certificate.publicKey)).toBe(line);
    expect(identityOf(certificate)).toMatchObject({ user: 'ann', mfa: expect.stringMatching(/^mfa-/) });
    const file = join(temporaryFolder(cleanup), 'cert.pub');
    writeFileSync(file, answer.login.certificate);
    expect(execFileSync('ssh-keygen', ['-L', '-f', file], { encoding: 'utf8' })).toContain('mfa@steno');
    await expect(poll(login.device_code)).rejects.toEqual(refusal('LOGIN_ATTEMPT_OVER'));
  });

  test('is taken once, of many that ask at once', async () => {
    const una = await world.enrol('una');
    const login = await begin();
    await decide(login.user_code, una.session);
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => poll(login.device_code)));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('is one of a sign-in: of many that a stolen cookie approves at once one counts, and none after it', async () => {
    const vic = await world.enrol('vic');
    const logins = await Promise.all(Array.from({ length: 6 }, () => begin()));
    const decided = await Promise.allSettled(logins.map(({ user_code }) => decide(user_code, vic.session)));
    expect(decided.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of decided) if (one.status === 'rejected') expect(one.reason).toEqual(refusal('LOGIN_TOO_OLD'));
    const later = await begin();
    await expect(decide(later.user_code, vic.session)).rejects.toEqual(refusal('LOGIN_TOO_OLD'));
    // The page shows beforehand that the sign-in is not fresh; denying does not need a fresh one.
    expect(await world.relay('POST', '/v1/login/device/facts', { user_code: later.user_code }, { session: vic.session })).toMatchObject({
      fresh: false,
    });
    await decide(later.user_code, vic.session, false);
  });

  test('is denied for good', async () => {
    const login = await begin();
    await decide(login.user_code, ann.session, false);
    await expect(poll(login.device_code)).rejects.toEqual(refusal('LOGIN_DENIED'));
    await expect(decide(login.user_code, ann.session)).rejects.toEqual(refusal('LOGIN_CODE_UNKNOWN'));
  });

  test('is approved only by the user it names, by a fresh sign-in, and not by a link', async () => {
    const own = await people(cleanup);
    const [bob, eve] = [await own.enrol('bob'), await own.enrol('eve')];
    const login = await own.relay<DeviceLogin>('POST', '/v1/login/device', { public_key: key(), client: '', user: 'bob' });
    const approve = (session: string): Promise<unknown> =>
      own.relay('POST', '/v1/login/device/decision', { user_code: login.user_code, approve: true }, { session });
    await expect(approve(eve.session)).rejects.toEqual(refusal('ACCESS_DENIED'));
    const { url_token } = (await onSocket(own.authority, { method: 'POST', target: '/v1/sign-in-link', body: {} })) as {
      url_token: string;
    };
    const linked = await own.relay<{ token: string }>('POST', '/v1/sign-in', { token: url_token });
    await expect(approve(linked.token)).rejects.toEqual(refusal('LOGIN_TOO_OLD'));
    own.pass(5 * 60_000);
    const old = await own.relay<DeviceLogin>('POST', '/v1/login/device', { public_key: key(), client: '' });
    own.pass(5 * 60_000 + 1);
    await expect(
      own.relay('POST', '/v1/login/device/decision', { user_code: old.user_code, approve: true }, { session: bob.session }),
    ).rejects.toEqual(refusal('LOGIN_TOO_OLD'));
    await expect(own.relay('POST', '/v1/login/device/token', { device_code: login.device_code })).rejects.toEqual(
      refusal('LOGIN_ATTEMPT_OVER'),
    );
  });

  test.each<readonly [string, unknown, string]>([
    ['a private key', { public_key: '-----BEGIN OPENSSH PRIVATE KEY-----', client: '' }, 'KEY_GARBLED'],
    ['a name of a client that moves the cursor', { public_key: 'x', client: '\u001b[2J' }, 'BAD_REQUEST'],
    ['a user that is none', { public_key: 'x', client: '', user: 'A B' }, 'BAD_REQUEST'],
  ])('does not begin with %s', async (_what, body, code) =>
    expect(world.relay('POST', '/v1/login/device', body)).rejects.toEqual(refusal(code)),
  );

  test('codes cannot be tried out', async () => {
    const own = await people(cleanup);
    const kim = await own.enrol('kim');
    const look = (user_code: string): Promise<unknown> =>
      own.relay('POST', '/v1/login/device/facts', { user_code }, { session: kim.session });
    for (let i = 0; i < 10; i++) await expect(look('BBBB-BBBB')).rejects.toEqual(refusal('LOGIN_CODE_UNKNOWN'));
    await expect(look('BBBB-BBBC')).rejects.toEqual(refusal('LOGIN_BLOCKED'));
  });

  test('a user who is put out meanwhile gets nothing', async () => {
    const lea = await world.enrol('lea');
    const login = await begin();
    await decide(login.user_code, lea.session);
    await world.admin.call('POST', '/v1/users/lea/disable', {});
    await expect(poll(login.device_code)).rejects.toEqual(refusal('LOGIN_ATTEMPT_OVER'));
  });
});

test('who handles users gives no role they do not hold, and resets nobody who holds more', async () => {
  await world.admin.call(
    'PUT',
    '/v1/roles/desk',
    roleSchema.parse({
      kind: 'role',
      name: 'desk',
      allow: { nodes: { '*': '*' }, logins: ['desk'], rules: [{ resources: ['user', 'bot'], verbs: ['*'] }] },
    }),
  );
  const desk = await world.certify((await world.enrol('desk', ['desk'])).session);
  await expect(desk.call('POST', '/v1/users', { name: 'mate', roles: ['desk'] })).resolves.toMatchObject({ user: 'mate' });
  await expect(desk.call('POST', '/v1/users', { name: 'chief', roles: ['admin'] })).rejects.toEqual(refusal('POWER_LACKING'));
  await expect(desk.call('POST', '/v1/bots', { name: 'robot', roles: ['admin'] })).rejects.toEqual(refusal('POWER_LACKING'));
  for (const [method, target] of [
    ['POST', '/v1/users/ann/reset'],
    ['DELETE', '/v1/users/ann'],
  ] as const) {
    await expect(desk.call(method, target)).rejects.toEqual(refusal('POWER_LACKING'));
  }
  await expect(desk.call('PUT', '/v1/users/desk', { roles: ['admin'] })).rejects.toEqual(refusal('ACCESS_DENIED'));
});

test.each([
  ['/', '/'],
  ['/sessions?user=ann', '/sessions?user=ann'],
  ['/login/device?code=BBBB-CCCC', '/login/device?code=BBBB-CCCC'],
  ['//evil.example', '/'],
  ['/\\evil.example', '/'],
  ['https://evil.example/', '/'],
  ['javascript:alert(1)', '/'],
  ['/\tevil', '/'],
  ['', '/'],
  [`/${'a'.repeat(600)}`, '/'],
  ['/a\r\nset-cookie: x', '/'],
])('after a login %j leads to %s', (next, path) => expect(ownPath(next)).toBe(path));

describe('single sign-on', () => {
  const proves: Record<string, LoginOutcome> = {
    'code-ann': { user: 'ann', roles: ['dev'], traits: { team: ['a'] }, mfa: 'oidc' },
    'code-loc': { user: 'loc', roles: ['dev'], traits: {}, mfa: null },
    'code-bad': { user: 'bad', roles: ['nothing'], traits: {}, mfa: null },
    'code-none': { user: 'none', roles: [], traits: {}, mfa: null },
    'code-path': { user: '../x', roles: ['dev'], traits: {}, mfa: null },
  };
  /** A provider that hands out codes: the user that each one proves. */
  const connector: Connector = {
    name: 'corp',
    label: 'Corp',
    kind: 'oidc',
    handlers: [],
    begin: async ({ state, callback }) => ({
      url: `https://idp.example/authorize?state=${state}&redirect_uri=${encodeURIComponent(callback)}`,
      kept: { verifier: 'v' },
    }),
    finish: async ({ method, query, form }, kept) => {
      const outcome = proves[(method === 'POST' ? form['code'] : query['code']) ?? ''];
      if (outcome === undefined || kept['verifier'] !== 'v') throw new StenoError('LOGIN_FAILED', 'the provider says no');
      return outcome;
    },
  };
  let now = Date.now();
  let sso: SingleSignOn;
  let records: Records;
  beforeAll(async () => {
    records = new Records(await openState({ kind: 'sqlite', file: join(temporaryFolder(cleanup), 'state.sqlite') }));
    cleanup.add(() => records.close());
    const role = roleSchema.parse({ kind: 'role', name: 'dev', allow: { nodes: { '*': '*' }, logins: ['dev'] } });
    await records.act([], async (tx) => {
      await ensureRole(tx, role, now);
      await ensureUser(tx, 'loc', ['dev'], now);
    });
    const directory = { current: () => ({ roles: [role], locks: [], requests: [] }) } as never;
    const clock = (): number => now;
    sso = new SingleSignOn({
      records,
      directory,
      links: new Links(records, directory, clock),
      sealer: createSealer(Buffer.alloc(32, 1)),
      clock,
      web: 'http://localhost:1',
      connectors: { list: async () => [connector], find: async (name) => (name === 'corp' ? connector : undefined) },
    });
  });
  const caller = { actor: 'viewer/web', source: '192.0.2.7' };
  const start = async (next = '/search'): Promise<{ state: string; binding: string }> => {
    const { url, binding } = await sso.begin('corp', next);
    return { state: new URL(url).searchParams.get('state')!, binding };
  };

  test('makes a user of whom the provider proves, and goes on to where it began', async () => {
    const begun = await start();
    const { identity, next } = await sso.finish('corp', { ...begun, query: { state: begun.state, code: 'code-ann' } }, caller);
    expect({ next, user: identity.user, via: identity.via, mfa: identity.mfa }).toEqual({
      next: '/search',
      user: 'ann',
      via: 'corp',
      mfa: 'oidc',
    });
    expect(await records.user('ann')).toMatchObject({ roles: ['dev'], traits: { team: ['a'] } });
  });

  test('an answer by form waits for the browser that has the cookie', async () => {
    const begun = await start('//evil.example');
    await sso.park('corp', begun.state, { code: 'code-ann', RelayState: begun.state });
    await expect(sso.park('corp', begun.state, { code: 'code-bad' })).rejects.toEqual(refusal('LOGIN_ATTEMPT_OVER'));
    expect((await sso.finish('corp', { ...begun, query: { state: begun.state } }, caller)).next).toBe('/');
  });

  test.each<readonly [string, (begun: { state: string; binding: string }) => Promise<{ state: string; binding: string }>, string, string]>([
    ['another browser', async (begun) => ({ ...begun, binding: 'y'.repeat(43) }), 'code-ann', 'LOGIN_ATTEMPT_OVER'],
    ['an unknown state', async (begun) => ({ ...begun, state: 'y'.repeat(43) }), 'code-ann', 'LOGIN_ATTEMPT_OVER'],
    [
      'an answer used before',
      async (begun) => {
        await sso.finish('corp', { ...begun, query: { code: 'code-ann' } }, caller);
        return begun;
      },
      'code-ann',
      'LOGIN_ATTEMPT_OVER',
    ],
    [
      'an answer that comes late',
      async (begun) => {
        now += 10 * 60_000 + 1;
        return begun;
      },
      'code-ann',
      'LOGIN_ATTEMPT_OVER',
    ],
    ['a name that a local user has', async (begun) => begun, 'code-loc', 'LOGIN_FAILED'],
    ['a role that is not', async (begun) => begun, 'code-bad', 'LOGIN_FAILED'],
    ['no role at all', async (begun) => begun, 'code-none', 'LOGIN_FAILED'],
    ['a name that is a path', async (begun) => begun, 'code-path', 'LOGIN_FAILED'],
    ['what the provider refuses', async (begun) => begun, 'code-unknown', 'LOGIN_FAILED'],
  ])('refuses %s', async (_what, change, code, error) => {
    const given = await change(await start());
    await expect(sso.finish('corp', { ...given, query: { code } }, caller)).rejects.toEqual(refusal(error));
  });
});
