/**
 * Single sign-on from end to end: a browser and `steno login --auth` against a real OpenID provider and a real SAML
 * provider, up to a session on a node; and forged answers.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AuditRow } from '#schemas/events/rows.js';
import { CLIENT_ID, CLIENT_SECRET, openidProvider } from '../../authority/people/sso/testing/openid-provider.js';
import type { OpenidProvider } from '../../authority/people/sso/testing/openid-provider.js';
import { signingKey } from '../../authority/people/sso/testing/saml-provider.js';
import { viewerOf } from '../end-to-end/client-tools.js';
import { Steno, bin, eventually } from '../end-to-end/machine.js';
import { TestAccount } from '../end-to-end/test-account.js';
import { logInAtProvider, openBrowser, samlProvider } from './scene.js';
import type { SamlProvider } from './scene.js';

let steno: Steno;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let oidc: OpenidProvider;
let saml: SamlProvider;
let web: string;

const groups = (name: string): readonly string[] => (name === 'nobody' ? ['guests'] : ['sre']);

const account = new TestAccount();
beforeAll(async () => {
  steno = new Steno();
  await steno.start();
  web = steno.run.web;
  expect((await steno.steno('login', '--data', steno.data)).status).toBe(0);
  oidc = await openidProvider({
    callback: () => `${web}/api/login/callback/openid`,
    afterLogout: () => `${web}/`,
    claims: (name) => ({ groups: groups(name), email: `${name}@example.com`, email_verified: true }),
  });
  const idp = await signingKey();
  saml = await samlProvider(
    idp,
    async (connector) => {
      const xml = await (await fetch(`${web}/api/login/saml/${connector}/metadata`)).text();
      return `-----BEGIN CERTIFICATE-----\n${/<ds:X509Certificate>([^<]+)/.exec(xml)![1]!}\n-----END CERTIFICATE-----\n`;
    },
    (name) => ({ groups: groups(name) }),
  );
  const folder = join(steno.folder, 'documents');
  mkdirSync(folder);
  writeFileSync(join(folder, 'secret'), `${CLIENT_SECRET}\n`);
  const documents = [
    { kind: 'role', name: 'sre', allow: { nodes: { '*': '*' }, logins: [account.name] } },
    {
      kind: 'oidc',
      name: 'openid',
      display: 'Example OpenID',
      issuer: oidc.issuer,
      client_id: CLIENT_ID,
      client_secret_file: join(folder, 'secret'),
      scopes: ['openid', 'profile', 'groups', 'email'],
      claims_to_roles: [{ claim: 'groups', value: 'sre', roles: ['sre'] }],
      traits: { team: 'groups' },
      logout: true,
    },
    {
      kind: 'saml',
      name: 'adfs',
      display: 'Example SAML',
      entity_id: saml.entityId,
      sso_url: saml.ssoUrl,
      certificates: [idp.cert],
      claims_to_roles: [{ claim: 'groups', value: 'sre', roles: ['sre'] }],
      traits: { team: 'groups' },
    },
  ];
  writeFileSync(join(folder, 'sso.yaml'), documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  writeFileSync(
    join(folder, 'portal.yaml'),
    JSON.stringify({ ...documents[2], name: 'portal', display: 'Portal', idp_initiated: true, sp_entity_id: 'urn:example:portal' }),
  );
  const applied = await steno.steno('apply', '-f', join(folder, 'sso.yaml'));
  expect([applied.stdout, applied.stderr]).toEqual(['role sre created (revision 1)\noidc openid created\nsaml adfs created\n', '']);
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await saml?.close();
  await oidc?.close();
  await steno?.dispose();
  account.remove();
});

beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(() => context.close());

const providers = [
  ['OpenID Connect', 'Example OpenID', 'openid'],
  ['SAML', 'Example SAML', 'adfs'],
] as const;
const lastFailure = async (): Promise<AuditRow> => (await viewerOf(steno).audit({ event: 'user.login', outcome: 'failure' }))[0]!;

describe.each(providers)('by %s', (_, label, connector) => {
  const user = connector === 'openid' ? 'ann' : 'bob';

  test('a browser signs in', async () => {
    await page.goto(`${web}/sign-in`);
    await page.getByRole('button', { name: label }).click();
    await logInAtProvider(context, user);
    await page.getByRole('link', { name: user }).waitFor();
    expect(await page.evaluate(() => fetch('/api/me').then((answer) => answer.json()))).toMatchObject({ user, roles: ['sre'] });
    expect((await context.cookies()).find(({ name }) => name === 'steno_session')).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
  });

  test('a command logs in, and its certificate opens a session on a node', async () => {
    const home = join(steno.folder, `home-${user}`);
    const command = steno.terminal(
      process.execPath,
      [bin, 'login', '--proxy', web, '--auth', connector, '--no-browser', '--no-agent'],
      { cols: 200, rows: 24 },
      { STENO_HOME: home },
    );
    const address = /Open\s+(?:\x1b\[\d+m)?(http\S+?)(?:\x1b|\s)/.exec(await command.until(/approve the code/))![1]!;
    await page.goto(address);
    await logInAtProvider(context, user);
    await page.getByRole('button', { name: /approve/i }).click();
    await command.until(/Signed in as/);
    expect(await command.ended).toBe(0);
    const listing = execFileSync('ssh-keygen', ['-L', '-f', join(home, 'id_ed25519-cert.pub')], { encoding: 'utf8' });
    for (const word of [`user=${user}`, 'traits@steno', 'roles@steno']) expect(listing).toContain(word);
    const { stdout, stderr } = await steno.exec('ssh', [
      '-F',
      join(home, 'ssh_config'),
      `${account.name}@local.steno`,
      'echo',
      'here',
      '$((20+3))',
    ]);
    expect(stdout, stderr).toBe('here 23\n');
    const sessions = await eventually(
      () => viewerOf(steno).sessions(),
      (all) => all.some((one) => one.user === user),
    );
    expect(sessions.find((one) => one.user === user)).toMatchObject({ command: 'echo here $((20+3))' });
  });

  test('a user whose traits map to no role is refused with that reason and audited', async () => {
    await page.goto(`${web}/sign-in`);
    await page.getByRole('button', { name: label }).click();
    await logInAtProvider(context, 'nobody');
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').textContent()).toContain('nothing it says of you gives you a role');
    expect(await eventually(lastFailure, (row) => row?.code === 'SSO_NO_ROLE')).toMatchObject({
      target: connector,
      source_address: expect.stringMatching(/127\.0\.0\.1|::1/) as string,
    });
  });
});

describe('an answer', () => {
  test('opened in another browser is refused, so nobody can sign another person in', async () => {
    await page.goto(`${web}/sign-in`);
    await page.getByRole('button', { name: 'Example SAML' }).click();
    await page.getByLabel('Name').waitFor();
    const victim = await browser.newContext();
    const theirs = await victim.newPage();
    await theirs.goto(page.url());
    await logInAtProvider(victim, 'bob');
    await theirs.getByRole('alert').waitFor();
    expect(theirs.url()).toContain('refused=LOGIN_ATTEMPT_OVER');
    await victim.close();
  });

  test.each<[string, (xml: string) => string, string]>([
    ['that was altered', (xml) => xml.replace('>bob<', '>root<'), 'altered'],
    ['without signatures', (xml) => xml.replace(/<Signature .*?<\/Signature>/gs, ''), 'not signed'],
    ['that was used before', () => earlier, 'another request'],
  ])('%s is refused, and audited with the reason', async (_, spoil, reason) => {
    saml.spoil = spoil;
    await page.goto(`${web}/sign-in`);
    await page.getByRole('button', { name: 'Example SAML' }).click();
    await logInAtProvider(context, 'bob');
    await page.getByRole('alert').waitFor();
    saml.spoil = (xml) => xml;
    expect(page.url()).toContain('refused=SSO_REFUSED');
    expect((await eventually(lastFailure, (row) => row?.reason.includes(reason))).code).toBe('SSO_REFUSED');
  });
  let earlier = '';
  beforeAll(() => {
    earlier = saml.last;
  });

  test.each([
    ['without state', 'openid?code=x'],
    ['with an unknown state', `openid?code=x&state=${'a'.repeat(43)}`],
    ['with a path as name', '..%2f..%2fv1?state=x'],
    ['to an unknown connector', `none?state=${'a'.repeat(43)}`],
  ])('%s is refused', async (_, path) => {
    const answer = await fetch(`${web}/api/login/callback/${path}`, { redirect: 'manual' });
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toMatch(/^\/sign-in\?refused=(LOGIN_ATTEMPT_OVER|NOT_FOUND|BAD_REQUEST)$/);
  });

  test('that is unsolicited is refused', async () => {
    const answer = await fetch(`${web}/api/login/callback/adfs`, {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({ SAMLResponse: 'PGEvPg==' }),
    });
    expect(answer.headers.get('location')).toBe('/sign-in?refused=LOGIN_ATTEMPT_OVER');
    expect(await eventually(lastFailure, (row) => row?.code === 'LOGIN_ATTEMPT_OVER')).toMatchObject({ target: 'adfs' });
  });

  test('that is unsolicited starts a new login if the connector allows it, and is not trusted itself', async () => {
    await steno.steno('apply', '-f', join(steno.folder, 'documents/portal.yaml'));
    await page.setContent(
      `<form method="post" action="${web}/api/login/callback/portal"><input name="SAMLResponse" value="PGEvPg=="><button>Tile</button></form>`,
    );
    await page.getByRole('button').click();
    await logInAtProvider(context, 'carol');
    await page.getByRole('link', { name: 'carol' }).waitFor();
  });

  test('never redirects elsewhere, even if the login began with a foreign address', async () => {
    for (const next of ['https://evil.example.com/', '//evil.example.com', '/\\evil.example.com']) {
      await page.goto(`${web}/sign-in`);
      const { url } = (await page.evaluate(
        (to) =>
          fetch('/api/login/connectors/adfs', {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ next: to }),
          }).then((answer) => answer.json()),
        next,
      )) as { url: string };
      await page.goto(url);
      await logInAtProvider(context, 'bob');
      await page.getByRole('link', { name: 'bob' }).waitFor();
      expect(new URL(page.url()).origin).toBe(web);
    }
  });
});

test('connectors are resources that do not reveal their secrets', async () => {
  expect((await steno.steno('get', 'oidc')).stdout).toMatch(/^openid +http:\S+ +sre +Example OpenID\n$/);
  const { stdout } = await steno.steno('get', 'oidc', 'openid');
  expect(stdout).toContain('client_id: steno');
  expect(stdout).not.toContain('secret');
  writeFileSync(join(steno.folder, 'documents/again.yaml'), stdout);
  expect((await steno.steno('apply', '-f', join(steno.folder, 'documents/again.yaml'))).stdout).toBe('oidc openid is as it was\n');
  writeFileSync(join(steno.folder, 'documents/wrong.yaml'), stdout.replace('client_id:', 'client_ids:'));
  expect((await steno.steno('apply', '-f', join(steno.folder, 'documents/wrong.yaml'))).stderr).toMatch(
    /wrong\.yaml:\d+:1: client_ids is not a known field; did you mean "client_id"\?/,
  );
  expect((await steno.steno('get', 'saml', 'openid')).stderr).toContain('is of kind oidc');
});

test('signing out also signs out of the provider if the connector says so', async () => {
  await page.goto(`${web}/sign-in`);
  await page.getByRole('button', { name: 'Example OpenID' }).click();
  await logInAtProvider(context, 'ann');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(/\/session\/end/);
  expect(new URL(page.url()).origin).toBe(oidc.issuer);
  expect((await context.cookies(web)).filter(({ name }) => name === 'steno_session')).toEqual([]);
});

test('removing a connector ends its sessions', async () => {
  await page.goto(`${web}/sign-in`);
  await page.getByRole('button', { name: 'Example SAML' }).click();
  await logInAtProvider(context, 'bob');
  await page.getByRole('link', { name: 'bob' }).waitFor();
  expect((await steno.steno('rm', 'saml', 'adfs')).stderr).toBe('');
  await eventually(
    () => page.evaluate(() => fetch('/api/me').then(({ status }) => status)),
    (status) => status === 401,
  );
});
