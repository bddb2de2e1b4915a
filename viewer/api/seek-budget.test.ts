/** The bytes and requests that opening a long recording and seeking in it cost, counted in real Chromium, independent of the length. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openingPath } from '#schemas/api/recordings/opening.js';
import type { LineBody } from '#schemas/recording/line.js';
import { buildPage } from './testing/built-page.js';
import { headless } from './testing/chromium.js';
import { record } from './testing/recorded.js';
import type { Recorded } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

const HOUR = 3_600_000;
const LINES = 16_000;

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
let recording: Recorded;

const WORDS = ['compile', 'link', 'ok', 'warning:', 'unused', 'variable', 'src/main.rs', 'running', 'test', 'passed', 'in', '0.03s'];

/** 8 MB of build output over four hours; each line contains its number. */
function* lines(): Generator<readonly [number, LineBody]> {
  let seed = 1;
  for (let i = 0; i < LINES; i++) {
    let text = `#${String(i).padStart(6, '0')} `;
    while (text.length < 480) {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      text += `\u001b[3${seed % 8}m${WORDS[seed % WORDS.length]}\u001b[0m ${seed % 9_973} `;
    }
    yield [Math.floor((i / (LINES - 1)) * 4 * HOUR), { code: 'o', data: `${text}\r\n` }];
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-seek-budget-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  recording = await record(stand, { state: 'repacked', blocksPerPart: 500, lines: lines(), cols: 120, rows: 36 });
  context = await chromium.launchPersistentContext(join(folder, 'profile'), { ...headless, viewport: { width: 1440, height: 900 } });
  page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(60_000);
  await page.goto(`${stand.url}/#sign-in=${stand.link('auditor', 'all')}`);
  await page.waitForSelector('h1');
});
afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Fetched {
  readonly requests: number;
  readonly bytes: number;
}

/** Counts what the page fetches of recordings from the start of `act` until fetching stops. */
async function fetched(act: () => Promise<unknown>): Promise<Fetched> {
  let requests = 0;
  const sizes: Promise<number>[] = [];
  const take = (response: { url(): string; request(): { sizes(): Promise<{ responseBodySize: number }> } }): void => {
    if (!new URL(response.url()).pathname.includes(recording.id)) return;
    requests++;
    sizes.push(
      response
        .request()
        .sizes()
        .then(
          ({ responseBodySize }) => responseBodySize,
          () => 0,
        ),
    );
  };
  page.on('response', take);
  await act();
  await page.waitForLoadState('networkidle');
  page.off('response', take);
  return { requests, bytes: (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) };
}

const shownLines = async (): Promise<number[]> =>
  [...(await page.locator('.ap-term').innerText()).matchAll(/#(\d{6}) /g)].map(([, line]) => Number(line));

test('opening at a moment, and each seek, fetch little of a recording of eight megabytes', async () => {
  const opening = await fetched(async () => {
    await page.goto(`${stand.url}/sessions/${recording.id}?t=${2 * HOUR}`);
    await expect.poll(async () => Math.max(-1, ...(await shownLines())), { timeout: 60_000 }).toBeGreaterThan(LINES / 2 - 200);
  });
  process.stdout.write(`counted: an opening: ${opening.requests} requests, ${opening.bytes} bytes\n`);
  expect(opening.bytes).toBeGreaterThan(10_000);
  expect(opening.bytes).toBeLessThan(400_000);
  expect(opening.requests).toBeLessThanOrEqual(24);

  const track = (await page.locator('.track').boundingBox())!;
  const SEEKS = 8;
  for (let i = 0; i < SEEKS; i++) {
    const share = (i * 0.618_034 + 0.1) % 1;
    const seek = await fetched(async () => {
      await page.mouse.click(track.x + track.width * share, track.y + 5);
      await expect
        .poll(async () => Math.abs(Math.max(-1, ...(await shownLines())) - LINES * share), { timeout: 60_000 })
        .toBeLessThan(LINES / 100);
    });
    process.stdout.write(`counted: a seek: ${seek.requests} requests, ${seek.bytes} bytes\n`);
    expect(seek.bytes).toBeLessThan(300_000);
    expect(seek.requests).toBeLessThanOrEqual(6);
  }
});

test('the opening and a segment of it are the same in whatever coding they come', async () => {
  const as = async (path: string, coding: string): Promise<readonly [string | undefined, string]> => {
    const response = await page.request.get(`${stand.url}${path}`, { headers: { 'accept-encoding': coding } });
    return [response.headers()['content-encoding'], await response.text()];
  };
  for (const path of [openingPath(recording.id, 2 * HOUR), `/api/sessions/${recording.id}/segments/3`]) {
    const [none, plain] = await as(path, 'identity');
    expect(none).toBeUndefined();
    expect(plain).toMatch(/#\d{6} /);
    expect(await as(path, 'gzip')).toEqual(['gzip', plain]);
  }
});
