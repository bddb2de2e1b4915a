/**
 * Opening and seeking in Chromium: a recording of 24 h and 80 MB, and one a tenth as long, made by the packing rules of
 * ingest (frames of up to 512 KiB, a keyframe at the head of each), played by the built page. Beside it, in turns, the
 * player that the page is built on, by itself: stock asciinema-player with the same lines as one .cast file.
 *
 * "open" is from navigation to the moment's text on the screen, once the page before has come to rest; "seek" from the
 * press on the timeline (or the call of the player) to the same, one after the other without a pause. Both end when the
 * page's thread is done with the frame that shows it; the raster follows. An empty page says what of an opening is the
 * browser's own.
 */
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { encodeLine } from '#schemas/recording/line.js';
import type { LineBody } from '#schemas/recording/line.js';
import { headless } from '../../../viewer/api/testing/chromium.js';
import { record } from '../../../viewer/api/testing/recorded.js';
import { openStand } from '../../../viewer/api/testing/stand.js';
import { quantile, round3 } from '../../measure.js';
import type { Section } from '../../measure.js';

const DAY = 86_400_000;
const SIZE = { cols: 120, rows: 36 };
/** What a line below takes, escaped; about. */
const LINE_BYTES = 583;
const words = ['compile', 'link', 'ok', 'warning:', 'unused', 'variable', 'src/main.rs', 'running', 'test', 'passed', 'in', '0.03s'];
const bundle = join(import.meta.dirname, '..', '..', '..', '..', 'node_modules', 'asciinema-player', 'dist', 'bundle');

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

/** In the page: the largest moment on the screen in tenths of a second, -1 for none. */
const shown = `(() => { let last = -1; for (const [, at] of (document.querySelector('.ap-term')?.textContent ?? '').matchAll(/@(\\d{7})/g)) last = Math.max(last, Number(at)); return last; })()`;
/**
 * In the page: resolves with the time at which the frame is done that first fulfils `test`. A change of the document is
 * looked at when it is made; a message posted then arrives behind style, layout and paint of the same frame.
 */
const drawn = (test: string): string => `new Promise((resolve) => {
  const after = new MessageChannel();
  after.port1.onmessage = () => resolve(performance.now());
  const look = () => { if (!(${test})) return; changes.disconnect(); after.port2.postMessage(null); };
  const changes = new MutationObserver(look);
  changes.observe(document, { subtree: true, childList: true, characterData: true });
  requestAnimationFrame(look);
})`;
/** Installed before the page's own scripts. */
const openScript = `void ${drawn(`/plain/.test(location.pathname) || ${shown} >= (globalThis.wantedAt ?? 0)`)}.then((at) => { globalThis.shownAt = at; })`;
/** Resolves with the ms from `begin` until the last line on the screen is of `wanted`, in tenths of a second; a minute is too long. */
const seekScript = (wanted: string, begin: string, step: number): string => `(async () => {
  const wanted = ${wanted}; const start = performance.now();
  ${begin};
  const last = () => ${shown};
  const at = await Promise.race([${drawn(`last() <= wanted + 1 && last() >= wanted - ${step} - 11`)}, new Promise((resolve) => setTimeout(() => resolve(start + 60_000), 60_000))]);
  return at - start;
})()`;
const press = ['pointerdown', 'pointerup'];
/** On the timeline, at a share of its length. */
const place = (share: number): string => `${share} * Number(document.querySelector('.track').getAttribute('aria-valuemax')) * 10`;
const point = (types: readonly string[], share: number): string => `
  const track = document.querySelector('.track'); const { left, top, width } = track.getBoundingClientRect(); track.setPointerCapture = () => undefined;
  for (const type of ${JSON.stringify(types)}) track.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX: left + width * ${share}, clientY: top + 5, pointerId: 1, isPrimary: true }))`;

/** The stock player and its files, one .cast, and a page with nothing in it. */
async function servePlayer(cast: string): Promise<{ readonly url: string; readonly server: Server }> {
  const files: Readonly<Record<string, readonly [string, Buffer]>> = {
    '/player.js': ['text/javascript', readFileSync(join(bundle, 'asciinema-player.min.js'))],
    '/player.css': ['text/css', readFileSync(join(bundle, 'asciinema-player.css'))],
    '/plain': ['text/html', Buffer.from('<!doctype html><title>Nothing</title><p>nothing')],
    '/': [
      'text/html',
      Buffer.from(`<!doctype html><link rel="stylesheet" href="/player.css"><div id="box" style="height:800px"></div><script src="/player.js"></script>
      <script>const at = Number(new URLSearchParams(location.search).get('t')); globalThis.wantedAt = at * 10 - 130;
      globalThis.player = AsciinemaPlayer.create('/recording.cast', document.getElementById('box'), { preload: true, poster: 'npt:' + at, fit: 'both', controls: false });</script>`),
    ],
  };
  const server = createServer((request, response) => {
    const path = request.url!.split('?', 1)[0]!;
    if (path === '/recording.cast') return void createReadStream(cast).pipe(response);
    const file = files[path];
    if (file === undefined) return void response.writeHead(404).end();
    response
      .setHeader('content-type', file[0])
      .setHeader('cache-control', path.startsWith('/player') ? 'max-age=31536000' : 'no-cache')
      .end(file[1]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

async function open(page: Page, url: string): Promise<number> {
  await page.goto(url);
  // Not `waitForFunction`: it would evaluate text inside the page, whose policy forbids that.
  const at = Number(
    await page.evaluate(
      'new Promise((resolve) => { const look = () => (globalThis.shownAt === undefined ? setTimeout(look, 10) : resolve(shownAt)); look(); })',
    ),
  );
  await page.waitForLoadState('networkidle');
  return at;
}

const cells = (values: readonly number[]): string[] => [quantile(values, 0.5), quantile(values, 0.99), Math.max(...values)].map(round3);

export async function seeking(opens: number, seeks: number, scale: number): Promise<Section> {
  const folder = await mkdtemp(join(tmpdir(), 'steno-bench-'));
  const stand = await openStand(join(import.meta.dirname, '..', '..', '..', 'web'));
  let context: BrowserContext | undefined;
  const rows: string[][] = [];
  try {
    context = await chromium.launchPersistentContext(join(folder, 'profile'), { ...headless, viewport: { width: 1440, height: 900 } });
    const page = context.pages()[0] ?? (await context.newPage());
    await page.addInitScript(openScript);
    await page.goto(`${stand.url}/#sign-in=${stand.link('bench', 'all')}`);
    await page.waitForSelector('h1');
    for (const [name, duration, bytes] of [
      ['2.4 h, 8 MB', DAY / 10, 8e6 * scale],
      ['24 h, 80 MB', DAY, 8e7 * scale],
    ] as const) {
      const blocksPerPart = Math.max(1, Math.floor((300 * 1024) / (bytes / (duration / 1000))));
      const { id } = await record(stand, { state: 'repacked', blocksPerPart, lines: lines(duration, bytes), ...SIZE });
      const cast = join(folder, 'recording.cast');
      writeFileSync(cast, castOf(duration, bytes));
      const { url, server } = await servePlayer(cast);
      const step = Math.ceil(duration / (bytes / LINE_BYTES) / 100);
      const figures = {
        plain: [] as number[],
        steno: [] as number[],
        player: [] as number[],
        stenoSeek: [] as number[],
        rested: [] as number[],
        playerSeek: [] as number[],
      };
      for (let i = 0; i < opens; i++) {
        const at = Math.floor(duration * ((i * 0.37 + 0.2) % 1));
        figures.plain.push(await open(page, `${url}/plain`));
        figures.player.push(await open(page, `${url}/?t=${at / 1000}`));
        figures.steno.push(await open(page, `${stand.url}/sessions/${id}?t=${at}`));
        process.stderr.write(
          `  ${name}, opening ${i + 1}/${opens}: Steno ${round3(figures.steno.at(-1)!)}, player ${round3(figures.player.at(-1)!)}, empty page ${round3(figures.plain.at(-1)!)}\n`,
        );
      }
      for (let i = 0; i < seeks; i++) {
        const share = (i * 0.618_034 + 0.1) % 1;
        figures.stenoSeek.push(Number(await page.evaluate(seekScript(place(share), point(press, share), step))));
      }
      // As a person does it: the pointer comes, and some tenths of a second later it presses.
      for (let i = 0; i < Math.ceil(seeks / 4); i++) {
        const share = (i * 0.618_034 + 0.17) % 1;
        await page.evaluate(`(() => { ${point(['pointermove'], share)} })()`);
        await new Promise((resolve) => setTimeout(resolve, 300));
        figures.rested.push(Number(await page.evaluate(seekScript(place(share), point(press, share), step))));
      }
      await open(page, `${url}/?t=${duration / 2000}`);
      for (let i = 0; i < Math.ceil(seeks / 10); i++) {
        const seconds = (((i * 0.618_034 + 0.1) % 1) * duration) / 1000;
        figures.playerSeek.push(Number(await page.evaluate(seekScript(String(seconds * 10), `void player.seek(${seconds})`, step))));
      }
      server.close();
      rows.push(
        [name, 'open at a moment', ...cells(figures.steno), ...cells(figures.player), ...cells(figures.plain)],
        [name, 'seek', ...cells(figures.stenoSeek), ...cells(figures.playerSeek), '', '', ''],
        [name, 'seek, 0.3 s after the pointer came to rest there', ...cells(figures.rested), '', '', '', '', '', ''],
      );
    }
  } finally {
    await context?.close();
    await stand.close();
    await rm(folder, { recursive: true, force: true });
  }
  return {
    title: 'Opening a replay at a moment, and seeking',
    how:
      `Chromium, headless, software rendering, server on the same machine; a screen of ${SIZE.cols} × ${SIZE.rows}, all of it coloured; ms. ${opens} openings, in turns; ${seeks} seeks, ` +
      `${Math.ceil(seeks / 10)} of the player alone, which has the whole recording in memory by then. An empty page is what the browser itself takes. \`npm run bench -- seek\`.`,
    header: [
      'recording',
      'what',
      'Steno p50',
      'p99',
      'most',
      'asciinema-player alone p50',
      'p99',
      'most',
      'an empty page p50',
      'p99',
      'most',
    ],
    rows,
  };
}

function castOf(duration: number, bytes: number): Buffer {
  const chunks: Buffer[] = [Buffer.from(`${JSON.stringify({ version: 3, term: SIZE })}\n`)];
  let last = 0;
  for (const [at, body] of lines(duration, bytes)) {
    chunks.push(Buffer.from(encodeLine(at - last, body)));
    last = at;
  }
  return Buffer.concat(chunks);
}
