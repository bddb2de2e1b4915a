/**
 * A live session on the page, in Chromium: its viewer pauses, goes back while it runs, searches what was shown so far, catches up, and
 * invites somebody, who joins by the link and leaves when the invitation is withdrawn.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';

const pictures = process.env['STENO_TEST_PICTURES'];
const steno = new Steno();
const complaints: string[] = [];
let bob: Person;
let owner: Terminal;
let session: SessionInfo;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const path = join(steno.folder, 'roles.yaml');
  for (const document of [
    { kind: 'role', name: 'stranger', view: 'none' },
    { kind: 'role', name: 'inviter', allow: { sessions: [{ actions: ['list', 'invite'], modes: ['observer', 'peer'], of: 'own' }] } },
  ]) {
    writeFileSync(path, JSON.stringify(document));
    await must(steno.steno('apply', '-f', path));
  }
  await must(steno.steno('users', 'edit', steno.login, '--roles', 'admin,inviter'));
  await must(steno.steno('login', '--data', steno.data));
  const ca = await openAuthorities(steno);
  await must(steno.steno('users', 'add', 'bob', '--roles', 'stranger'));
  bob = await person(steno, ca, 'bob', ['stranger'], ['nobody']);
  owner = steno.terminal('ssh', ['-F', steno.config, '-tt', `${steno.login}@local.steno`], { cols: 100, rows: 28 });
  await owner.until(/[$#] $/);
  [session] = (await eventually(
    () => steno.json<SessionInfo[]>('sessions', '--live'),
    (rows) => rows.length === 1 && rows[0]!.live !== undefined,
  )) as [SessionInfo];
  const { stdout } = await steno.steno('login', '--web', '--data', steno.data);
  const link = new URL(/http\S+#sign-in=[A-Za-z0-9_-]{40,}/.exec(stdout)![0]);
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(30_000);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(link.href);
  await page.getByText('Sign out').waitFor();
  await page.goto(`${link.origin}/sessions/${session.id}`);
  await page.waitForSelector('.live-button.following');
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
}, 60_000);

const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 45_000 });
const screen = (): Promise<string> => page.locator('.ap-term').innerText();
const shows = (text: string): Promise<void> => soon(screen).toContain(text);
const positionMs = async (): Promise<number> => {
  const [minutes, seconds] = (await page.locator('.time b').innerText()).split(':').map(Number) as [number, number];
  return (minutes * 60 + seconds) * 1000;
};
const behind = async (): Promise<number> => Number((await page.locator('.live-state').getAttribute('data-behind')) ?? -1);
const run = async (words: string, until: RegExp): Promise<void> => {
  owner.write(`${words}\r`);
  await owner.until(until);
};
/** Whether there was something to search again: the button goes when an answer comes. */
const searchAgain = async (): Promise<boolean> =>
  page
    .locator('.search-again')
    .click({ timeout: 1_000 })
    .then(
      () => true,
      () => false,
    );
async function picture(name: string): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  for (const width of [1440, 1024, 390])
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`) });
    }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize({ width: 1440, height: 900 });
}
async function accessible(): Promise<void> {
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate<AxeResults>(`axe.run({ exclude: ['.terminal'] })`);
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    expect(serious.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 200))])).toEqual([]);
  }
}

it('is paused while it runs, says how far behind it is, and misses nothing', async () => {
  await run('PS1="$ "; clear; echo begin-$((1 + 1))', /begin-2/);
  await shows('begin-2');
  await page.keyboard.press('k');
  await page.waitForSelector('.player[data-phase=paused]');
  for (let i = 1; i <= 6; i++) await run(`sleep 1; echo missed-$((${i} + 100))`, new RegExp(`missed-${i + 100}`));
  await soon(behind).toBeGreaterThan(3);
  expect(await screen()).not.toContain('missed-10');
  expect(await page.locator('.behind').innerText()).toMatch(/^\d+ s behind$/);
  expect(await page.locator('.live-button').innerText()).toBe('Go live');
  await picture('live-behind');
  await accessible();
});

it('is searched so far, hits lead back, and what came since is searched by hand', async () => {
  await page.locator('#tab-transcript').click();
  await page.fill('.transcript-bar input', 'missed-10');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.hits-bar');
  // What the page plays is a second ahead of what the index knows.
  const hits = async (): Promise<number> => Number(/of (\d+)/.exec(await page.locator('.hits-bar').innerText())?.[1] ?? 0);
  await soon(async () => {
    const found = await hits();
    if (found < 5) await run('echo more', /more/);
    if (found < 5) await searchAgain();
    return found;
  }).toBeGreaterThanOrEqual(5);
  await page.locator('.hits-bar button', { hasText: 'Next' }).click();
  await shows('missed-10');
  expect(await page.locator('.player').getAttribute('data-phase')).toBe('paused');
  // Less than a second beyond the last search is not worth another.
  await run('sleep 1; echo missed-$((100 + 9))', /missed-109/);
  await page.waitForSelector('.search-again');
  const before = await hits();
  await soon(async () => {
    if (!(await searchAgain())) await run('echo more', /more/);
    return hits();
  }).toBeGreaterThan(before);
  await picture('live-search');
  await accessible();
});

it('is gone back in, played from there, caught up with, and then live again', async () => {
  await page.locator('.track').focus();
  await page.keyboard.press('Home');
  await soon(positionMs).toBe(0);
  await soon(behind).toBeGreaterThan(5);
  expect(await screen()).not.toContain('begin-2');
  await page.keyboard.press('c');
  await soon(() => page.locator('.speed select').inputValue()).toBe('4');
  await page.waitForSelector('.live-button.following');
  await shows('missed-109');
  await run('echo after-$((3 + 4))', /after-7/);
  await shows('after-7');
  // Back while it is live, at its own speed, and to its end by the key.
  await page.keyboard.press('ArrowLeft');
  await page.waitForSelector('.live-button:not(.following)');
  expect(await page.locator('.speed select').inputValue()).toBe('1');
  await page.locator('.track').focus();
  await page.keyboard.press('End');
  await page.waitForSelector('.live-button.following');
  await shows('after-7');
  await page.keyboard.press(',');
  await page.waitForSelector('.player[data-phase=paused]');
  await page.keyboard.press('l');
  await page.waitForSelector('.live-button.following');
});

it('somebody is invited from it, joins by the link, is seen there, and is out when that is withdrawn', async () => {
  await page.locator('.actions summary', { hasText: 'Invite' }).click();
  await page.fill('.invite input[name=user]', 'nobody-there');
  await page.fill('.invite input[name=reason]', 'look at the index');
  await page.selectOption('.invite select[name=mode]', 'peer');
  await page.click('.invite button:has-text("Invite")');
  await soon(() => page.locator('.invite .failure').innerText()).toMatch(/nobody-there/i);
  await page.fill('.invite input[name=user]', 'bob');
  await picture('live-invite');
  await accessible();
  await page.click('.invite button:has-text("Invite")');
  await page.waitForSelector('.invite-made');
  const link = await page.locator('.invite-made code').innerText();
  expect(link).toMatch(/\/join\/i-[0-9a-z]{16}$/);
  await soon(() => page.locator('.invited li').innerText()).toMatch(/bob to watch and type, by .*not yet here/);
  await picture('live-invited');
  await accessible();
  const joined = steno.terminal(process.execPath, [bin, 'join', link], undefined, { STENO_HOME: bob.home });
  await joined.until(/you type into/);
  await owner.until(/bob joined this session as peer, invited by .*: look at the index/);
  await soon(() => page.locator('.session-head .person').allInnerTexts()).toEqual(['bob typing']);
  await soon(() => page.locator('.invited-state').innerText()).toBe('has come');
  await page.click('.invited button:has-text("Withdraw")');
  await joined.until(/SESSION_INVITATION_OVER/);
  expect(await joined.ended).not.toBe(0);
  await owner.until(/bob left this session/);
  await soon(() => page.locator('.invited li').count()).toBe(0);
  const rows = await viewerOf(steno).audit();
  for (const event of ['session_invitation.create', 'session_invitation.revoke'])
    expect(rows.find((row) => row.event === event && row.outcome === 'success')).toMatchObject({ session: session.id });
});

it('ends with it: no more to go live to, nor to invite into', async () => {
  owner.write('exit\r');
  await owner.ended;
  await page.waitForSelector('.live-state', { state: 'detached' });
  await soon(() => page.locator('.actions summary').allInnerTexts()).toEqual(['Verify', 'Export']);
  expect(complaints.filter((line) => !line.includes('404'))).toEqual([]);
});
