/**
 * A live session on the page, in Chromium: its viewer pauses, goes back while the session runs, searches its output so far, catches
 * up, and invites a user, who joins by the link and must leave when the invitation is withdrawn.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { accessibilityFaults } from '../../viewer/api/testing/accessible.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { followOnPage, openLiveSession } from './session-page.js';

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
  ({ owner, session } = await openLiveSession(steno, { cols: 100, rows: 28 }));
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(30_000);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await followOnPage(steno, page, session);
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
/** Returns whether the button was there: it disappears when an answer arrives. */
const searchAgain = async (): Promise<boolean> =>
  page
    .locator('.search-again')
    .click({ timeout: 1_000 })
    .then(
      () => true,
      () => false,
    );
const picture = (name: string): Promise<void> => takePicture(page, name);
const accessible = async (): Promise<void> => expect(await accessibilityFaults(page, ['.terminal'])).toEqual([]);

it('can be paused while it runs, shows how far behind it is, and misses nothing', async () => {
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

it('can be searched up to now, hits lead back, and a button searches newer output', async () => {
  await page.locator('#tab-transcript').click();
  await page.fill('.transcript-bar input', 'missed-10');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.hits-bar');
  // The page plays output about a second before it is indexed.
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

it('can be replayed from an earlier moment until playback catches up and is live again', async () => {
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
  // Back while live, play at normal speed, and jump to the end by key.
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

it('a user is invited from it, joins by the link, is listed there, and is removed when the invitation is withdrawn', async () => {
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

it('ends with the session: no more live button, no more invitations', async () => {
  owner.write('exit\r');
  await owner.ended;
  await page.waitForSelector('.live-state', { state: 'detached' });
  await soon(() => page.locator('.actions summary').allInnerTexts()).toEqual(['Verify', 'Export']);
  expect(complaints.filter((line) => !line.includes('404'))).toEqual([]);
});
