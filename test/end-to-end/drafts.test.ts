/** A follower on the page sees output before its block closes, and the same screen as the terminal. */
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BLOCK_MAX_MS } from '#schemas/recording/block.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { must } from './client-tools.js';
import { Steno } from './machine.js';
import type { Terminal } from './machine.js';
import { followOnPage, openLiveSession } from './session-page.js';

const steno = new Steno();
const frames: string[] = [];
let owner: Terminal;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const { owner: opened, session } = await openLiveSession(steno, { cols: 100, rows: 28 });
  owner = opened;
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))));
  await followOnPage(steno, page, session);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
}, 60_000);

const screen = (): Promise<string> => page.locator('.ap-term').innerText();
/** The output in the lines of a message. The last line of a draft may be incomplete. */
const shown = (lines: string): string =>
  lines
    .split('\n')
    .map((line) => /"o","(.*?)(?:"\])?$/.exec(line)?.[1] ?? '')
    .join('');

it('output arrives as a draft first, and the page shows it once, exactly as the terminal does', async () => {
  for (let i = 0; i < 5; i++) {
    const word = `early${i}of${process.pid}`;
    // The word is not in the command line, so that its echo does not count.
    owner.write(`echo ${word.slice(0, 4)}''${word.slice(4)}\r`);
    await owner.until(new RegExp(word));
    await expect.poll(screen).toContain(word);
    await expect.poll(() => frames.some((frame) => frame.startsWith('[') && frame.includes(word))).toBe(true);
    const first = frames.findIndex((frame, at) => {
      // The pieces of a draft together contain the word.
      const begin = frames.slice(0, at + 1).findLastIndex((one) => one.startsWith('='));
      const draft =
        begin < 0 || frame.startsWith('[')
          ? ''
          : frames
              .slice(begin, at + 1)
              .map((one) => one.slice(1))
              .join('');
      return shown(draft).includes(word);
    });
    expect(first).toBeGreaterThanOrEqual(0);
    expect(first).toBeLessThan(frames.findIndex((frame) => frame.startsWith('[') && frame.includes(word)));
  }
  // Output over several blocks, including bytes that are not UTF-8.
  owner.write(
    `for i in $(seq 1 20); do printf 'row %s \\303\\251 \\377\\n' $i; sleep 0.0${BLOCK_MAX_MS / 200}; done; echo; echo the''end\r`,
  );
  await owner.until(/theend/);
  await expect.poll(screen).toContain('theend');
  const rows = (text: string): string[] => [...text.replaceAll(/\s+/g, ' ').matchAll(/row \d+/g)].map(([row]) => row);
  const expected = Array.from({ length: 20 }, (_, i) => `row ${i + 1}`);
  expect(rows(await screen())).toEqual(expected);
  // Drawn again from the stored recording, the screen is the same.
  const before = await screen();
  await page.reload();
  await page.waitForSelector('.live-button.following');
  await expect.poll(screen).toBe(before);
});
