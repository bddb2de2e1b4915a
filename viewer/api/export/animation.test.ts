/** Exported animations, decoded by Chromium: which frames there are, how long they last, and that each equals the PNG of its moment. */
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import { headless } from '../testing/chromium.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let browser: Browser;
let page: Page;
let typed: Recorded;

const output = (at: number, data: string): readonly [number, LineBody] => [at, { code: 'o', data }];

beforeAll(async () => {
  stand = await openStand();
  typed = await record(stand, {
    ...{ state: 'sealed', cols: 60, rows: 12, blocksPerPart: 2 },
    lines: [
      output(1_000, '\u001b[1;32mdeploy@web-3\u001b[0m:~$ '),
      output(3_000, 'ls'),
      // This change is invisible: no frame.
      output(3_500, '\u001b[0m'),
      output(
        4_250,
        '\r\n\u001b[38;2;250;120;30morange\u001b[0m \u001b[44;97m blue \u001b[0m \u256d\u2500\u256e \u2588\u2593\u2591 g\u0302jq|\r\n',
      ),
      output(6_000, '\u001b[2J\u001b[Hcleared'),
      [7_000, { code: 'r', data: '70x14' }],
      output(7_500, '\u001b[14;70Hx'),
      output(20_000, 'end'),
    ],
  });
  browser = await chromium.launch(headless);
  page = await browser.newPage();
  // A separate page that may decode images, without a server behind it.
  await page.route('https://pictures.invalid/', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
  await page.goto('https://pictures.invalid/');
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await stand?.close();
});

async function take(query: string, view = 'all', session = typed): Promise<{ readonly status: number; readonly bytes: Buffer }> {
  const answer = await fetch(`${stand.url}/api/sessions/${session.id}/export?${query}`, { headers: { cookie: stand.signIn('ann', view) } });
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) };
}

interface Compared {
  readonly width: number;
  readonly height: number;
  readonly loops: boolean;
  readonly frames: readonly { readonly ms: number; readonly worst: number; readonly mean: number; readonly differing: number }[];
}

/**
 * Compares each frame with the picture at the same index: the largest difference of any channel, the mean difference, and the number of
 * pixels that differ by 60.
 */
async function compared(gif: Buffer, pngs: readonly Buffer[]): Promise<Compared> {
  return page.evaluate<Compared>(`(async () => {
    const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const pixels = (image, width, height) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, width, height).data;
    };
    const decoder = new ImageDecoder({ type: 'image/gif', data: bytes('${gif.toString('base64')}') });
    await decoder.tracks.ready;
    await decoder.completed;
    const track = decoder.tracks.selectedTrack;
    const pngs = ${JSON.stringify(pngs.map((png) => png.toString('base64')))};
    const frames = [];
    let size = { width: 0, height: 0 };
    for (let i = 0; i < track.frameCount; i++) {
      const { image } = await decoder.decode({ frameIndex: i, completeFramesOnly: true });
      size = { width: image.displayWidth, height: image.displayHeight };
      const found = { ms: image.duration / 1000, worst: 0, mean: 0, differing: 0 };
      if (pngs[i] !== undefined) {
        const png = await createImageBitmap(new Blob([bytes(pngs[i])]));
        const [a, b] = [pixels(image, png.width, png.height), pixels(png, png.width, png.height)];
        for (let at = 0; at < a.length; at++) {
          const off = Math.abs(a[at] - b[at]);
          found.worst = Math.max(found.worst, off);
          found.mean += off / a.length;
          if (off > 60) found.differing++;
        }
      }
      frames.push(found);
      image.close();
    }
    return { ...size, loops: track.repetitionCount === Infinity, frames };
  })()`);
}

test('each frame is the picture of its moment, and is shown until the next', async () => {
  const gif = await take('format=gif&at=2000&until=6500');
  expect(gif.status).toBe(200);
  const moments = [2_000, 3_000, 4_250, 6_000];
  const pngs = await Promise.all(moments.map(async (at) => (await take(`format=png&at=${at}`)).bytes));
  const { frames, width, height, loops } = await compared(gif.bytes, pngs);
  expect(frames.map(({ ms }) => ms)).toEqual([1_000, 1_250, 1_750, 500]);
  expect([width, height, loops]).toEqual([pngs[0]!.readUInt32BE(16), pngs[0]!.readUInt32BE(20), true]);
  for (const { worst, mean } of frames) {
    expect(worst).toBeLessThan(24);
    expect(mean).toBeLessThan(0.5);
  }
  // The comparison can fail: a frame differs from the picture of another moment.
  const shifted = await compared(gif.bytes, [...pngs.slice(1), pngs[0]!]);
  for (const { differing } of shifted.frames) expect(differing).toBeGreaterThan(300);
});

test('a terminal that grows makes the animation as large as its largest screen', async () => {
  const { frames, width, height } = await compared((await take('format=gif&at=5000&until=9000')).bytes, []);
  const png = (await take('format=png&at=8000')).bytes;
  expect([width, height]).toEqual([png.readUInt32BE(16), png.readUInt32BE(20)]);
  expect(frames.map(({ ms }) => ms)).toEqual([1_000, 1_500, 1_500]);
  const last = await compared((await take('format=gif&at=8000&until=9000')).bytes, [png]);
  expect(last.frames.map(({ worst }) => worst < 24)).toEqual([true]);
});

test('more colours than a palette has become near ones', async () => {
  const rainbow = Array.from({ length: 12 }, (_, y) =>
    Array.from({ length: 60 }, (_, x) => `\u001b[48;2;${x * 4};${y * 20};${255 - x * 4}m `).join(''),
  ).join('');
  const colours = await record(stand, {
    state: 'sealed',
    cols: 60,
    rows: 12,
    lines: [
      output(100, `\u001b[?7l\u001b[H${rainbow.replace(/((?:\u001b\[[\d;]*m ){60})/g, '$1\r\n').trimEnd()}`),
      output(900, '\u001b[H\u001b[0mtext'),
    ],
  });
  const gif = await take('format=gif&at=500&until=2000', 'all', colours);
  const pngs = await Promise.all([500, 900].map(async (at) => (await take(`format=png&at=${at}`, 'all', colours)).bytes));
  const { frames } = await compared(gif.bytes, pngs);
  expect(frames.map(({ ms }) => ms)).toEqual([400, 1_100]);
  for (const { differing, mean } of frames) expect([differing, mean < 4]).toEqual([0, true]);
});

test('a watermark is in every frame', async () => {
  stand.role('marked', { view: 'all', watermark: true });
  const query = 'format=gif&at=2000&until=6500';
  const plain = await Promise.all([2_000, 3_000, 4_250, 6_000].map(async (at) => (await take(`format=png&at=${at}`)).bytes));
  const unmarked = await compared((await take(query)).bytes, plain);
  const marked = await compared((await take(query, 'marked')).bytes, plain);
  for (const [i, { worst, mean }] of marked.frames.entries()) {
    expect(worst).toBeGreaterThan(30);
    expect(mean).toBeGreaterThan(unmarked.frames[i]!.mean + 0.5);
  }
});

test.each([
  'format=gif',
  'format=gif&at=0',
  'format=gif&at=1000&until=1000',
  'format=gif&at=0&until=60001',
  'format=png&at=0&until=1000',
  'format=txt&until=1000',
])('%s is refused', async (query) => {
  expect((await take(query)).status).toBe(400);
});

test('a span beyond the end is its last screen, and who may not export gets none', async () => {
  const { frames } = await compared((await take('format=gif&at=100000&until=101000')).bytes, [(await take('format=png&at=100000')).bytes]);
  expect(frames.map(({ ms, worst }) => [ms, worst < 24])).toEqual([[1_000, true]]);
  stand.role('viewer-alone', { view: 'all', deny: { sessions: [{ actions: ['export'] }] } });
  expect((await take('format=gif&at=0&until=1000', 'viewer-alone')).status).toBe(403);
});
