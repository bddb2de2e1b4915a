/** The page "Findings" in real Chromium, against real stores. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleAuditRow, exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { buildPage } from '../testing/built-page.js';
import { headless, watchPage } from '../testing/chromium.js';
import { takePicture } from '../testing/pictures.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let folder: string;
let stand: Stand;
let browser: Browser;
let page: Page;
let recorded: Recorded;
const complaints: string[] = [];
const hostile = '<img src=x onerror=alert(1)>\u202e';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-findings-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  stand.role('analyst', { view: 'all', allow: { rules: [{ resources: ['finding'], verbs: ['read', 'update'] }] } });
  const lines = Array.from({ length: 60 }, (_, second) => [second * 1000, { code: 'o', data: `second ${second}\r\n` }] as const);
  recorded = await record(stand, { user: 'alice', node: 'web-3', startedAt: Date.now() - 3_600_000, state: 'sealed', lines });
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  watchPage(page, complaints);
  await page.goto(`${stand.url}/findings#sign-in=${stand.link('root', 'analyst')}`);
}, 240_000);

afterAll(async () => {
  await browser?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

test('while there are none, it says what will be here', async () => {
  await page.getByText('No findings yet').waitFor();
  expect(await page.locator('.empty').innerText()).toContain('steno rules add');
});

test('a finding says what, why, who, where and when; its evidence opens the replay at the moment', async () => {
  const session = recorded.id;
  const evidence = [0, 1].map((index) => `${session}:kernel:agent/web-3:1.${index}`);
  const shown = (id: string, more: object, data: object) =>
    exampleFindingRow({ id, session, at: Date.now() - 60_000, offset_ms: 41_000, evidence, data: JSON.stringify(data), ...more });
  await stand.events.insert(
    'events',
    [0, 1].map((index) =>
      exampleEventRow({
        ...{ session, source: 'kernel', emitter: 'agent/web-3', block: 1, index, offset_ms: 40_000 + index * 1000, kind: 'exec' },
        name: index === 0 ? 'sudo -i' : 'cat /etc/shadow',
        path: index === 0 ? '/usr/bin/sudo' : '/usr/bin/cat',
      }),
    ),
    'evidence',
  );
  await stand.events.insert(
    'findings',
    [
      shown(
        'f1',
        {},
        { title: 'Shadow file read', reason: 'cat (pid 4711) read /etc/shadow as root', advice: 'Ask alice why; rotate passwords.' },
      ),
      shown(
        'f2',
        { severity: 'critical', at: Date.now() - 90_000, techniques: ['T1059.004', 'T1071'] },
        { title: 'Reverse shell', reason: hostile },
      ),
      shown(
        'f3',
        { severity: 'low', at: Date.now() - 120_000, techniques: [] },
        { title: 'First use of tcpdump', reason: 'third person ever to run tcpdump on nodes with env=prod; alice never did' },
      ),
    ],
    'findings',
  );
  const first = page.locator('.finding').first();
  await first.waitFor();
  const text = await first.innerText();
  for (const part of ['high', 'Shadow file read', 'cat (pid 4711) read /etc/shadow', 'alice', 'root@web-3', 'T1003.008'])
    expect(text).toContain(part);
  // Counts are polled separately, every five seconds.
  await expect.poll(() => page.locator('.page-head').innerText(), { timeout: 20_000 }).toContain('3 open');
  await first.getByRole('button', { name: 'Evidence' }).click();
  await first.locator('.evidence li').nth(1).waitFor();
  expect(await first.innerText()).toContain('Ask alice why');
  await first.locator('.evidence a').nth(0).click();
  await page.locator('.badge-findings').waitFor();
  expect(new URL(page.url()).search).toBe('?t=40000');
  await expect.poll(() => page.locator('.ap-term').innerText(), { timeout: 60_000 }).toContain('second 40');
  expect(await page.locator('.badge-findings').innerText()).toBe('3 findings');
  expect(await page.locator('.marker-finding').count()).toBe(3);
});

test('to dismiss one takes a reason, and it leaves the list of what is to look at', async () => {
  await page.goto(`${stand.url}/findings`);
  const row = page.locator('.finding', { hasText: 'First use of tcpdump' });
  await row.getByRole('button', { name: 'Dismiss' }).click();
  expect(await row.getByRole('button', { name: 'Dismiss' }).isDisabled()).toBe(true);
  await row.getByRole('textbox').fill('bob asked her to');
  await row.getByRole('button', { name: 'Dismiss' }).click();
  await expect.poll(() => page.locator('.finding').count(), { timeout: 60_000 }).toBe(2);
  await page.selectOption('select[name=state]', 'dismissed');
  await expect.poll(() => page.locator('.finding').count(), { timeout: 60_000 }).toBe(1);
  expect(await page.locator('.finding').innerText()).toMatch(/dismissed by root.*: bob asked her to/);
  await page.locator('.finding').getByRole('button', { name: 'Reopen' }).waitFor();
});

test('what was recorded is text, nothing runs and nobody complains', async () => {
  await page.goto(`${stand.url}/findings?severity=critical`);
  expect(await page.locator('.finding').innerText()).toContain('<img src=x onerror=alert(1)>');
  expect(complaints).toEqual([]);
});

test('response is drawn by month, with what is in the table below', async () => {
  const { events } = stand;
  const minute = 60_000;
  const made = Array.from({ length: 9 }, (_, back) => {
    const now = new Date();
    return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1 - back, 3, 12);
  });
  await events.insert(
    'findings',
    made.flatMap((at, back) =>
      [0, 1, 2].map((n) =>
        exampleFindingRow({
          id: `r${back}-${n}`,
          session: recorded.id,
          user: 'alice',
          node: 'web-3',
          at: at + n * minute,
          data: '{"tier":"alert"}',
        }),
      ),
    ),
    'response findings',
  );
  const row = (id: string, at: number, more: object) => exampleAuditRow({ id, at, actor: 'ann', session: '', ...more });
  await events.insert(
    'audit',
    made.flatMap((at, back) =>
      back === 4
        ? []
        : [
            row(`look-${back}`, at + (5 + 3 * back) * minute, { event: 'recording.view', session: recorded.id }),
            row(`lock-${back}`, at + (30 + 20 * back) * minute, {
              event: 'lock.put',
              data: JSON.stringify({ lock: { target_kind: 'user', target: 'alice' } }),
            }),
            ...[0, 1, 2].map((n) =>
              row(`close-${back}-${n}`, at + (1 + n * n * (back + 1)) * 3_600_000, {
                ...{ event: 'finding.triage', target: `r${back}-${n}` },
                data: JSON.stringify({ state: n === 1 ? 'dismissed' : 'resolved', version: 1, reason: 'done' }),
              }),
            ),
          ],
    ),
    'response audit',
  );
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${stand.url}/findings`);
  await page.getByRole('link', { name: 'Response' }).click();
  await page.waitForSelector('.response-column .median');
  expect(await page.locator('.response-measure').count()).toBe(4);
  const figures = page.locator('.response-figures tbody tr');
  expect(await figures.count()).toBeGreaterThanOrEqual(9);
  // The newest of these months: three findings a minute apart, viewed five minutes after the first.
  expect(await figures.filter({ hasText: monthName(made[0]!) }).innerText()).toMatch(
    /3\s+4 min 3 findings, 90 % within 5 min\s+29 min 3 findings/,
  );
  expect(await page.locator('.response-measure').first().innerText()).toMatch(/% faster/);
  await takePicture(page, 'response');
  expect(complaints).toEqual([]);
});

const monthName = (at: number): string => new Intl.DateTimeFormat('en-US', { month: 'short', year: 'numeric', timeZone: 'UTC' }).format(at);
