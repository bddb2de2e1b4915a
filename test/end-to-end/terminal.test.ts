/**
 * A terminal in the page as its user sees it: Chromium, a whole Steno, and the shell of a node. Colours and sizes work under the
 * page's content security policy, the session is recorded like any other, and locks, roles, a second factor and sign-out apply as
 * for `ssh`.
 */
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Secret, TOTP } from 'otpauth';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { TotpEnrolment } from '#schemas/api/people/account.js';
import type { Invitation } from '#schemas/api/people/users.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { accessibilityFaults } from '../../viewer/api/testing/accessible.js';
import { executablePath, headless, watchPage } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { TestAccount } from './test-account.js';

const password = 'turnip gravel osprey lantern';
const steno = new Steno();
const account = new TestAccount();
let context: BrowserContext;
let page: Page;
let totp: TOTP;
const complaints: string[] = [];
const web = (): string => steno.run.web;
let step = 0;
/** Each code is valid once. */
const code = (): string => totp.generate({ timestamp: Date.now() + 30_000 * step++ });

const roles = (more: string): string => `
kind: role
name: shells
allow: { nodes: { "*": "*" }, logins: ["${account.name}"] }
${more}
`;
async function apply(text: string): Promise<void> {
  const file = join(steno.folder, 'roles.yaml');
  writeFileSync(file, text);
  const { status, stderr } = await steno.steno('apply', '-f', file);
  expect(status, stderr).toBe(0);
}
const post = async <T>(path: string, data: object): Promise<T> => {
  const answer = await context.request.post(`${web()}${path}`, { data, headers: { origin: new URL(web()).origin } });
  expect(answer.status(), await answer.text()).toBe(200);
  return (await answer.json()) as T;
};
const picture = (name: string): Promise<void> => takePicture(page, name);

const accessible = async (): Promise<void> => expect(await accessibilityFaults(page, ['.terminal-screen'])).toEqual([]);

beforeAll(async () => {
  expect(existsSync(executablePath), `${executablePath}: a browser to test with`).toBe(true);
  await steno.start();
  await steno.steno('login', '--data', steno.data);
  await apply(roles(''));
  context = await chromium.launchPersistentContext(join(steno.folder, 'profile'), { ...headless, viewport: { width: 1280, height: 800 } });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
  const { link } = await steno.json<Invitation>('users', 'add', 'alice', '--roles', 'shells');
  const token = link.slice(link.indexOf('#') + 1);
  const { ceremony, secret } = await post<TotpEnrolment>('/api/invitation/totp', { token });
  totp = new TOTP({ secret: Secret.fromBase32(secret) });
  await post('/api/invitation/accept', { token, password, device: { kind: 'totp', ceremony, code: code(), label: 'app' } });
}, 120_000);
afterAll(async () => {
  await context?.close();
  await steno.dispose();
  account.remove();
});

const screen = (): Promise<string> => page.locator('.xterm-rows').innerText();
const shows = (text: RegExp): Promise<void> => expect.poll(screen, { timeout: 60_000 }).toMatch(text);
const state = (kind: string): Promise<unknown> => page.waitForSelector(`.terminal-page[data-state=${kind}]`);
const typed = async (words: string): Promise<void> => {
  await page.keyboard.type(words);
  await page.keyboard.press('Enter');
};
const open = async (login = account.name): Promise<void> => {
  await page.goto('about:blank');
  await page.goto(`${web()}/terminal?node=local&login=${login}`);
};
const ending = async (): Promise<string> => {
  await state('ended');
  return (await page.locator('.terminal-end').innerText()).replace(/\s+/g, ' ');
};
const auditOf = async (event: string): Promise<readonly AuditRow[]> =>
  (await viewerOf(steno).audit({ limit: 200 })).filter((row) => row.event === event);

describe('a terminal in the page', () => {
  let session: string;

  it('opens from the list of nodes and is a shell on the node', async () => {
    await page.goto(`${web()}/nodes`);
    await page.waitForSelector('.node');
    expect((await page.locator('.node').innerText()).replace(/\s+/g, ' ')).toMatch(/local Connected/);
    await picture('nodes');
    await accessible();
    await page.click('.node-go');
    await state('running');
    await typed('echo "from ""the shell"; id -un');
    await shows(/from the shell\s+stt/);
    expect(await screen()).toContain(account.name);
  });

  it('has the size of its box and follows it', async () => {
    await typed('clear; echo size $(stty size)');
    await shows(/size \d+ \d+/);
    const [, rows, cols] = /size (\d+) (\d+)/.exec(await screen())!;
    await page.setViewportSize({ width: 800, height: 500 });
    await expect
      .poll(
        async () => {
          await typed('clear; echo size $(stty size)');
          await shows(/size \d+ \d+/);
          return Number(/size \d+ (\d+)/.exec(await screen())![1]);
        },
        { timeout: 60_000, interval: 500 },
      )
      .toBeLessThan(Number(cols));
    expect(Number(/size (\d+) /.exec(await screen())![1])).toBeLessThan(Number(rows));
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  it('shows colours, and the end of a long output', async () => {
    await typed('clear; printf "\\033[38;2;10;200;30mgre""en\\033[0m\\n"');
    await shows(/green/);
    const colour = page.locator('.xterm-rows span', { hasText: /^green$/ });
    await expect.poll(() => colour.first().evaluate((span) => getComputedStyle(span).color)).toBe('rgb(10, 200, 30)');
    await typed('clear; seq 1 200000; echo the ""end');
    await shows(/200000\s+the end/);
  });

  it('pastes the clipboard in bracketed mode, and copies the selection', async () => {
    await page.evaluate(() => navigator.clipboard.writeText('echo pasted\necho "on one" line'));
    await typed('clear; bind "set enable-bracketed-paste on"');
    await page.click('button:has-text("Paste")');
    await shows(/on one" line/);
    // The shell has run nothing yet, because of bracketed paste.
    expect(await screen()).not.toMatch(/^pasted/m);
    await page.keyboard.press('Enter');
    await shows(/^pasted\s*\non one line/m);
    // The element that receives pointer events is above the drawn rows.
    const line = await page
      .locator('.xterm-rows > div', { hasText: /^pasted/ })
      .first()
      .boundingBox();
    await page.mouse.dblclick(line!.x + 12, line!.y + line!.height / 2);
    await page.click('button:has-text("Copy")');
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('pasted');
    await picture('terminal');
  });

  it('ends with its shell and links to its recording', async () => {
    await page.locator('.terminal-screen').click();
    await typed('exit 3');
    expect(await ending()).toContain('The shell ended with status 3.');
    await picture('ended');
    await accessible();
    const link = (await page.locator('.terminal-end a', { hasText: 'View the recording' }).getAttribute('href'))!;
    session = link.slice('/sessions/'.length);
    const row = await eventually(
      async () => (await viewerOf(steno).sessions({ limit: 20 })).find(({ id }) => id === session),
      (found) => found?.state === 'sealed',
      90_000,
    );
    expect(row).toMatchObject({
      ...{ user: 'alice', node: 'local', login: account.name, kind: 'shell', tty: true, exit_code: 3 },
      ...{ client_version: 'Steno_page', source_address: '127.0.0.1' },
    });
    await page.click('.terminal-end a:has-text("View the recording")');
    await page.waitForSelector('.player[data-phase=paused]');
    await page.locator('.track').focus();
    await page.keyboard.press('End');
    await expect.poll(() => page.locator('.ap-term').innerText(), { timeout: 60_000 }).toContain('on one line');
    expect((await steno.steno('verify', session)).status).toBe(0);
  });

  it('left an audit row for its certificate, and used no inline style', async () => {
    expect((await auditOf('terminal.certify'))[0]).toMatchObject({
      ...{ actor: 'alice', outcome: 'success', node: 'local', login: account.name, source_address: '127.0.0.1' },
    });
    expect(complaints).toEqual([]);
  });

  it('ends with a lock and shows its reason', async () => {
    await open();
    await state('running');
    const lock = await steno.json<Lock>('lock', '--user', 'alice', '--reason', 'stolen laptop');
    expect(await ending()).toMatch(/stolen laptop/);
    await steno.steno('unlock', lock.id);
  });

  it('is refused with a message: another login, an unknown node, a locked node', async () => {
    await open('nobody');
    expect(await ending()).toMatch(/no role of alice allows login nobody on node local/);
    await page.goto(`${web()}/terminal?node=nowhere&login=${account.name}`);
    expect(await ending()).toMatch(/nowhere/);
    const lock = await steno.json<Lock>('lock', '--node', 'local', '--reason', 'being examined');
    await open();
    expect(await ending()).toMatch(/being examined/);
    await steno.steno('unlock', lock.id);
    expect((await auditOf('terminal.certify')).filter(({ outcome }) => outcome === 'failure').map(({ code: why }) => why)).toEqual([
      'LOCKED',
      'NODE_UNKNOWN',
      'ACCESS_DENIED',
    ]);
  });

  it('waits for a second factor if a role asks for one for each session', async () => {
    await apply(roles('require_session_mfa: true'));
    await open();
    await state('confirming');
    await picture('confirming');
    const [other] = await Promise.all([context.waitForEvent('page'), page.click('.terminal-ask a')]);
    await other.waitForSelector('text=Is this session yours?');
    await other.fill('input[name=code]', code());
    await other.click('button.primary:has-text("Confirm")');
    await other.waitForSelector('text=Confirmed');
    await other.close();
    await page.bringToFront();
    await state('running');
    await typed('echo "con""firmed"');
    await shows(/confirmed/);
    await page.click('button:has-text("Close")');
    expect(await ending()).toContain('You closed this terminal.');
    await apply(roles(''));
  });

  describe('if a role lets it wait for its network', () => {
    const waiting = join(mkdtempSync(join(tmpdir(), 'steno-away-')), 'go');
    let id: string;
    /** Blocks every connection that the page opens from now on. */
    const cut = (): Promise<void> => page.evaluate('window.blocked = true; window.sockets.at(-1).close()');
    const restore = (): Promise<void> => page.evaluate("window.blocked = false; window.dispatchEvent(new Event('online'))");

    it('continues with the same shell, without lost output, and without keys that were typed meanwhile', async () => {
      chmodSync(dirname(waiting), 0o755);
      await apply(roles('reconnect: 2m'));
      await page.addInitScript(`{
        window.sockets = [];
        const Real = WebSocket;
        window.WebSocket = class extends Real {
          constructor(...given) {
            super(...given);
            window.sockets.push(this);
            if (window.blocked) this.close();
          }
        };
      }`);
      await open();
      await state('running');
      await typed(`clear; echo "shell ""$$"; until [ -e ${waiting} ]; do sleep 0.1; done; echo "while ""away"`);
      await shows(/shell \d+/);
      const [, shell] = /shell (\d+)/.exec(await screen())!;
      await cut();
      await state('away');
      await picture('away');
      await accessible();
      await typed('echo "typed ""late"');
      await expect.poll(() => page.locator('.terminal-note').innerText()).toContain('Not sent');
      writeFileSync(waiting, '');
      await restore();
      await state('running');
      await shows(/while away/);
      await typed('echo "same ""$$"');
      await shows(new RegExp(`same ${shell!}`));
      expect(await screen()).not.toContain('typed');
    });

    it('has the time of its absence in the audit log and in the recording', async () => {
      const rows = await eventually(
        () => auditOf('terminal.resumed'),
        (found) => found.length > 0,
      );
      id = rows[0]!.session;
      expect(rows[0]).toMatchObject({
        actor: 'alice',
        outcome: 'success',
        node: 'local',
        login: account.name,
        source_address: '127.0.0.1',
      });
      expect(await auditOf('terminal.lost')).toMatchObject([{ actor: 'alice', session: id }]);
      await page.locator('.terminal-screen').click();
      await typed('exit');
      await state('ended');
      // The page knows of the end before the recording is stored.
      const marks = await eventually(
        async () => {
          const { stdout } = await steno.steno('export', id, '--format', 'cast');
          return stdout.split('\n').flatMap((line) => /^\[[^,]+, ?"m", ?"(.*)"\]$/.exec(line)?.[1] ?? []);
        },
        (found) => found.length > 1,
      );
      expect(marks).toEqual([
        expect.stringMatching(/^alice: network lost, waits 120 s$/),
        expect.stringMatching(/^alice: network back after \d+ s$/),
      ]);
    });

    it('can be ended while it is away, and shows the reason once it is back', async () => {
      await open();
      await state('running');
      const { id: live } = await eventually(
        () => viewerOf(steno).sessions({ state: 'live' }),
        (rows) => rows.length === 1,
      ).then(([row]) => row!);
      await cut();
      await state('away');
      expect((await steno.steno('sessions', 'end', live, '--reason', 'left running')).status).toBe(0);
      await eventually(
        () => auditOf('session.ended'),
        (rows) => rows.some(({ session: ended }) => ended === live),
      );
      await restore();
      expect(await ending()).toMatch(/left running/);
    });

    it('is refused with the reason of a lock that was set while it was away', async () => {
      await open();
      await state('running');
      await cut();
      await state('away');
      const lock = await steno.json<Lock>('lock', '--user', 'alice', '--reason', 'laptop left on a train');
      await eventually(
        () => viewerOf(steno).sessions({ state: 'live' }),
        (rows) => rows.length === 0,
      );
      await restore();
      expect(await ending()).toMatch(/laptop left on a train/);
      // It does not try again after that.
      const tried = await page.evaluate<number>('window.sockets.length');
      await restore();
      expect(await page.evaluate<number>('window.sockets.length')).toBe(tried);
      await steno.steno('unlock', lock.id);
    });

    it('ends with its network once the role no longer lets it wait', async () => {
      await open();
      await state('running');
      await apply(roles(''));
      await typed('echo "to ""end"');
      await shows(/to end/);
      await expect
        .poll(async () => {
          const { kind } = await page.evaluate<{ kind: string }>("({ kind: document.querySelector('.terminal-page').dataset.state })");
          if (kind === 'running') await cut();
          else if (kind === 'away') await restore();
          return kind;
        })
        .toBe('ended');
    });
  });

  it('ends when its user signs out in another tab', async () => {
    await open();
    await state('running');
    await post('/api/sign-out', {});
    expect(await ending()).toMatch(/signed/i);
  });
});

describe('the WebSocket of terminals', () => {
  const dial = (headers: Record<string, string>): Promise<number | string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`${web().replace('http', 'ws')}/api/terminal`, { headers });
      socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode ?? 0));
      socket.on('message', (data: Buffer) => resolve(data.toString('latin1')));
      socket.on('error', () => undefined);
    });
  const signedIn = async (): Promise<string> => {
    const { link } = await steno.json<{ link: string }>('login', '--data', steno.data, '--web');
    const token = link.slice(link.indexOf('=') + 1);
    const answer = await fetch(`${web()}/api/sign-in`, {
      method: 'POST',
      headers: { origin: new URL(web()).origin, 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    return answer.headers.get('set-cookie')!.split(';')[0]!;
  };

  it('accepts only signed-in users on pages of this origin', async () => {
    const { origin } = new URL(web());
    const cookie = await signedIn();
    expect(await dial({ origin })).toBe(401);
    expect(await dial({ cookie, origin: 'http://elsewhere.invalid' })).toBe(403);
    expect(await dial({ cookie, origin })).toMatch(/^SSH-2\.0-/);
  });

  it('issues certificates only for logins of the user’s roles, and none without a user', async () => {
    const { origin } = new URL(web());
    const ask = (headers: Record<string, string>): Promise<number> =>
      fetch(`${web()}/api/terminal/certificate`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ public_key: formatPublicLine(generateKey().publicBlob), node: 'local', login: account.name }),
      }).then(({ status }) => status);
    const cookie = await signedIn();
    expect(await ask({ origin })).toBe(401);
    expect(await ask({ cookie, origin: 'http://elsewhere.invalid' })).toBe(403);
    expect(await ask({ cookie, origin })).toBe(200);
  });
});
