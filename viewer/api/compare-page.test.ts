/** Two sessions side by side: the API's answers for different users, and the page in real Chromium. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Comparison } from '#schemas/api/recordings/compare.js';
import type { LineBody } from '#schemas/recording/line.js';
import { buildPage } from './testing/built-page.js';
import { accessibilityFaults } from './testing/accessible.js';
import { headless, watchPage } from './testing/chromium.js';
import { takePicture } from './testing/pictures.js';
import { replayed } from './testing/replayed.js';
import type { Recorded } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
let good: Recorded;
let bad: Recorded;
const complaints: string[] = [];

const picture = (name: string): Promise<void> => takePicture(page, name);

const PROMPT = 'deploy@web-3:~$ ';
const HOSTILE = '<img src=x onerror="document.title=\'owned\'">\u202egnp';
/** Commands three seconds apart, each with its output. */
const lines = (...typed: readonly (readonly [string, string])[]): (readonly [number, LineBody])[] => [
  [10, { code: 'o', data: PROMPT }],
  ...typed.map(([text, output], i) => [1_000 + i * 3_000, { code: 'o', data: `${text}\r\n${output}${PROMPT}` }] as const),
  [1_000 + typed.length * 3_000, { code: 'x', data: '0' }],
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-compare-page-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  const startedAt = Date.now() - 7_200_000;
  good = await replayed(stand, {
    ...{ user: 'alice', startedAt, state: 'sealed' },
    lines: lines(
      ['cd /srv/app', ''],
      ['git pull', 'Already up to date.\r\n'],
      ['make test', 'ok 1\r\nok 2\r\nok 3\r\n'],
      ['systemctl restart app', ''],
      ['curl -s localhost/health', 'status: good\r\nbuild: 7\r\n'],
    ),
  });
  bad = await replayed(stand, {
    ...{ user: 'bob', startedAt: startedAt + 3_600_000, state: 'sealed' },
    lines: lines(
      ['cd /srv/app', ''],
      ['git pull', `Updating 1..2\r\n${HOSTILE}\r\n`],
      ['make deploy', 'deploying\r\n'],
      ['vi config.yml', ''],
      ['systemctl restart app', ''],
      ['curl -s localhost/health', 'status: bad\r\nbuild: 7\r\n'],
    ),
  });
  context = await chromium.launchPersistentContext(join(folder, 'profile'), { ...headless, viewport: { width: 1440, height: 900 } });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
  await page.goto(`${stand.url}/#sign-in=${stand.link('carol', 'all')}`);
  await page.waitForSelector('.row');
}, 120_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

async function compare(a: string, b: string, user: string, view: string): Promise<{ status: number; body: Comparison }> {
  const response = await fetch(`${stand.url}/api/sessions/${a}/compare/${b}`, { headers: { cookie: stand.signIn(user, view) } });
  return { status: response.status, body: (await response.json()) as Comparison };
}

test('commands stand beside each other, and what differs of their output is told', async () => {
  const { status, body } = await compare(good.id, bad.id, 'carol', 'all');
  expect(status).toBe(200);
  expect(body.rows.map(({ kind, left, right, output }) => [kind, left?.text ?? '', right?.text ?? '', output])).toEqual([
    ['same', 'cd /srv/app', 'cd /srv/app', 'same'],
    ['same', 'git pull', 'git pull', 'differs'],
    ['changed', 'make test', 'make deploy', 'differs'],
    ['right', '', 'vi config.yml', 'one'],
    ['same', 'systemctl restart app', 'systemctl restart app', 'same'],
    ['same', 'curl -s localhost/health', 'curl -s localhost/health', 'differs'],
  ]);
  expect(body.rows.at(-1)!.lines).toEqual([
    { side: 'left', text: 'status: good' },
    { side: 'right', text: 'status: bad' },
    { side: 'both', text: 'build: 7' },
  ]);
  expect([body.left.id, body.right.id, body.until]).toEqual([good.id, bad.id, { left: null, right: null }]);
});

test('it takes the right to view both, whichever side the other is on; both are told to the authority', async () => {
  for (const [a, b] of [
    [good.id, bad.id],
    [bad.id, good.id],
  ] as const) {
    const { status, body } = await compare(a, b, 'bob', 'own');
    expect(status).toBe(404);
    expect(JSON.stringify(body)).not.toMatch(/alice|make|git/);
  }
  expect((await compare(good.id, '0'.repeat(26), 'carol', 'all')).status).toBe(404);
  await compare(good.id, bad.id, 'dora', 'all');
  const told = stand.disclosures.flatMap((one) => (one.event === 'recording.view' && one.actor === 'dora' ? [one.session] : []));
  expect(told.sort()).toEqual([good.id, bad.id].sort());
});

const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 60_000 });
const screen = (side: string): Promise<string> => page.locator(`.side[data-side=${side}] .ap-term`).innerText();

test('two are chosen in the list by hand or by keyboard, and lead to their comparison', async () => {
  await page.goto(`${stand.url}/sessions`);
  await page.locator('.compare-choose').click();
  await page.locator('.row-choose', { hasText: 'alice' }).click();
  await soon(() => page.locator('.note[role=status]').innerText()).toBe('Choose the other session.');
  await picture('compare-choose');
  await page.locator('.row-choose', { hasText: 'bob' }).locator('input').focus();
  await page.keyboard.press('Space');
  await page.waitForSelector('.compared-row');
  expect(new URL(page.url()).search).toBe(`?a=${good.id}&b=${bad.id}`);
  await page.goto(`${stand.url}/sessions/${good.id}`);
  await page.locator('.act', { hasText: 'Compare' }).click();
  await page.locator('.row-choose', { hasText: 'bob' }).click();
  await page.waitForSelector('.compared-row');
});

test('differences come first; a row leads each replay to its own moment, and each side has its clock and its keys', async () => {
  await page.goto(`${stand.url}/compare?a=${good.id}&b=${bad.id}`);
  await page.waitForSelector('.side[data-side=right] .player[data-phase=paused]');
  await page.waitForSelector('.compared-row');
  expect(await page.locator('.compared-row').count()).toBe(4);
  await page.locator('.chip', { hasText: 'All' }).click();
  expect(await page.locator('.compared-row').count()).toBe(6);
  await page.locator('.compared-row', { hasText: 'restart app' }).locator('.compared-kind').click();
  await soon(() => screen('left')).toContain('restart app');
  await soon(() => screen('right')).toContain('restart app');
  expect(await screen('left')).not.toContain('vi config');
  await soon(() => page.locator('.side[data-side=left] .time b').innerText()).toBe('0:10');
  await soon(() => page.locator('.side[data-side=right] .time b').innerText()).toBe('0:13');
  await page.locator('.side[data-side=right] .side-clock').click();
  await soon(() => page.locator('.side[data-side=right]').getAttribute('data-active')).toBe('true');
  await page.keyboard.press(']');
  await soon(() => screen('right')).toContain('localhost/health');
  expect(await page.locator('.side[data-side=left] .time b').innerText()).toBe('0:10');
  await picture('compare');
});

test('what was recorded is text on either side', async () => {
  expect(await page.locator('.compared').innerText()).toContain('<img src=x onerror=');
  expect(await page.locator('.compared').innerText()).toContain('\\u{202e}');
  expect(await page.locator('.compared img').count()).toBe(0);
  expect(await page.title()).not.toBe('owned');
});

test.each([
  [1440, 900],
  [390, 844],
])('at %d wide nothing is cut off, and axe finds nothing serious, by day and by night', async (width, height) => {
  await page.setViewportSize({ width, height });
  for (const path of [`/compare?a=${good.id}&b=${bad.id}`, '/sessions?compare=choose', '/compare?a=x']) {
    await page.goto(`${stand.url}${path}`);
    await page.waitForSelector(path.includes('b=') ? '.compared-row' : path.startsWith('/sessions') ? '.row-choose' : '.empty');
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), path).toBe(true);
    expect(await accessibilityFaults(page, ['.terminal'])).toEqual([]);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
});

test('a watermark stands over both replays and what is told of them', async () => {
  stand.role('marked', { view: 'all', watermark: true });
  await page.goto(`${stand.url}/#sign-in=${stand.link('wanda', 'marked')}`);
  await soon(() => page.locator('.who').innerText()).toContain('wanda');
  await page.goto(`${stand.url}/compare?a=${good.id}&b=${bad.id}`);
  await page.waitForSelector('.compared-row');
  await soon(() => page.locator('.side .player > .watermark').count()).toBe(2);
  expect(await page.locator('.marked > .watermark').count()).toBe(1);
});

test('nothing of the recordings ran in the page', () => expect(complaints).toEqual([]));
