import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AccountInfo, TotpEnrolment } from '#schemas/api/people/account.js';
import type { MfaDevice } from '#schemas/api/people/users.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { Cleanup, administrator, authorityIn, onSocket, temporaryFolder } from '../../testing/authority.js';
import { sourceKey } from './guesses.js';
import { checkStrength } from './password-strength.js';
import { Passwords, parameters } from './passwords.js';
import { newRecoveryCodes, recoveryCodeHash } from './recovery-codes.js';
import { PASSWORD, WEB, people } from '../../testing/people.js';
import type { Enrolled, People } from '../../testing/people.js';
import { SoftAuthenticator } from '../../testing/soft-authenticator.js';
import { hash } from '@node-rs/argon2';

const cleanup = new Cleanup();
let world: People;
beforeAll(async () => {
  world = await people(cleanup);
});
afterAll(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const token = 'x'.repeat(43);

describe('passwords', () => {
  test.each([
    ['short', 'Tr0ub4dor&3'],
    ['a common word with digits', 'Password123456'],
    ['leet', 'p4ssw0rdp4ssw0rd'],
    ['a keyboard row', 'qwertyuiop123456'],
    ['one letter', 'aaaaaaaaaaaaaaaa'],
    ['a repeated word', 'dragondragondragon'],
    ['the own name', 'alice-alice-alice'],
    ['a season and a year', 'summer2026summer'],
  ])('%s is refused', (_why, password) => expect(() => checkStrength(password, 'alice')).toThrow(refusal('PASSWORD_WEAK') as Error));
  test.each(['correct horse battery staple', 'turnip gravel osprey lantern', 'xK9#mQ2$vL7w', 'пароль слонёнка Гоши'])(
    '%s is taken',
    (password) => checkStrength(password, 'alice'),
  );

  test('are kept as Argon2id with OWASP parameters, salted, and an older hash is known as such', async () => {
    const passwords = new Passwords(false);
    const [one, two] = [await passwords.hash(PASSWORD), await passwords.hash(PASSWORD)];
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(one).not.toBe(two);
    expect(await passwords.verify(one, PASSWORD)).toBe(true);
    expect(await passwords.verify(one, `${PASSWORD} `)).toBe(false);
    expect(await passwords.verify(null, PASSWORD)).toBe(false);
    expect(passwords.isOld(one)).toBe(false);
    expect(passwords.isOld(await hash(PASSWORD, { ...parameters, timeCost: 1 }))).toBe(true);
  });

  test('in FIPS mode are kept as PBKDF2, and each mode makes the other’s anew', async () => {
    const [plain, fips] = [new Passwords(false), new Passwords(true)];
    const stored = await fips.hash(PASSWORD);
    expect(stored).toMatch(/^\$pbkdf2-sha512\$i=210000\$/);
    expect([await plain.verify(stored, PASSWORD), await fips.verify(stored, 'other'), await fips.verify(null, PASSWORD)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([fips.isOld(stored), plain.isOld(stored), fips.isOld(await plain.hash(PASSWORD))]).toEqual([false, true, true]);
  });

  test('composed and decomposed letters are the same password', async () => {
    const passwords = new Passwords();
    expect(await passwords.verify(await passwords.hash('caf\u00e9 au lait, please'), 'cafe\u0301 au lait, please')).toBe(true);
  });
});

test('recovery codes are ten, differ, and are read however they are typed', () => {
  const codes = newRecoveryCodes();
  expect(new Set(codes).size).toBe(10);
  expect(recoveryCodeHash(codes[0]!.toUpperCase().replaceAll('-', ' '))).toBe(recoveryCodeHash(codes[0]!));
  for (const none of ['123456', '', 'l'.repeat(16), `${codes[0]}x`]) expect(recoveryCodeHash(none)).toBeNull();
});

test.each([
  ['192.0.2.7', 'source:192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', 'source:20010db800010002/64'],
  ['2001:db8:1:2::9', 'source:20010db800010002/64'],
  ['fe80::1%eth0', 'source:fe80000000000000/64'],
  ['::1', 'source:0000000000000000/64'],
])('guesses from %s count for %s', (address, key) => expect(sourceKey(address)).toBe(key));

describe('an invitation', () => {
  test('ends in a user who can sign in, whose certificate and audit name the device', async () => {
    const ann = await world.enrol('ann');
    expect(ann.recovery).toHaveLength(10);
    const identity = await ann.login();
    expect(identity).toMatchObject({ user: 'ann', via: 'local', mfa: expect.stringMatching(/^mfa-/) });
    expect(
      (await world.audit())
        .filter(({ actor }) => actor === 'ann')
        .map(({ event, outcome, source_address }) => [event, outcome, source_address]),
    ).toEqual(
      expect.arrayContaining([
        ['invitation.accept', 'success', '192.0.2.7'],
        ['user.login', 'success', '192.0.2.7'],
      ]),
    );
  });

  test('counts once, also for two who finish at once', async () => {
    const given = await world.invite('race');
    const begin = (): Promise<TotpEnrolment> => world.relay('POST', '/v1/invitation/totp', { token: given });
    const { Secret, TOTP } = await import('otpauth');
    const accept = async ({ ceremony, secret }: TotpEnrolment): Promise<unknown> =>
      world.relay('POST', '/v1/invitation/accept', {
        token: given,
        password: PASSWORD,
        device: {
          kind: 'totp',
          ceremony,
          label: 'app',
          code: new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: world.now() }),
        },
      });
    const results = await Promise.allSettled([await begin(), await begin()].map(accept));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: refusal('INVITATION_OVER') });
    await expect(world.relay('POST', '/v1/invitation', { token: given })).rejects.toEqual(refusal('INVITATION_OVER'));
  });

  test.each<readonly [string, (given: string, enrolment: TotpEnrolment) => readonly [string, unknown], string]>([
    ['an unknown token', () => ['/v1/invitation', { token }], 'INVITATION_OVER'],
    ['a weak password', (given) => ['/v1/invitation/password', { token: given, password: 'password1234' }], 'PASSWORD_WEAK'],
    [
      'a wrong code',
      (given, { ceremony }) => [
        '/v1/invitation/accept',
        { token: given, password: PASSWORD, device: { kind: 'totp', ceremony, code: '000000', label: 'app' } },
      ],
      'CODE_WRONG',
    ],
    [
      'a code without password',
      (given, { ceremony }) => [
        '/v1/invitation/accept',
        { token: given, device: { kind: 'totp', ceremony, code: '000000', label: 'app' } },
      ],
      'SECOND_FACTOR_REQUIRED',
    ],
    [
      'an enrolment of somebody else',
      (given) => [
        '/v1/invitation/accept',
        { token: given, password: PASSWORD, device: { kind: 'totp', ceremony: token, code: '000000', label: 'app' } },
      ],
      'LOGIN_ATTEMPT_OVER',
    ],
    [
      'a passkey that answers nothing',
      (given) => [
        '/v1/invitation/accept',
        {
          token: given,
          device: {
            kind: 'passkey',
            label: 'k',
            response: { id: 'AA', rawId: 'AA', type: 'public-key', response: { clientDataJSON: 'e30', attestationObject: 'AA' } },
          },
        },
      ],
      'LOGIN_ATTEMPT_OVER',
    ],
    ['unknown fields', (given) => ['/v1/invitation', { token: given, admin: true }], 'BAD_REQUEST'],
    ['too much', (given) => ['/v1/invitation/accept', { token: given, password: 'x'.repeat(300_000) }], 'TOO_LARGE'],
  ])('with %s is refused, and still good afterwards', async (_what, call, code) => {
    const name = `bad-${Math.random().toString(36).slice(2, 8)}`;
    const given = await world.invite(name);
    const enrolment = await world.relay<TotpEnrolment>('POST', '/v1/invitation/totp', { token: given });
    await expect(world.relay('POST', ...call(given, enrolment))).rejects.toEqual(refusal(code));
    await expect(world.relay('POST', '/v1/invitation', { token: given })).resolves.toMatchObject({ user: name });
  });

  test('is over after a day, and a new one voids all credentials', async () => {
    const eve = await world.enrol('eve');
    await world.admin.call('POST', '/v1/users/eve/reset');
    await expect(eve.login()).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(world.relay('GET', '/v1/web-session', undefined, { session: eve.session })).rejects.toEqual(refusal('NOT_SIGNED_IN'));
    const late = await people(cleanup);
    const given = await late.invite('late');
    late.pass(24 * 3_600_000 + 1);
    await expect(late.relay('POST', '/v1/invitation', { token: given })).rejects.toEqual(refusal('INVITATION_OVER'));
  });
});

describe('signing in', () => {
  let bob: Enrolled;
  beforeAll(async () => {
    bob = await world.enrol('bob');
  });

  test.each<readonly [string, Parameters<Enrolled['login']>[0]]>([
    ['a name that nobody has', { user: 'nobody-here' }],
    ['a name that cannot be one', { user: '../etc' }],
    ['a wrong password', { password: 'not the password' }],
    ['a wrong code', { code: '000000' }],
    ['a wrong recovery code', { code: 'aaaa-bbbb-cccc-dddd' }],
    ['everything wrong', { password: 'no', code: '111111' }],
  ])('with %s gets the very same answer, and the audit knows why', async (_what, change) => {
    const fresh = await world.enrol(`user-${Math.random().toString(36).slice(2, 8)}`);
    const error = await fresh.login({ client: '198.51.100.1', ...change }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'LOGIN_FAILED', detail: undefined });
    const rows = (await world.audit()).filter(
      ({ event, outcome, source_address }) => event === 'user.login' && outcome === 'failure' && source_address === '198.51.100.1',
    );
    expect(rows.at(-1)).toMatchObject({
      code: 'LOGIN_FAILED',
      target: change?.user ?? fresh.user,
      reason: expect.stringMatching(/: (password|code|recovery code|unknown user)/),
    });
  });

  test('takes a code once, and neither an earlier one afterwards', async () => {
    const code = bob.code(1);
    await bob.login({ code });
    await expect(bob.login({ code })).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(bob.login({ code: bob.code(0) })).rejects.toEqual(refusal('LOGIN_FAILED'));
  });

  // Enrolment used the current code: a clock half a minute behind shows one that is used up.
  test.each([
    [-3, 'refused'],
    [-1, 'refused'],
    [1, 'taken'],
    [3, 'refused'],
  ] as const)('the code of a clock that is %i half minutes off is %s', async (steps, fate) => {
    const user = await world.enrol(`skew${steps + 9}`);
    const attempt = user.login({ code: user.code(steps) });
    await (fate === 'taken'
      ? expect(attempt).resolves.toMatchObject({ user: user.user })
      : expect(attempt).rejects.toEqual(refusal('LOGIN_FAILED')));
  });

  test('takes a code once, of many at once', async () => {
    const carl = await world.enrol('carl');
    const code = carl.code(1);
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => carl.login({ code })));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('takes a recovery code once', async () => {
    const [code] = bob.recovery;
    await expect(bob.login({ code: code! })).resolves.toMatchObject({ user: 'bob', mfa: 'recovery-code' });
    await expect(bob.login({ code: code! })).rejects.toEqual(refusal('LOGIN_FAILED'));
  });

  test('gives a session that nobody has seen before', async () => {
    const dora = await world.enrol('dora');
    const { token: second } = await dora.login();
    expect(second).not.toBe(dora.session);
  });
});

describe('a user with a passkey and no password', () => {
  const enrolled = async (user: string) => {
    const authenticator = new SoftAuthenticator(WEB);
    const given = await world.invite(user);
    const { challenge } = await world.relay<{ challenge: string }>('POST', '/v1/invitation/passkey', { token: given });
    const { identity, recovery_codes: codes } = await world.relay<{ identity: WebIdentity; recovery_codes: string[] }>(
      'POST',
      '/v1/invitation/accept',
      { token: given, device: { kind: 'passkey', response: authenticator.register(challenge), label: 'key' } },
    );
    const login = (code: string, password = ''): Promise<WebIdentity> => world.relay('POST', '/v1/login/local', { user, password, code });
    return { authenticator, session: identity.token, codes, login };
  };
  const created = async (user: string): Promise<number> =>
    (await world.audit()).filter(
      ({ event, target, outcome }) => event === 'recovery_codes.create' && target === user && outcome === 'success',
    ).length;

  test('signs in by it, and is given recovery codes, once, which the audit tells without naming them', async () => {
    const { authenticator, codes } = await enrolled('kim');
    expect(new Set(codes).size).toBe(10);
    const { challenge } = await world.relay<{ challenge: string }>('POST', '/v1/login/passkey-options');
    await expect(world.relay('POST', '/v1/login/passkey', { response: authenticator.answer(challenge) })).resolves.toMatchObject({
      user: 'kim',
      mfa: expect.stringMatching(/^mfa-/),
    });
    expect(await created('kim')).toBe(1);
    expect(JSON.stringify(await world.audit())).not.toContain(codes[0]);
  });

  test('without the passkey signs in with a code alone, once, and that is one factor', async () => {
    const { codes, login } = await enrolled('kit');
    await expect(login(codes[0]!)).resolves.toMatchObject({ user: 'kit', mfa: null });
    await expect(login(codes[0]!)).rejects.toEqual(refusal('LOGIN_FAILED'));
    const row = (await world.audit())
      .filter(({ event, target, outcome }) => event === 'user.login' && target === 'kit' && outcome === 'success')
      .at(-1);
    expect(JSON.parse(row!.data)).toEqual({ via: 'local', mfa: null, recovery_codes_left: 9 });
  });

  test.each<readonly [string, (codes: readonly string[]) => readonly [code: string, password: string]]>([
    ['a password beside the code', (codes) => [codes[0]!, PASSWORD]],
    ['a code that is none of theirs', () => ['aaaa-bbbb-cccc-dddd', '']],
    ['six digits', () => ['000000', '']],
  ])('is refused with %s', async (_what, given) => {
    const { codes, login } = await enrolled(`kay-${Math.random().toString(36).slice(2, 8)}`);
    await expect(login(...given(codes))).rejects.toEqual(refusal('LOGIN_FAILED'));
  });

  test('makes new codes, which void the old ones, and adds a passkey with what a code opened', async () => {
    const { codes, login, session } = await enrolled('kai');
    const { recovery_codes: next } = await world.relay<{ recovery_codes: string[] }>('POST', '/v1/account/recovery-codes', undefined, {
      session,
    });
    await expect(login(codes[0]!)).rejects.toEqual(refusal('LOGIN_FAILED'));
    const { token: back } = await login(next[0]!);
    const { challenge } = await world.relay<{ challenge: string }>('POST', '/v1/account/passkey', undefined, { session: back });
    await expect(
      world.relay(
        'POST',
        '/v1/account/devices',
        { device: { kind: 'passkey', response: new SoftAuthenticator(WEB).register(challenge), label: 'new key' } },
        { session: back },
      ),
    ).resolves.toEqual({ recovery_codes: [] });
    expect(await created('kai')).toBe(2);
  });

  test('who sets a password needs it beside a code from then on', async () => {
    const { codes, login, session } = await enrolled('koa');
    await world.relay('PUT', '/v1/account/password', { password: PASSWORD }, { session });
    await expect(login(codes[0]!)).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(login(codes[0]!, PASSWORD)).resolves.toMatchObject({ user: 'koa', mfa: 'recovery-code' });
  });

  test('who has a password and an app is not let in by a code alone', async () => {
    const lou = await world.enrol('lou');
    await expect(lou.login({ password: '', code: lou.recovery[0]! })).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(lou.login({ password: '', code: lou.code(1) })).rejects.toEqual(refusal('LOGIN_FAILED'));
  });
});

describe('guessing', () => {
  test('is slowed by account, for a name that exists and one that does not, over a restart, and forgiven by success', async () => {
    const folder = temporaryFolder(cleanup);
    let offset = 0;
    const first = await authorityIn(folder, cleanup, {}, () => Date.now() + offset);
    const { clientOf } = await import('../../testing/authority.js');
    const viewer = await clientOf(first, { kind: 'viewer', name: 'web' }, cleanup);
    const guess = (user: string, by = viewer, client = '192.0.2.1'): Promise<unknown> =>
      by.relaying({ client })('POST', '/v1/login/local', { user, password: 'wrong', code: '000000' });
    for (let i = 0; i < 5; i++) await expect(guess('ghost')).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(guess('ghost')).rejects.toEqual(refusal('LOGIN_BLOCKED'));
    await expect(guess('other')).rejects.toEqual(refusal('LOGIN_FAILED'));
    viewer.close();
    await first.close();
    const second = await authorityIn(folder, cleanup, {}, () => Date.now() + offset);
    const again = await clientOf(second, { kind: 'viewer', name: 'web' }, cleanup);
    await expect(guess('ghost', again)).rejects.toEqual(refusal('LOGIN_BLOCKED'));
    offset += 2_100;
    await expect(guess('ghost', again)).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(guess('ghost', again)).rejects.toMatchObject({ code: 'LOGIN_BLOCKED', detail: expect.stringMatching(/^for [1-4] s$/) });
  });

  test('is slowed by source, whatever names are tried', async () => {
    const client = '203.0.113.9';
    const guess = (n: number): Promise<unknown> =>
      world.relay('POST', '/v1/login/local', { user: `name-${n}`, password: 'wrong', code: '000000' }, { client });
    for (let n = 0; n < 30; n++) await expect(guess(n)).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(guess(31)).rejects.toEqual(refusal('LOGIN_BLOCKED'));
    await expect(
      world.relay('POST', '/v1/login/local', { user: 'name-1', password: 'wrong', code: '000000' }, { client: '203.0.113.10' }),
    ).rejects.toEqual(refusal('LOGIN_FAILED'));
  });
});

describe('administrators', () => {
  test('disable a user: browsers, logins and certificates end, and enabling lets them in again', async () => {
    const gus = await world.enrol('gus');
    await world.admin.call('POST', '/v1/users/gus/disable', { reason: 'left' });
    await expect(world.relay('GET', '/v1/web-session', undefined, { session: gus.session })).rejects.toEqual(refusal('NOT_SIGNED_IN'));
    await expect(gus.login()).rejects.toEqual(refusal('LOGIN_FAILED'));
    expect(await world.admin.call('GET', '/v1/locks')).toContainEqual(
      expect.objectContaining({ target_kind: 'user', target: 'gus', reason: 'disabled: left' }),
    );
    await world.admin.call('POST', '/v1/users/gus/enable');
    await expect(gus.login({ code: gus.code(1) })).resolves.toMatchObject({ user: 'gus' });
  });

  test('remove a user: the name stays locked while certificates of theirs may live', async () => {
    await world.enrol('hal');
    await world.admin.call('DELETE', '/v1/users/hal');
    await expect(world.admin.call('GET', '/v1/users/hal')).rejects.toEqual(refusal('USER_UNKNOWN'));
    await expect(world.invite('hal')).rejects.toEqual(refusal('LOCKED'));
  });

  test.each<readonly [string, 'POST' | 'PUT' | 'DELETE', string, unknown, string]>([
    ['a user that is there', 'POST', '/v1/users', { name: 'bob', roles: ['admin'] }, 'USER_EXISTS'],
    ['a role that is not', 'POST', '/v1/users', { name: 'new', roles: ['nothing'] }, 'BAD_REQUEST'],
    ['a name that a user of another cluster comes in under', 'POST', '/v1/users', { name: 'ann_at_b', roles: ['admin'] }, 'BAD_REQUEST'],
    ['a name that is a path', 'POST', '/v1/users', { name: '../x', roles: ['admin'] }, 'BAD_REQUEST'],
    ['traits beyond their bounds', 'POST', '/v1/users', { name: 'new', roles: ['admin'], traits: { k: ['x'.repeat(300)] } }, 'BAD_REQUEST'],
    ['nobody', 'POST', '/v1/users/nobody-here/disable', {}, 'USER_UNKNOWN'],
    ['themselves', 'POST', '/v1/users/SELF/disable', {}, 'BAD_REQUEST'],
    ['themselves away', 'DELETE', '/v1/users/SELF', undefined, 'BAD_REQUEST'],
  ])('cannot act on %s', async (_what, method, target, body, code) => {
    await expect(world.admin.call(method, target.replace('SELF', world.admin.login.user), body)).rejects.toEqual(refusal(code));
  });
});

describe('an account', () => {
  test('keeps a way to sign in, and a change signs other browsers out', async () => {
    const ida = await world.enrol('ida');
    const { token: session } = await ida.login();
    const account = await world.relay<AccountInfo>('GET', '/v1/account', undefined, { session });
    const [device] = account.devices as readonly MfaDevice[];
    await expect(world.relay('DELETE', `/v1/account/devices/${device!.id}`, undefined, { session })).rejects.toEqual(
      refusal('SECOND_FACTOR_REQUIRED'),
    );
    await world.relay('PUT', '/v1/account/password', { password: 'walnut ferry copper tulip' }, { session });
    await expect(world.relay('GET', '/v1/web-session', undefined, { session: ida.session })).rejects.toEqual(refusal('NOT_SIGNED_IN'));
    await expect(world.relay('GET', '/v1/web-session', undefined, { session })).resolves.toMatchObject({ user: 'ida' });
    await expect(ida.login({ code: ida.recovery[0]! })).rejects.toEqual(refusal('LOGIN_FAILED'));
    await expect(ida.login({ password: 'walnut ferry copper tulip', code: ida.recovery[0]! })).resolves.toBeDefined();
  });

  test('is changed by a fresh sign-in only: not by an old one, not by a link', async () => {
    const own = await people(cleanup);
    const jan = await own.enrol('jan');
    own.pass(10 * 60_000 + 1);
    await expect(own.relay('POST', '/v1/account/recovery-codes', undefined, { session: jan.session })).rejects.toEqual(
      refusal('LOGIN_TOO_OLD'),
    );
    const { url_token } = (await onSocket(own.authority, { method: 'POST', target: '/v1/sign-in-link', body: {} })) as {
      url_token: string;
    };
    const { token: linked } = await own.relay<{ token: string }>('POST', '/v1/sign-in', { token: url_token });
    await expect(own.relay('POST', '/v1/account/totp', undefined, { session: linked })).rejects.toEqual(refusal('LOGIN_TOO_OLD'));
  });

  test('a link that a certificate asked for is no longer than the certificate', async () => {
    const own = await people(cleanup);
    const admin = await administrator(own.authority, cleanup);
    const { url_token } = (await admin.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
    const { expires_at } = await own.relay<{ expires_at: number }>('POST', '/v1/sign-in', { token: url_token });
    expect(expires_at).toBeLessThanOrEqual(admin.login.valid_before);
  });
});

test('nobody but a viewer is believed about whose address it is', async () => {
  const rows = (await world.audit()).filter(({ event, target }) => event === 'user.create' && target === 'bob');
  expect(rows[0]!.source_address).toMatch(/127\.0\.0\.1|::1/);
});
