/** Two people handle an incident in real Chromium: notes beside a replay, a case, its moments presented, and a second person to close it. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleAuditRow, exampleFindingRow } from '#stores/events/examples.js';
import { Cleanup } from '../../authority/testing/authority.js';
import type { Enrolled } from '../../authority/testing/people.js';
import { buildPage } from '../../viewer/api/testing/built-page.js';
import { headless, watchPage } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { record } from '../../viewer/api/testing/recorded.js';
import type { Recorded } from '../../viewer/api/testing/recorded.js';
import { openScene } from './scene.js';
import type { Scene } from './scene.js';

const cleanup = new Cleanup();
const hostile = '<img src=x onerror=alert(1)>\u202e';
let scene: Scene;
let browser: Browser;
let ann: Page;
let ben: Page;
let shell: Recorded;
const complaints: string[] = [];

async function pageOf({ session }: Enrolled): Promise<Page> {
  const context: BrowserContext = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addCookies([{ name: 'steno_session', value: session, url: scene.url, httpOnly: true, sameSite: 'Strict' }]);
  const page = await context.newPage();
  watchPage(page, complaints);
  return page;
}

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'steno-cases-'));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  await buildPage(join(folder, 'web'));
  scene = await openScene(cleanup, join(folder, 'web'));
  const rules = [
    { resources: ['case', 'note', 'finding', 'search'], verbs: ['read', 'create', 'update'] },
    { resources: ['rule'], verbs: ['list'] },
  ];
  await scene.role('responder', { view: 'all', allow: { rules } });
  const [first, second] = [await scene.enrol('ann', 'responder'), await scene.enrol('ben', 'responder')];
  const at = Date.now() - 3_600_000;
  const typed = (second_: number, text: string) => [second_ * 1000, { code: 'o', data: text }] as const;
  shell = await record(scene.stores, {
    ...{ user: 'alice', node: 'web-3', login: 'deploy', startedAt: at, state: 'sealed', cols: 100, rows: 24 },
    lines: [
      typed(0, '\x1b[1;32mdeploy@web-3\x1b[0m:~$ sudo -i\r\n'),
      typed(20, '\x1b[1;31mroot@web-3\x1b[0m:~# cat /etc/shadow\r\n'),
      typed(21, 'root:$y$j9T$abcdefgh:19000:0:99999:7:::\r\n\x1b[7mdaemon\x1b[0m:*:19000:0:99999:7:::\r\n'),
      typed(60, '\x1b[1;31mroot@web-3\x1b[0m:~# exit\r\n'),
      typed(70, `echo '${'<script>alert(1)</script>'}'\r\n`),
    ],
  });
  await record(scene.stores, {
    ...{ user: 'alice', node: 'db-1', login: 'postgres', startedAt: at + 120_000, state: 'sealed', command: 'pg_dump shop' },
    lines: [typed(0, 'dumping\r\n'), typed(5, 'done\r\n')],
  });
  await scene.stores.events.insert(
    'findings',
    [
      exampleFindingRow({
        ...{ id: 'f1', session: shell.id, user: 'alice', node: 'web-3', login: 'deploy', at: at + 20_500, offset_ms: 20_500 },
        data: JSON.stringify({ title: 'Shadow File Read', reason: `cat (pid 4711) read /etc/shadow ${hostile}`, tier: 'alert' }),
      }),
    ],
    'findings',
  );
  browser = await chromium.launch(headless);
  [ann, ben] = [await pageOf(first), await pageOf(second)];
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await cleanup.run();
});

test('without cases, the page explains what a case is', async () => {
  await ann.goto(`${scene.url}/cases`);
  await ann.getByText('No cases to work on').waitFor();
  await takePicture(ann, 'cases-none');
});

test('a note is attached to the moment on the screen, and its mark on the timeline leads back there', async () => {
  await ann.goto(`${scene.url}/sessions/${shell.id}?t=21000`);
  await expect.poll(() => ann.locator('.ap-term').innerText()).toContain('cat /etc/shadow');
  await ann.getByLabel('A note on this moment').fill(`reads the hashes ${hostile}`);
  await ann.getByRole('button', { name: 'Write at 0:21' }).click();
  await ann.locator('.notes-list li').waitFor();
  await ann.getByRole('button', { name: 'Bookmark' }).click();
  await expect.poll(() => ann.locator('.notes-list li').count()).toBe(2);
  expect(await ann.locator('.notes-list').innerText()).toContain('<img src=x onerror=alert(1)>');
  await ann.goto(`${scene.url}/sessions/${shell.id}`);
  await ann.locator('.notes-list .note-at').first().click();
  await expect.poll(() => ann.locator('.ap-term').innerText()).toContain('root:$y$');
  expect(await ann.locator('.marker-note').count()).toBe(2);
  await takePicture(ann, 'session-notes');
});

test('a case is opened from a moment, and findings and searches are added to it', async () => {
  await ann.getByRole('button', { name: 'Add this moment to a case' }).click();
  await ann.getByLabel('Title of a new case').fill('Shadow file read on web-3');
  await ann.locator('.case-choice-new').getByRole('button', { name: 'Open' }).click();
  await ann.getByRole('link', { name: 'Open the case' }).waitFor();
  await ann.goto(`${scene.url}/findings`);
  await ann.getByRole('button', { name: 'Add to a case' }).click();
  await takePicture(ann, 'findings-choice');
  await ann.locator('.case-choice', { hasText: 'Shadow file read' }).click();
  await ann.getByRole('link', { name: 'Open the case' }).click();
  await expect.poll(() => ann.locator('.entry-finding').innerText()).toContain('Shadow File Read');
  expect(await ann.locator('.entry').count()).toBe(5);
  expect(await ann.locator('.case-timeline').innerText()).toContain('<img src=x onerror=alert(1)>');
  await takePicture(ann, 'case-open');
});

test('its moments are shown one after another', async () => {
  await ann.getByRole('link', { name: 'Present' }).click();
  await ann.getByText('1 of 4').waitFor();
  await ann.keyboard.press('PageDown');
  await ann.getByText('2 of 4').waitFor();
  await expect.poll(() => ann.locator('.ap-term').innerText()).toContain('cat /etc/shadow');
  await takePicture(ann, 'case-present');
  await ann.getByRole('button', { name: 'Next' }).click();
  await ann.getByText('3 of 4').waitFor();
  await ann.locator('.crumb a').click();
});

test('the person who asks to close it cannot sign; another person can, and then nothing more can be added', async () => {
  await ann.getByRole('button', { name: 'Take it on' }).click();
  await ann.getByText('assigned to ann').waitFor();
  await ann.getByRole('button', { name: 'Ask to close' }).click();
  await ann.getByRole('textbox').fill('Passwords rotated; alice was on call.');
  await ann.getByRole('button', { name: 'Ask to close' }).click();
  await ann.getByText('Somebody else signs what you asked to close.').waitFor();
  expect(await ann.getByRole('button', { name: 'Sign off' }).isDisabled()).toBe(true);
  await ben.goto(`${scene.url}/cases?state=closing`);
  await takePicture(ben, 'cases-list');
  await ben.locator('.case-row').click();
  await ben.getByRole('button', { name: 'Sign off' }).click();
  await ben.getByText('Signed off by ben').waitFor();
  expect(await ben.locator('.case-state').innerText()).toBe('closed');
  expect(await ben.getByRole('button', { name: 'Take out of the case' }).count()).toBe(0);
  await takePicture(ben, 'case-closed');
});

test('a search is saved with a schedule and shared; another user sees its owner, opens it and cannot delete it', async () => {
  await ann.goto(`${scene.url}/search?q=shadow`);
  await ann.getByRole('button', { name: 'Save this search' }).click();
  await ann.getByLabel('Name of the search').fill(`reads ${hostile}`.slice(0, 30));
  await ann.getByLabel('Schedule').selectOption('900000');
  await ann.getByLabel('Let others see it').check();
  await takePicture(ann, 'search-save');
  await ann.locator('.save-search').getByRole('button', { name: 'Save' }).click();
  await ann.getByText('Saved.').waitFor();
  await ben.goto(`${scene.url}/search`);
  const row = ben.locator('.saved-searches li');
  await row.getByText('every 15 min').waitFor();
  expect(await row.innerText()).toContain('shared by ann');
  expect(await row.getByRole('button').count()).toBe(0);
  await takePicture(ben, 'search-saved');
  await row.getByRole('link').click();
  await ben.waitForURL(/q=shadow$/);
  await ann.goto(`${scene.url}/search`);
  await ann
    .locator('.saved-searches')
    .getByRole('button', { name: /^Delete/ })
    .click();
  await ann.locator('.saved-searches').waitFor({ state: 'detached' });
});

test('the page lists the viewers of each session, with counts of views and exports', async () => {
  const row = (n: number, more: object) =>
    exampleAuditRow({
      id: `seen-${n}`,
      at: Date.now() + n,
      event: 'recording.view',
      actor: 'vera',
      session: shell.id,
      node: 'web-3',
      login: 'deploy',
      ...more,
    });
  await scene.stores.events.insert(
    'audit',
    [row(1, {}), row(2, { event: 'recording.export' }), row(3, { actor: hostile, outcome: 'failure' })],
    'seen',
  );
  await ann.goto(`${scene.url}/audit`);
  await ann.getByRole('link', { name: 'Who viewed what' }).click();
  await ann.waitForURL(/\/audit\/views$/);
  const vera = ann.locator('tr', { hasText: 'vera' });
  await vera.waitFor();
  expect((await vera.innerText()).split(/\s+/)).toEqual(expect.arrayContaining(['vera', '2', '1']));
  await takePicture(ann, 'views');
  await ann.locator('select').first().selectOption('viewer');
  await ann.locator('th[scope=rowgroup]', { hasText: 'vera' }).waitFor();
  await ann.locator('tr', { hasText: 'vera' }).getByRole('link', { name: 'deploy@web-3' }).click();
  await ann.waitForURL(new RegExp(`/sessions/${shell.id}$`));
});

test('the rules page opens from its address, and says when no analyzer has reported yet', async () => {
  await ann.goto(`${scene.url}/rules`);
  await ann.getByText('No rules reported yet').waitFor();
});

test('the page downloads a picture of the moment on the screen', async () => {
  await ann.goto(`${scene.url}/sessions/${shell.id}?t=21500`);
  await ann.locator('.timeline, .player').first().waitFor();
  await ann.locator('.below').waitFor();
  await ann.locator('summary', { hasText: 'Export' }).click();
  const [download] = await Promise.all([ann.waitForEvent('download'), ann.getByRole('link', { name: /^Picture with text/ }).click()]);
  expect(download.suggestedFilename()).toBe(`${shell.id}.svg`);
  const svg = await readFile((await download.path())!, 'utf8');
  expect(svg).toContain('cat /etc/shadow');
  expect(svg).not.toContain('exit');
});

test('recordings and notes are shown as text: no script runs, and the console has no errors', () => {
  expect(complaints).toEqual([]);
});
