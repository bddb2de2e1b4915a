/**
 * Opening and seeking in Chromium: a recording of 24 h and 80 MB, and one a tenth as long, made by the packing rules of
 * ingest (frames of up to 512 KiB, a keyframe at the head of each), played by the built page.
 *
 *     npx tsc -b bench && npx vite build viewer/web && node dist/bench/seek.js
 *
 * "open" is from navigation to the moment's text on the screen; "seek" from the pointer's press on the timeline to the
 * same. The page is asked once per animation frame, so a figure is up to 16 ms above what it stands for.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Page } from 'playwright-core';
import type { LineBody } from '#schemas/recording/line.js';
import { record } from '../viewer/api/testing/recorded.js';
import { openStand } from '../viewer/api/testing/stand.js';

const DAY = 86_400_000;
/** What a line below takes, escaped; about. */
const LINE_BYTES = 583;
const words = ['compile', 'link', 'ok', 'warning:', 'unused', 'variable', 'src/main.rs', 'running', 'test', 'passed', 'in', '0.03s'];

/** Every line begins with its own moment, in red, and scrolls: `at` in 7 digits of tenths of a second. */
function* lines(duration: number, bytes: number): Generator<readonly [number, LineBody]> {
  const count = Math.floor(bytes / LINE_BYTES);
  let seed = 1;
  for (let i = 0; i < count; i++) {
    const at = Math.floor((i / (count - 1)) * duration);
    let text = `\u001b[1;31m@${String(Math.floor(at / 100)).padStart(7, '0')}\u001b[0m `;
    while (text.length < 370) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      text += `\u001b[3${seed % 8}m${words[seed % words.length]}\u001b[0m ${seed % 9973} `;
    }
    yield [at, { code: 'o', data: `${text}\r\n` }];
  }
}

const quantile = (values: readonly number[], q: number): number => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * q) - 1)]!;
const report = (name: string, values: readonly number[]): void =>
  console.log(`${name}: p50 ${quantile(values, 0.5).toFixed(1)} ms, p90 ${quantile(values, 0.9).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms, n ${values.length}`);

/** Runs in the page: presses the timeline at a share and resolves with ms until the terminal's last line is of that time. */
const seekScript = (share: number, step: number): string => `new Promise((resolve) => {
  const track = document.querySelector('.track'); const box = track.getBoundingClientRect(); const x = box.left + box.width * ${share};
  const wanted = (x - box.left) / box.width * Number(track.getAttribute('aria-valuemax')) * 10;
  const near = () => { const all = [...(document.querySelector('.ap-term')?.textContent ?? '').matchAll(/@(\\d{7})/g)]; const last = all.length === 0 ? -1 : Math.max(...all.map((m) => Number(m[1]))); return last <= wanted + 1 && last >= wanted - ${step} - 11; };
  const start = performance.now();
  const press = (type) => track.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX: x, clientY: box.top + 5, pointerId: 1, isPrimary: true }));
  track.setPointerCapture = () => undefined; press('pointerdown'); press('pointerup');
  const look = () => { if (near()) resolve(performance.now() - start); else if (performance.now() - start > 5000) resolve(5000); else requestAnimationFrame(look); };
  requestAnimationFrame(look);
})`;

/** From the start of the navigation; the script is installed before the page's own. */
const openScript = `(() => { const look = () => { if (/@\\d{7}/.test(document.querySelector('.ap-term')?.textContent ?? '')) globalThis.shownAt = performance.now(); else requestAnimationFrame(look); }; requestAnimationFrame(look); })()`;

async function open(page: Page, url: string): Promise<number> {
  await page.goto(url);
  for (;;) {
    const at = await page.evaluate('globalThis.shownAt ?? null');
    if (typeof at === 'number') return at;
  }
}

const folder = await mkdtemp(join(tmpdir(), 'steno-bench-'));
const stand = await openStand(join(import.meta.dirname, '..', 'web'));
const context = await chromium.launchPersistentContext(join(folder, 'profile'), {
  executablePath: process.env['STENO_CHROMIUM'] ?? '/usr/bin/chromium', viewport: { width: 1440, height: 900 },
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  await page.addInitScript(openScript);
  await page.goto(`${stand.url}/#sign-in=${stand.link('bench', 'all')}`);
  await page.waitForSelector('h1');
  for (const [name, duration, bytes] of [['2.4 h, 8 MB', DAY / 10, 8e6], ['24 h, 80 MB', DAY, 8e7]] as const) {
    const perPart = Math.max(1, Math.floor((300 * 1024) / (bytes / (duration / 1000))));
    const { id, row } = await record(stand, { state: 'repacked', blocksPerPart: perPart, lines: lines(duration, bytes), cols: 120, rows: 36 });
    const url = `${stand.url}/sessions/${id}`;
    const opens: number[] = [];
    for (let i = 0; i < 20; i++) opens.push(await open(page, `${url}?t=${Math.floor(duration * ((i * 0.37) % 1))}`));
    console.log(`${name}: ${(row.recording_bytes / 1e6).toFixed(1)} MB of lines, ${(row.stored_bytes / 1e6).toFixed(1)} MB stored, ${perPart} blocks a frame`);
    report(`${name}, open at a moment`, opens);
    const seeks: number[] = [];
    const step = Math.ceil(duration / (bytes / LINE_BYTES) / 100);
    for (let i = 0; i < 200; i++) seeks.push(Number(await page.evaluate(seekScript((i * 0.618_034 + 0.1) % 1, step))));
    report(`${name}, seek`, seeks);
    console.log(`${name}: ${((await page.evaluate('performance.memory?.usedJSHeapSize ?? 0')) as number) / 1e6} MB of page heap`);
  }
} finally {
  await context.close();
  await stand.close();
  await rm(folder, { recursive: true, force: true });
}
