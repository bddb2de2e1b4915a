/** A session as one HTML file, opened from disk in real Chromium without network: it replays, and says how far it can be trusted. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { readContainer } from '#schemas/recording/container.js';
import { offlinePage, readOfflinePage } from '#recordings/offline/page-file.js';
import { buildPage } from './testing/built-page.js';
import { headless, watchPage } from './testing/chromium.js';
import { takePicture } from './testing/pictures.js';
import { recordLog } from './testing/event-log.js';
import { record } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
let file: string;
let html: Buffer;
const complaints: string[] = [];
const requested: string[] = [];

/** Escape sequences, markup, bidirectional marks, links and titles: recorded content that must have no effect. */
const hostile = [
  '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">\r\n',
  '\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\r\n',
  '\u001b]8;;https://evil.invalid/\u001b\\click me\u001b]8;;\u001b\\\r\n',
  '\u001b]0;owned\u0007\u001b]52;c;b3duZWQ=\u0007',
  `${'x'.repeat(60_000)}\r\n`,
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-offline-page-'));
  await buildPage(join(folder, 'web', 'offline'), 'offline');
  stand = await openStand(join(folder, 'web'));
  const session = await record(stand, {
    user: 'alice',
    command: 'bash -c "</script><b>x"',
    state: 'sealed',
    blocksPerPart: 4,
    lines: [
      [0, { code: 'o', data: '\u001b[1;32malice@web-3\u001b[0m:~$ ' }],
      [400, { code: 's', data: { fact: 'kernel', classes: ['exec'], error_ms: 1, log: true } }],
      [900, { code: 'o', data: 'sudo cat /etc/shadow\r\n' }],
      [1_500, { code: 'o', data: 'root:*:19000:0:99999:7:::\r\ndaemon:*:19000:0:99999:7:::\r\n' }],
      [
        2_000,
        {
          code: 's',
          data: {
            fact: 'file',
            protocol: 'sftp',
            operation: 'write',
            path: '/tmp/<b>x',
            size: 12,
            outcome: 'success',
            sha256: 'a'.repeat(64),
          },
        },
      ],
      ...hostile.map((data, i) => [3_000 + i * 1_500, { code: 'o', data }] as const),
      [12_000, { code: 'g', data: { reason: 'input_not_echoed' } }],
      ...Array.from(
        { length: 30 },
        (_, i) => [13_000 + i * 1_100, { code: 'o', data: `\u001b[3${i % 8}mline ${i}\u001b[0m of the end\r\n` }] as const,
      ),
      [60_000, { code: 'o', data: 'logout\r\n' }],
      [60_100, { code: 'x', data: '0' }],
    ],
  });
  await recordLog(stand, session, { commands: ['sudo cat /etc/shadow', '<img src=x onerror=alert(1)>'], end: 'complete' });
  const response = await fetch(`${stand.url}/api/sessions/${session.id}/export?format=html`, {
    headers: { cookie: stand.signIn('root', 'all') },
  });
  expect(response.status).toBe(200);
  html = Buffer.from(await response.arrayBuffer());
  file = join(folder, 'session.html');
  await writeFile(file, html);
  context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    ...headless,
    viewport: { width: 1440, height: 900 },
    offline: true,
  });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
  page.on('request', (request) => {
    if (!/^(file|blob|data):/.test(request.url())) requested.push(request.url());
  });
}, 180_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(content: Buffer): Promise<string> {
  await writeFile(file, content);
  await page.goto(pathToFileURL(file).href);
  return settled();
}

async function settled(): Promise<string> {
  const shown = page.locator('[data-trust]:not([data-trust=checking])');
  await shown.waitFor();
  return (await shown.getAttribute('data-trust'))!;
}

const title = async (): Promise<string> => page.title();
const screen = (): Promise<string> => page.locator('.terminal').innerText();

test('it replays from disk with the network off, and is consistent until the reader brings a key', async () => {
  expect(await open(html)).toBe('consistent');
  await page.waitForSelector('.player[data-phase=paused]');
  await takePicture(page, 'consistent');
  await page.fill('#ca', `# the key\n${formatPublicLine(stand.recorder.ca.publicBlob, 'recording')}\n`);
  await page.waitForSelector('[data-trust=verified]');
  await page.click('.covered summary');
  await takePicture(page, 'verified');
  await page.fill('#ca', formatPublicLine(generateKey().publicBlob));
  await page.waitForSelector('[data-trust=foreign]');
  await takePicture(page, 'foreign');
  await page.fill('#ca', 'not a key');
  await page.waitForSelector('.trust-complaint');
  await page.waitForSelector('[data-trust=consistent]');
  expect(requested).toEqual([]);
  expect(complaints).toEqual([]);
});

test('a page that was made under a watermark shows it over everything, and stays what was written', async () => {
  const { about, files, app } = readOfflinePage(html);
  const made = offlinePage(app, {
    session: about.session,
    steno: about.steno,
    about: async () => ({
      ...{ made_at: Date.UTC(2026, 4, 3, 9, 30), made_by: 'ann', cas: about.cas, unsigned: about.unsigned },
      watermark: true,
    }),
    files: [...files].map(([name, content]) => ({
      name,
      content: (async function* () {
        yield content;
      })(),
    })),
  });
  const marked = await buffer(made);
  expect(readOfflinePage(marked).about.watermark).toBe(true);
  expect(await open(marked)).toBe('consistent');
  await page.waitForSelector('.below > .watermark');
  const said = await page.locator('.watermark').evaluateAll((marks) => marks.map((mark) => mark.getAttribute('data-watermark')));
  expect(said).toEqual(['ann, 2026-05-03 09:30 UTC', 'ann, 2026-05-03 09:30 UTC']);
  await takePicture(page, 'offline-watermark');
  // Removing the statement from the file is a change like any other.
  expect(await open(Buffer.from(marked.toString('latin1').replace(',"watermark":true', ''), 'latin1'))).toBe('broken');
  expect(complaints).toEqual([]);
});

test('the transcript leads to the moment, and seeking draws what the lines draw', async () => {
  await open(html);
  await page.fill('.transcript input', 'line 29');
  await page.locator('.transcript-lines .seek').first().click();
  await expect.poll(screen, { timeout: 60_000 }).toContain('line 29');
  await page.fill('.transcript input', 'shadow');
  await page.locator('.transcript-lines .seek').first().click();
  await expect.poll(screen, { timeout: 60_000 }).not.toContain('line 29');
  await page.click('.play');
  await expect.poll(screen, { timeout: 60_000 }).toContain('root:*:19000');
  await page.click('.play');
});

test('a hostile recording neither runs nor lies', async () => {
  await open(html);
  expect(await title()).toMatch(/^Recorded session [0-9a-z]{26}$/);
  expect(await page.locator('img, iframe, a[href^=http]').count()).toBe(0);
  const text = await page.locator('.transcript').innerText();
  expect(text).toContain('</script><script>document.title="owned"</script>');
  expect(text).toContain('\\u{202e}gnp.exe\\u{202c}');
  expect(text).not.toContain('evil.invalid');
  expect(await page.locator('.below-main').innerText()).toContain('<img src=x onerror=alert(1)>');
  expect(await page.locator('.session-command').innerText()).toBe('bash -c "</script><b>x"');
  expect(requested).toEqual([]);
  expect(complaints).toEqual([]);
});

test('the files come out as they were put in', async () => {
  await open(html);
  const files = readOfflinePage(html).files;
  for (const [name, button] of [
    ['recording', 'Recording'],
    ['events', 'Event log'],
  ] as const) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator('.take button', { hasText: button }).click()]);
    expect(await buffer(await download.createReadStream())).toEqual(Buffer.from(files.get(name)!));
  }
});

test('a changed byte anywhere breaks it, or keeps it from starting', async () => {
  const outcomes = new Map<string, number>();
  const last = html.lastIndexOf('<script type="application/json"');
  const about = html.indexOf('</script>', last);
  // Positions throughout the file, more of them in the session than in the code.
  const places = [
    ...Array.from({ length: 8 }, (_, i) => Math.floor((html.indexOf('<style>') * i) / 8) + 3),
    html.indexOf('<style>') + 500,
    ...Array.from({ length: 24 }, (_, i) => html.indexOf('data-part') + Math.floor(((about - html.indexOf('data-part')) * i) / 24)),
    ...Array.from({ length: 4 }, (_, i) => about + 40 + Math.floor(((html.length - about - 60) * i) / 4)),
  ];
  for (const at of places) {
    const changed = Buffer.from(html);
    // Replace it with another character of the same kind, so that the base64 stays valid.
    const byte = changed[at]!;
    changed[at] = byte === 0x41 ? 0x42 : 0x41;
    await writeFile(file, changed);
    await page.goto(pathToFileURL(file).href);
    // A page whose code was changed keeps its initial text; a page that runs reaches a verdict.
    const outcome = (await page.locator('.unstarted').count()) > 0 ? 'not started' : await settled();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    expect(['broken', 'not started'], `byte ${at}, which was ${JSON.stringify(html.toString('latin1', at - 20, at + 20))}`).toContain(
      outcome,
    );
    expect(() => {
      const read = readOfflinePage(changed);
      if (read.app.script !== readOfflinePage(html).app.script || read.app.style !== readOfflinePage(html).app.style)
        throw new Error('other code');
    }, `byte ${at}`).toThrow();
  }
  expect([...outcomes.keys()].sort()).toEqual(['broken', 'not started']);
}, 180_000);

test('where a block was changed it says so, and shows what comes before', async () => {
  const { files } = readOfflinePage(html);
  const recording = Buffer.from(files.get('recording')!);
  const frames = [...readContainer(recording)].filter(({ kind }) => kind === 'data');
  const third = frames[2]!;
  recording[third.offset + 20]! ^= 1;
  const read = readOfflinePage(html);
  const { format: _format, files: _files, session, steno, ...about } = read.about;
  async function* once(content: Uint8Array) {
    yield content;
  }
  const page2: Buffer[] = [];
  const content = { session, steno, about: async () => about, files: [{ name: 'recording' as const, content: once(recording) }] };
  for await (const chunk of offlinePage(read.app, content)) page2.push(chunk);
  expect(await open(Buffer.concat(page2))).toBe('broken');
  expect(await page.locator('[data-trust]').innerText()).toMatch(
    /Broken: The recording is broken, at block 9[\s\S]*Up to \d+:\d\d nothing was found changed/,
  );
  expect(await page.locator('.transcript').innerText()).not.toContain('line 29');
  await takePicture(page, 'broken');
});
