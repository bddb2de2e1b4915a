/** The search page in real Chromium: a responder types a query, narrows it, and opens a moment. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { buildPage } from './testing/built-page.js';
import { executablePath } from './testing/chromium.js';
import { takePicture } from './testing/pictures.js';
import { headless, watchPage } from './testing/chromium.js';
import { record } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];
const start = Date.UTC(2026, 0, 31, 12);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-search-page-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  for (let n = 0; n < 30; n += 1) {
    const user = ['alice', 'bob', 'carol'][n % 3]!;
    const node = ['web-1', 'web-2', 'db-1', 'cache-1'][n % 4]!;
    const startedAt = start + n * 7_200_000;
    const session = await record(stand, {
      user,
      node,
      login: n % 2 === 0 ? 'root' : 'deploy',
      startedAt,
      state: 'sealed',
      lines: [
        [0, { code: 'o', data: '$ cat /etc/shadow\r\nroot:*:19000:0:99999:7:::\r\n' }],
        [1_800_000 * (1 + (n % 5)), { code: 'o', data: '$ ' }],
      ],
      screen: [
        { text: '$ whoami', offset_ms: 500, index: 0 },
        { text: 'root', offset_ms: 600, index: 1 },
        { text: `$ sudo cat /etc/shadow # ticket ${1000 + n}`, offset_ms: 2000, index: 2 },
        { text: 'root:*:19000:0:99999:7:::', offset_ms: 2100, index: 3 },
        { text: 'daemon:*:19000:0:99999:7:::', offset_ms: 2100, index: 4 },
      ],
    });
    const place = { session: session.id, user, node, login: 'root', source: 'kernel', emitter: `agent/${node}`, block: 1 } as const;
    await stand.events.insert(
      'events',
      [
        exampleEventRow({
          ...place,
          index: 1,
          kind: 'exec',
          path: '/usr/bin/cat',
          name: 'cat /etc/shadow',
          at: startedAt + 2000,
          offset_ms: 2000,
          outcome: 'success',
        }),
        exampleEventRow({
          ...place,
          index: 2,
          kind: 'file',
          path: '/etc/shadow',
          name: 'open',
          reason: 'O_RDONLY',
          at: startedAt + 2010,
          offset_ms: 2010,
          outcome: 'success',
        }),
        exampleEventRow({
          ...place,
          index: 3,
          kind: 'connect',
          address: `10.1.2.${n}`,
          port: 4444,
          name: 'tcp',
          at: startedAt + 3000,
          offset_ms: 3000,
          outcome: 'success',
        }),
        ...Array.from({ length: n }, (_, i) =>
          exampleEventRow({
            ...place,
            index: 10 + i,
            kind: 'file',
            path: `/etc/shadow.${i}`,
            name: 'open',
            reason: 'O_WRONLY|O_CREAT',
            at: startedAt + 4000 + i,
            offset_ms: 4000 + i,
            outcome: i % 5 === 0 ? 'EACCES' : 'success',
          }),
        ),
      ],
      `search page ${n}`,
    );
    if (n === 27)
      await stand.events.insert(
        'findings',
        [
          exampleFindingRow({
            id: 'search-page',
            session: session.id,
            user,
            node,
            login: 'root',
            at: startedAt + 5000,
            offset_ms: 2010,
            row: null,
            rule: 'steno/shadow-read',
            data: JSON.stringify({ title: 'Shadow file read', reason: 'carol never read it before <img src=x onerror=alert(1)>' }),
          }),
        ],
        'search page finding',
      );
  }
  await record(stand, {
    user: 'erin',
    node: 'db-1',
    login: 'dba',
    startedAt: start - 172_800_000,
    state: 'sealed',
    lines: [
      [0, { code: 'o', data: '$ tail -f log' }],
      [8 * 86_400_000, { code: 'o', data: 'x' }],
    ],
  });
  context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    ...headless,
    executablePath,
    viewport: { width: 1440, height: 900 },
  });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
  await page.goto(`${stand.url}/#sign-in=${stand.link('root', 'all')}`);
  await page.waitForSelector('.row');
}, 180_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

const patience = { timeout: 60_000 };
const query = (): string | null => new URL(page.url()).searchParams.get('q');
const groups = (): Promise<number> => page.locator('.group').count();

test('an empty search teaches the language by examples that can be followed', async () => {
  await page.click('.nav >> text=Search');
  await page.waitForSelector('.examples');
  await takePicture(page, 'empty');
  await page.click('.examples a >> nth=0');
  await page.waitForSelector('.group');
  expect(query()).toBe('shadow');
});

test('hits stand under their session, with counts of what, who and where, and bars over time', async () => {
  expect(await groups()).toBe(20);
  const first = page.locator('.group').first();
  expect(await first.locator('.found-hit').count()).toBe(4);
  expect(await first.locator('.more').innerText()).toBe('28 more in this session');
  expect(await first.locator('mark').first().innerText()).toBe('shadow');
  expect(await page.locator('.facets').innerText()).toContain('screen');
  await page.waitForSelector('.histogram .bar');
  await takePicture(page, 'hits');
  await page.click('.pager a');
  await expect.poll(groups, patience).toBe(10);
  await page.goBack();
  await expect.poll(groups, patience).toBe(20);
});

test('a facet narrows, a minus leaves out, and a dragged span of bars bounds the time', async () => {
  await page.locator('.facets a', { hasText: 'finding' }).first().click();
  await expect.poll(groups, patience).toBe(1);
  expect(query()).toBe('shadow kind:finding');
  expect(await page.locator('.found-hit').innerText()).toContain('<img src=x onerror=alert(1)>');
  await takePicture(page, 'finding');
  await page.goBack();
  await expect.poll(groups, patience).toBe(20);
  await page.locator('.facets li', { hasText: 'screen' }).hover();
  await page.locator('.facets li', { hasText: 'screen' }).locator('.without').click();
  await expect.poll(query, patience).toBe('shadow -kind:screen');
  await page.waitForSelector('.histogram .bar');
  const box = (await page.locator('.histogram svg').boundingBox())!;
  await page.mouse.move(box.x + 2, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await expect.poll(query, patience).toMatch(/^shadow -kind:screen after:2026-01-31T\S+ before:2026-02-01T\S+$/);
  await expect.poll(groups, patience).toBeLessThan(20);
});

test('sessions stand as bars on one axis of time, and one opens where the span begins', async () => {
  // One session began two days earlier and runs for a week: it existed in the span although nothing happened in it then.
  const span = 'during:2026-02-01T06..2026-02-02T06';
  await page.goto(`${stand.url}/search?q=${encodeURIComponent(`kind:command ${span}`)}`);
  await page.click('.search-views >> text=Sessions in time');
  await page.waitForSelector('.span-bar');
  const bars = await page.locator('.spans li').count();
  expect(bars).toBeGreaterThan(5);
  expect(await page.locator('.spans figcaption').innerText()).toContain(`${bars} sessions`);
  expect(await page.locator('.spans li').first().innerText()).toContain('erin');
  expect(await page.locator('.spans li').first().locator('.cut-left.cut-right').count()).toBe(1);
  const box = (await page.locator('.span-track').first().boundingBox())!;
  for (const bar of await page.locator('.span-bar').all()) {
    const { x, width } = (await bar.boundingBox())!;
    expect(x).toBeGreaterThanOrEqual(box.x - 1);
    expect(x + width).toBeLessThanOrEqual(box.x + box.width + 5);
  }
  await takePicture(page, 'spans');
  await page.locator('.spans li', { hasText: 'erin' }).locator('a').click();
  await page.waitForSelector('.player');
  expect(new URL(page.url()).searchParams.get('t')).toBe(String(Date.UTC(2026, 1, 1, 6) - start + 172_800_000));
  await page.goto(`${stand.url}/search?q=shadow`);
  await page.waitForSelector('.group');
});

test('fields and their values are completed while typing', async () => {
  await page.fill('.search-box input', '');
  await page.locator('.search-box input').pressSequentially('us');
  await page.waitForSelector('.suggestions li');
  await page.keyboard.press('Tab');
  expect(await page.inputValue('.search-box input')).toBe('user:');
  await page.locator('.search-box input').pressSequentially('ca');
  await page.locator('.suggestions li', { hasText: 'carol' }).waitFor();
  await takePicture(page, 'completion');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  expect(await page.inputValue('.search-box input')).toBe('user:carol ');
  await page.locator('.search-box input').pressSequentially('port:4444');
  await page.keyboard.press('Enter');
  await expect.poll(query, patience).toBe('user:carol port:4444');
  await expect.poll(groups, patience).toBe(10);
});

test('what is wrong is pointed at, and nothing is asked', async () => {
  await page.fill('.search-box input', 'user:carol (port:ssh');
  await page.keyboard.press('Enter');
  const fault = page.locator('.query-fault');
  await fault.waitFor();
  expect(await fault.innerText()).toContain('port: takes a number or a range');
  expect(query()).toBe('user:carol port:4444');
  await takePicture(page, 'fault');
});

test('a hit opens the replay at its moment', async () => {
  await page.fill('.search-box input', '"ticket 1003"');
  await page.keyboard.press('Enter');
  await expect.poll(groups, patience).toBe(1);
  await page.click('a.found-hit');
  await page.waitForSelector('.player');
  expect(new URL(page.url()).searchParams.get('t')).toBe('2000');
});

test('the page complained of nothing', () => expect(complaints).toEqual([]));
