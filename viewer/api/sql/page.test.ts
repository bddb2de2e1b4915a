/**
 * The SQL page in real Chromium: an auditor runs a query of the pack, charts it, downloads it, cancels one, and sees refusals. Also the
 * list of viewers on a session's page.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleAuditRow } from '#stores/events/examples.js';
import { buildPage } from '../testing/built-page.js';
import { executablePath, headless, watchPage } from '../testing/chromium.js';
import { takePicture } from '../testing/pictures.js';
import { record } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let folder: string;
let stand: Stand;
/** A session that bob viewed twice and ann once. */
let looked = '';
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];
const WAIT = 60_000;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-sql-page-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  const now = Date.now();
  for (let n = 0; n < 24; n += 1) {
    const { id } = await record(stand, {
      user: ['alice', 'bob', 'carol <b>x</b>'][n % 3]!,
      node: ['web-1', 'web-2', 'db-1', 'cache-1'][n % 4]!,
      login: n % 2 === 0 ? 'root' : 'deploy',
      startedAt: now - n * 9 * 3_600_000,
      state: 'sealed',
      lines: [[0, { code: 'o', data: 'x\r\n' }]],
      screen: [{ text: 'line', offset_ms: 1 }],
    });
    looked = id;
  }
  await stand.events.insert(
    'audit',
    ['bob', 'bob', 'ann'].map((actor, i) =>
      exampleAuditRow({ id: `v${i}`, at: now - i * 60_000, event: 'recording.view', actor, session: looked }),
    ),
    'views',
  );
  stand.role('auditor', {
    view: 'all',
    allow: {
      rules: [
        { resources: ['sql'], verbs: ['read'] },
        { resources: ['search'], verbs: ['create', 'update'] },
      ],
    },
  });
  const browser = await chromium.launch({ ...headless, executablePath });
  context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true });
  page = await context.newPage();
  watchPage(page, complaints);
  await page.goto(`${stand.url}/#sign-in=${stand.link('ann', 'auditor')}`);
  await page.getByRole('link', { name: 'SQL', exact: true }).click();
}, 300_000);
afterAll(async () => {
  await context.browser()?.close();
  await stand.close();
  await rm(folder, { recursive: true, force: true });
});

const editor = () => page.getByRole('textbox', { name: 'Query' });
const run = () => page.getByRole('button', { name: 'Run' }).click();

test('runs a query that comes with Steno, says what it proves, and shows the hash that the audit log has', async () => {
  await page.getByRole('button', { name: 'Who reached what' }).click();
  await page.getByText('Every session that began in the period').waitFor();
  await run();
  await page.getByText('24 rows').waitFor();
  const hash = /sha256 ([0-9a-f]{64})/.exec(await page.locator('.sql-answer .command').innerText())?.[1];
  expect(stand.disclosures.at(-1)).toMatchObject({ event: 'recording.query', actor: 'ann', rows: 24, hash });
  // Recorded text is rendered as text.
  expect(await page.locator('.sql-rows b').count()).toBe(0);
  expect(await page.locator('.sql-rows').innerText()).toContain('carol <b>x</b>');
  expect(new URL(page.url()).searchParams.get('pack')).toBe('cc6.1-sessions');
  await takePicture(page, 'sql-pack');
}, 120_000);

test('keeps a query under a name, opens it again, and deletes it', async () => {
  const sql = 'SELECT user,\n  count()\nFROM sessions GROUP BY user ORDER BY user';
  await editor().fill(sql);
  await page.getByRole('button', { name: 'Save this query' }).click();
  await page.getByRole('textbox', { name: 'Name of the query' }).fill('who <b>works</b>');
  await page.getByRole('checkbox', { name: 'Let others see it' }).check();
  expect(await page.getByRole('combobox', { name: 'Schedule' }).count(), 'SQL has none').toBe(0);
  await takePicture(page, 'sql-saving');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  const saved = page.locator('.sql-saved li');
  await saved.waitFor();
  expect(await saved.innerText()).toContain('who <b>works</b>');
  await editor().fill('SELECT 1');
  await saved.getByRole('button').first().click();
  await expect.poll(() => editor().inputValue(), { timeout: WAIT }).toBe(sql);
  await takePicture(page, 'sql-saved');
  await saved.hover();
  await saved.getByRole('button', { name: 'Delete who <b>works</b>' }).click();
  await expect.poll(() => saved.count(), { timeout: WAIT }).toBe(0);
}, 120_000);

test('draws the answer', async () => {
  await editor().fill('SELECT user, count() AS sessions FROM sessions GROUP BY user ORDER BY sessions DESC, user');
  await run();
  await page.getByText('3 rows').waitFor();
  await page.getByRole('button', { name: 'Chart' }).click();
  expect(await page.locator('.sql-chart .bar').count()).toBe(3);
  await takePicture(page, 'sql-chart');
  await editor().fill('SELECT toDate(started_at) AS day, count() AS sessions FROM sessions GROUP BY day ORDER BY day');
  await page.keyboard.press('Control+Enter');
  await page.getByRole('columnheader', { name: 'day' }).waitFor();
  await page.getByRole('button', { name: 'Chart' }).click();
  await page.locator('.sql-chart .line').waitFor();
}, 120_000);

test('gives the answer as CSV, JSON and Parquet', async () => {
  await editor().fill("SELECT '=1+1' AS cell FROM sessions LIMIT 1");
  await run();
  await page.getByText('1 row', { exact: true }).waitFor();
  const file = async (name: string): Promise<Buffer> => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name, exact: true }).click()]);
    return readFile(await download.path());
  };
  expect((await file('CSV')).toString()).toBe("cell\r\n'=1+1\r\n");
  expect(JSON.parse((await file('JSON')).toString())).toEqual([{ cell: '=1+1' }]);
  expect((await file('Parquet')).subarray(0, 4).toString()).toBe('PAR1');
}, 120_000);

test('picks a sample again by the seed in its address', async () => {
  await editor().fill('SELECT session FROM sessions');
  await page.getByLabel('Sample size').fill('5');
  await run();
  await page.getByText('of 24, seed').waitFor();
  const rows = await page.locator('.sql-rows tbody').innerText();
  await page.reload();
  await run();
  await page.getByText('of 24, seed').waitFor();
  expect(await page.locator('.sql-rows tbody').innerText()).toBe(rows);
  await page.getByLabel('Sample size').fill('');
}, 120_000);

test('says what is refused, and cancels', async () => {
  await editor().fill("SELECT * FROM url('http://127.0.0.1/', 'TSV', 'a String')");
  await run();
  await page.getByRole('alert').filter({ hasText: 'table function url' }).waitFor();
  await takePicture(page, 'sql-refused');
  await editor().fill(
    'WITH n AS (SELECT arrayJoin(range(30000)) AS i FROM (SELECT session FROM sessions LIMIT 1)) SELECT count() FROM n AS a, n AS b, n AS c, n AS d WHERE a.i + b.i + c.i + d.i = 77777777',
  );
  await run();
  // The page shows progress before the server has the query. A request that never arrived is told of nowhere.
  await page.locator('.sql-progress').filter({ hasText: '1 s' }).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Run' }).waitFor();
  const cancelled = (): boolean => stand.disclosures.some(({ code }) => code === 'QUERY_CANCELLED');
  while (!cancelled()) await new Promise((resolve) => setTimeout(resolve, 20));
}, 240_000);

test('the page of a session says who looked at it, and leads to each time', async () => {
  await page.goto(`${stand.url}/sessions/${looked}`);
  const viewed = page.getByRole('region', { name: 'Viewed by' });
  await viewed.getByText('bob').waitFor();
  expect(await viewed.locator('li').allInnerTexts()).toEqual([expect.stringMatching(/^bob ×2/), expect.stringMatching(/^ann/)]);
  await takePicture(page, 'viewed-by');
  await viewed.getByRole('link', { name: 'Each time' }).click();
  await page.locator('.audit tbody tr').first().waitFor();
  expect(await page.locator('.audit tbody tr').count()).toBe(3);
}, 120_000);

test('who may not run SQL has no way there, and nothing went wrong on the page', async () => {
  const other = await context.browser()!.newPage();
  await other.goto(`${stand.url}/#sign-in=${stand.link('bob', 'all')}`);
  await other.getByRole('link', { name: 'Audit' }).waitFor({ timeout: WAIT });
  expect(await other.getByRole('link', { name: 'SQL', exact: true }).count()).toBe(0);
  await other.close();
  // The browser itself logs requests that the server refuses.
  expect(complaints.filter((text) => !text.startsWith('Failed to load resource'))).toEqual([]);
}, 120_000);
