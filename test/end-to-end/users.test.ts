/** Users from invitation to a session on a node, as they and their administrators see it: in Chromium and with stock ssh. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { Secret, TOTP } from 'otpauth';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BotToken } from '#schemas/api/people/bots.js';
import type { Invitation, UserInfo } from '#schemas/api/people/users.js';
import { Steno, bin } from './machine.js';
import { executablePath, headless } from '../../viewer/api/testing/chromium.js';

const password = 'turnip gravel osprey lantern';
const steno = new Steno();
let context: BrowserContext;
let page: Page;
let totp: TOTP;
let codes: string[] = [];
let bobs: string[] = [];

/** Each code is valid once: the first is the current code, the second that of the next half minute. */
const code = (steps: number): string => totp.generate({ timestamp: Date.now() + steps * 30_000 });
const web = (): string => steno.run.web;
const environment = (home: string): NodeJS.ProcessEnv => ({ ...steno.env, STENO_HOME: join(steno.folder, home) });
const as = (home: string, ...args: string[]) => steno.exec(process.execPath, [bin, ...args], { env: environment(home) });
const invite = (name: string, roles: string): Promise<Invitation> => steno.json<Invitation>('users', 'add', name, '--roles', roles);

beforeAll(async () => {
  expect(existsSync(executablePath), `${executablePath}: a browser to test with`).toBe(true);
  await steno.start();
  await steno.steno('login', '--data', steno.data);
  context = await chromium.launchPersistentContext(join(steno.folder, 'profile'), headless);
  page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(60_000);
});
afterAll(async () => {
  await context?.close();
  await steno.dispose();
});

const signOut = async (): Promise<void> => {
  await page.goto(`${web()}/`);
  await page.click('text=Sign out');
  await page.waitForSelector('input[name=username]');
};
const signIn = async (given: string): Promise<void> => {
  await page.fill('input[name=username]', 'alice');
  await page.fill('input[name=password]', password);
  await page.click('button:has-text("Next")');
  await page.fill('input[name=code]', given);
  await page.click('button:has-text("Sign in")');
};

describe('an invited user', () => {
  it('chooses a password, scans the code and is signed in, once', async () => {
    const { link } = await invite('alice', 'admin');
    await page.goto(link);
    await page.waitForSelector('text=Welcome, alice');
    expect(page.url()).not.toContain('#');
    await page.click('text=A password and an authenticator app');
    await page.fill('input[name=new-password]', password);
    await page.fill('input[name=new-password-again]', password);
    await page.click('button:has-text("Next")');
    totp = new TOTP({ secret: Secret.fromBase32((await page.textContent('.typed-key code'))!.replaceAll(' ', '')) });
    await page.fill('input[name=code]', code(0));
    await page.click('button:has-text("Confirm")');
    await page.waitForSelector('.codes');
    codes = await page.locator('.codes code').allTextContents();
    await page.check('.check input');
    await page.click('button:has-text("Continue")');
    expect(await page.textContent('.who a')).toBe('alice');
    await page.goto('about:blank');
    await page.goto(link);
    await page.waitForSelector('text=This invitation no longer works');
  });

  it('signs in with a recovery code; a wrong password and a wrong code look the same', async () => {
    await signOut();
    await signIn('000000');
    const first = await page.textContent('.failure');
    await page.fill('input[name=password]', 'not this one at all');
    await page.click('button:has-text("Next")');
    await page.fill('input[name=code]', '000000');
    await page.click('button:has-text("Sign in")');
    await page.waitForSelector('.failure');
    expect(await page.textContent('.failure')).toBe(first);
    await signIn(codes[0]!);
    await page.waitForSelector('.top');
  });

  it('approves `steno login` and is logged in: commands and ssh work as that user', async () => {
    const cli = spawn(process.execPath, [bin, 'login', '--proxy', web(), '--no-browser', '--no-agent', '--json'], {
      env: environment('alice'),
    });
    const said = { out: '', err: '' };
    cli.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
    const asked = new Promise<string>((resolve) =>
      cli.stderr.on('data', (chunk: Buffer) => {
        said.err += chunk.toString();
        const url = /http\S+code=\S+/.exec(said.err)?.[0];
        if (url !== undefined && said.err.includes('minutes')) resolve(url);
      }),
    );
    const ended = new Promise<number | null>((resolve) => cli.on('exit', resolve));
    await page.goto(await asked);
    await page.waitForSelector('.user-code');
    expect(said.err).toContain(await page.textContent('.user-code'));
    await page.click('button:has-text("Approve")');
    await page.waitForSelector('[role=status]:has-text("goes on by itself")');
    expect(await ended, said.err).toBe(0);
    expect(JSON.parse(said.out)).toMatchObject({ user: 'alice', roles: ['admin'] });
    expect((await as('alice', 'nodes', '--json')).stdout).toContain('"local"');
    const { stdout, stderr } = await steno.exec('ssh', [
      '-F',
      join(steno.folder, 'alice', 'ssh_config'),
      `${steno.login}@local.steno`,
      'echo in',
    ]);
    expect(stdout, stderr).toBe('in\n');
  });

  it('adds a passkey and from then on signs in with it alone', async () => {
    const cdp = await context.newCDPSession(page);
    await cdp.send('WebAuthn.enable');
    await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    await page.goto(`${web()}/account`);
    await page.click('text=Add a passkey');
    // This sign-in has already approved a login, so it may not change the account any more.
    await page.waitForSelector('text=Confirm that it is you');
    await page.fill('input[name=password]', password);
    await page.click('button:has-text("Next")');
    await page.fill('input[name=code]', codes[3]!);
    await page.click('button:has-text("Sign in")');
    await page.waitForSelector('text=Confirm that it is you', { state: 'detached' });
    await page.click('text=Add a passkey');
    await page.waitForSelector('[role=status]:has-text("The passkey is added")');
    await signOut();
    await page.click('text=Use a passkey');
    await page.waitForSelector('.top');
    expect(await steno.json<UserInfo>('users', 'show', 'alice')).toMatchObject({
      password: true,
      devices: [{ kind: 'totp' }, { kind: 'passkey', last_used_at: expect.any(Number) }],
    });
  });

  it('may be invited to a passkey alone', async () => {
    const { link } = await invite('bob', 'admin');
    await page.goto('about:blank');
    await page.goto(link);
    await page.click('text=A passkey');
    await page.waitForSelector('.codes');
    bobs = await page.locator('.codes code').allTextContents();
    await page.check('.check input');
    await page.click('button:has-text("Continue")');
    await page.waitForSelector('.top');
    expect(await steno.json<UserInfo>('users', 'show', 'bob')).toMatchObject({
      password: false,
      devices: [{ kind: 'passkey' }],
      recovery_codes_left: 10,
    });
  });

  it('without that passkey signs in with a recovery code, and gets new ones', async () => {
    await signOut();
    await page.fill('input[name=username]', 'bob');
    await page.click('button:has-text("Next")');
    await page.waitForSelector('text=Recovery code');
    await page.fill('input[name=code]', bobs[0]!);
    await page.click('button:has-text("Sign in")');
    await page.waitForSelector('.top');
    await page.goto(`${web()}/account`);
    await page.waitForSelector('text=You have no password, and 9 recovery codes.');
    await page.click('button:has-text("New recovery codes")');
    await page.waitForSelector('.codes');
    expect(await page.locator('.codes code').allTextContents()).not.toContain(bobs[1]);
  });

  it('is asked for a second factor if a role asks for one for each session', async () => {
    const file = join(steno.folder, 'careful.yaml');
    writeFileSync(
      file,
      `kind: role\nname: careful\nallow:\n  nodes: {'*': '*'}\n  logins: ['*', root, ${steno.login}]\nrequire_session_mfa: true\n`,
    );
    expect((await steno.steno('apply', '-f', file)).status).toBe(0);
    expect((await steno.steno('users', 'edit', 'alice', '--roles', 'admin,careful')).status).toBe(0);
    await signOut();
    await signIn(codes[1]!);
    await page.waitForSelector('.top');
    const login = spawn(process.execPath, [bin, 'login', '--proxy', web(), '--no-browser', '--no-agent'], { env: environment('alice') });
    const url = await new Promise<string>((resolve) =>
      login.stderr.on('data', (chunk: Buffer) => {
        const found = /http\S+code=\S+/.exec(chunk.toString())?.[0];
        if (found !== undefined) resolve(found);
      }),
    );
    const ended = new Promise((resolve) => login.on('exit', resolve));
    await page.goto(url);
    await page.click('button:has-text("Approve")');
    await ended;
    const ssh = steno.terminal('ssh', [
      '-F',
      join(steno.folder, 'alice', 'ssh_config'),
      `${steno.login}@local.steno`,
      'echo confirmed-$((40+2))',
    ]);
    const shown = await ssh.until(/http\S+confirm#[A-Za-z0-9_-]{43}/);
    await page.goto(/http\S+confirm#[A-Za-z0-9_-]{43}/.exec(shown)![0]);
    await page.fill('input[name=code]', code(1));
    await page.click('button.primary:has-text("Confirm")');
    await ssh.until(/confirmed-42/);
    expect(await ssh.ended).toBe(0);
  });
});

describe('sign-in over HTTP', () => {
  const send = (
    path: string,
    options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
  ) =>
    new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }>((resolve, reject) => {
      const { host } = new URL(web());
      const asked = request(
        `${web()}${path}`,
        { method: options.method ?? 'POST', headers: { host, origin: web(), 'content-type': 'application/json', ...options.headers } },
        (answer) => {
          let body = '';
          answer.on('data', (chunk: Buffer) => (body += chunk.toString()));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
        },
      );
      asked.on('error', reject);
      asked.end(options.body);
    });
  const login = JSON.stringify({ user: 'alice', password: 'x', code: '000000' });

  it.each<readonly [string, string, Parameters<typeof send>[1], number, string]>([
    ['a login from another site', '/api/login/local', { headers: { origin: 'https://evil.example' }, body: login }, 403, 'ACCESS_DENIED'],
    [
      'a form from another site',
      '/api/login/local',
      { headers: { origin: 'https://evil.example', 'content-type': 'application/x-www-form-urlencoded' }, body: 'user=alice' },
      403,
      'ACCESS_DENIED',
    ],
    [
      'a form to our own site',
      '/api/login/local',
      { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'user=alice' },
      400,
      'BAD_REQUEST',
    ],
    ['plain text', '/api/login/local', { headers: { 'content-type': 'text/plain' }, body: login }, 400, 'BAD_REQUEST'],
    ['another host', '/api/login/local', { headers: { host: 'evil.example' }, body: login }, 400, 'BAD_REQUEST'],
    [
      'a body over the limit of a login',
      '/api/login/local',
      { body: JSON.stringify({ user: 'a', password: 'x'.repeat(60_000), code: '1' }) },
      413,
      'TOO_LARGE',
    ],
    ['a body that is not JSON', '/api/login/local', { body: '{' }, 400, 'BAD_REQUEST'],
    [
      'an approval without a sign-in',
      '/api/login/device/decision',
      { body: JSON.stringify({ user_code: 'BBBB-BBBB', approve: true }) },
      401,
      'NOT_SIGNED_IN',
    ],
    ['an account without a sign-in', '/api/account', { method: 'GET' }, 401, 'NOT_SIGNED_IN'],
    ['an unknown connector', '/api/login/connectors/none', { body: '{"next":"/"}' }, 404, 'NOT_FOUND'],
    ['an invalid device code', '/api/login/device/token', { body: '{"device_code":"x"}' }, 400, 'BAD_REQUEST'],
  ])('refuses %s', async (_what, path, options, status, error) => {
    const answer = await send(path, options);
    expect({ status: answer.status, code: (JSON.parse(answer.body) as { error: { code: string } }).error.code }).toEqual({
      status,
      code: error,
    });
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  it.each([
    ['GET', '/api/login/callback/corp?state=https://evil.example', ''],
    ['GET', '/api/login/callback/corp', ''],
    ['POST', '/api/login/callback/corp', 'RelayState=x&SAMLResponse=y'],
  ])('an unsolicited answer of a provider (%s %s) redirects to our own sign-in', async (method, path, body) => {
    const answer = await send(path, {
      method,
      headers: { origin: 'https://idp.example', 'content-type': 'application/x-www-form-urlencoded' },
      body,
    });
    expect(answer.status).toBe(303);
    expect(answer.headers['location']).toMatch(/^\/sign-in\?refused=[A-Z_]+$/);
  });

  it('a sign-in ends the previous session (fixation), and scripts cannot read the cookie', async () => {
    const { url_token } = await steno
      .json<{ link: string }>('login', '--data', steno.data, '--web')
      .then(({ link }) => ({ url_token: link.slice(link.indexOf('=') + 1) }));
    const first = await send('/api/sign-in', { body: JSON.stringify({ token: url_token }) });
    const cookie = String(first.headers['set-cookie']);
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    const planted = cookie.split(';')[0]!;
    const second = await send('/api/login/local', {
      headers: { cookie: planted },
      body: JSON.stringify({ user: 'alice', password, code: codes[2] }),
    });
    expect(second.status).toBe(200);
    expect(String(second.headers['set-cookie'])).not.toContain(planted);
    expect((await send('/api/me', { method: 'GET', headers: { cookie: planted } })).status).toBe(401);
  });
});

describe('a bot', () => {
  it('joins with its token, renews, reaches a node, and is detected when a copy renews', async () => {
    const { token } = await steno.json<BotToken>('bots', 'add', 'ci', '--roles', 'admin');
    const file = join(steno.folder, 'token');
    const out = join(steno.folder, 'bot');
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    const join1 = await as('nobody', 'bot', '--proxy', web(), '--token-file', file, '--out', out, '--once');
    expect(join1.stdout, join1.stderr).toContain('generation 1');
    const { stdout } = await steno.exec('ssh', ['-F', join(out, 'ssh_config'), `${steno.login}@local.steno`, 'echo bot']);
    expect(stdout).toBe('bot\n');
    const copy = join(steno.folder, 'copy');
    cpSync(out, copy, { recursive: true });
    expect((await as('nobody', 'bot', '--out', out, '--once')).stdout).toContain('generation 2');
    const stolen = await as('nobody', 'bot', '--out', copy, '--once');
    expect({ status: stolen.status, told: stolen.stderr.includes('BOT_COPIED') }).toEqual({ status: 77, told: true });
    expect((await as('nobody', 'bot', '--out', out, '--once')).stderr).toContain('LOCKED');
    expect((await steno.steno('bots')).stdout).toMatch(/^ci +admin +0 /m);
    const again = await as('nobody', 'bot', '--proxy', web(), '--token-file', file, '--out', join(steno.folder, 'other'), '--once');
    expect(again.stderr).toContain('BOT_TOKEN_OVER');
    expect(readFileSync(join(out, 'bot.json'), 'utf8')).not.toContain(token);
  });
});
