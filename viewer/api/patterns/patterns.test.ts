/** Patterns over sessions: which users get which figures, and the page in real Chromium. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AlikeSessions, SessionPatterns } from '#schemas/api/recordings/patterns.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { buildPage } from '../testing/built-page.js';
import { accessibilityFaults } from '../testing/accessible.js';
import { headless, watchPage } from '../testing/chromium.js';
import { takePicture } from '../testing/pictures.js';
import { replayed } from '../testing/replayed.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let folder: string;
let stand: Stand;
let context: BrowserContext;
let page: Page;
const complaints: string[] = [];
const HOSTILE = 'x<img src=x onerror="document.title=\'owned\'">';
const monday = Date.UTC(2026, 4, 4);
const HOUR = 3_600_000;
const span = `from=${monday - HOUR}&to=${monday + 200 * HOUR}`;
let made = 0;

const picture = (name: string): Promise<void> => takePicture(page, name);

interface Session {
  readonly user: string;
  readonly node?: string;
  readonly hour: number;
  readonly commands: readonly string[];
  readonly finding?: boolean;
}

/** One command a second, and a finding after the last one. */
async function session({ user, node = 'web-3', hour, commands, finding = false }: Session): Promise<Recorded> {
  made += 1;
  const recorded = await replayed(
    stand,
    { user, node, startedAt: monday + hour * HOUR, state: 'sealed', lines: [[10, { code: 'o', data: 'x\r\n' }]] },
    commands.map((name, i) => ({
      kind: 'exec',
      offset_ms: 1_000 * (i + 1),
      name,
      path: `/usr/bin/${name.split(' ')[0]!}`,
      data: { pid: i + 10 },
    })),
  );
  if (finding) {
    const offset = 1_000 * commands.length;
    const where = { session: recorded.id, user, node, at: recorded.startedAt + offset, offset_ms: offset };
    await stand.events.insert(
      'findings',
      [exampleFindingRow({ id: `pattern-${made}`, ...where, data: '{"tier":"alert"}', evidence: [] })],
      `f ${made}`,
    );
  }
  return recorded;
}

async function get<T>(path: string, user: string, word: string): Promise<{ readonly status: number; readonly body: T }> {
  const answer = await fetch(`${stand.url}${path}`, { headers: { cookie: stand.signIn(user, word) } });
  return { status: answer.status, body: (await answer.json()) as T };
}
const patterns = async (user: string, word: string): Promise<SessionPatterns> =>
  (await get<SessionPatterns>(`/api/patterns?${span}`, user, word)).body;
const alike = async (id: string, user: string, word: string): Promise<AlikeSessions> =>
  (await get<AlikeSessions>(`/api/sessions/${id}/alike?${span}`, user, word)).body;

let first: Recorded;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'steno-patterns-'));
  await buildPage(join(folder, 'web'));
  stand = await openStand(join(folder, 'web'));
  const read = { rules: [{ resources: ['finding'], verbs: ['read'] }] };
  stand.role('own', { view: 'own', allow: read });
  stand.role('web', { allow: { ...read, sessions: [{ actions: ['list', 'view'], where: "session.node == 'web-3'" }] } });
  stand.role('blind', { allow: read });
  stand.role('plain', { view: 'all', deny: read });
  first = await session({ user: 'alice', hour: 3, commands: ['ls -la', 'curl -s http://203.0.113.9', 'nc -e sh'], finding: true });
  await session({ user: 'alice', hour: 3, commands: ['ls', 'curl http://198.51.100.7/x', HOSTILE], finding: true });
  for (let i = 0; i < 6; i++) await session({ user: 'alice', hour: 9 + i, commands: ['ls', 'git pull', 'make test'] });
  await session({ user: 'alice', hour: 40, commands: ['ls -la', 'curl -s http://192.0.2.1'] });
  context = await chromium.launchPersistentContext(join(folder, 'profile'), { ...headless, viewport: { width: 1440, height: 900 } });
  page = context.pages()[0] ?? (await context.newPage());
  watchPage(page, complaints);
}, 120_000);

afterAll(async () => {
  await context?.close();
  await stand?.close();
  await rm(folder, { recursive: true, force: true });
});

test('commands that ran before findings are told with how telling they are, beside nodes and hours', async () => {
  const found = await patterns('alice', 'own');
  expect([found.sessions, found.incidents, found.known]).toEqual([9, 2, 9]);
  expect(found.commands.map(({ command, before, others }) => [command, before, others])).toEqual([
    ['curl', 2, 1],
    ['ls', 2, 7],
  ]);
  expect(found.commands[0]!.lift).toBeGreaterThan(found.commands[1]!.lift * 4);
  expect(found.commands[0]!.sessions).toContain(first.id);
  expect(found.nodes).toEqual([{ node: 'web-3', sessions: 9, incidents: 2 }]);
  expect(found.hours.slice(0, 2)).toEqual([
    { day: 1, hour: 3, sessions: 2, incidents: 2 },
    { day: 1, hour: 9, sessions: 1, incidents: 0 },
  ]);
});

test('sessions alike are those that ran the same commands', async () => {
  const { sessions } = await alike(first.id, 'alice', 'own');
  expect(sessions.map(({ shared, either, commands }) => [shared, either, commands])).toEqual([
    [2, 3, ['curl', 'ls']],
    [2, 4, ['curl', 'ls']],
  ]);
});

test('what somebody may not view changes no number, name or order of what they are told', async () => {
  const before = [await patterns('alice', 'own'), await patterns('carl', 'web'), await alike(first.id, 'alice', 'own')];
  // Sessions that neither user may view: another user's on another node, similar and dissimilar, with and without findings.
  for (let i = 0; i < 4; i++)
    await session({
      user: 'mallory',
      node: 'db-1',
      hour: 3 + i,
      commands: ['ls -la', 'curl -s http://203.0.113.9', 'nc -e sh', 'rare-tool'],
      finding: i % 2 === 0,
    });
  expect([await patterns('alice', 'own'), await patterns('carl', 'web'), await alike(first.id, 'alice', 'own')]).toEqual(before);
  const all = await patterns('root', 'all');
  expect(all.sessions).toBe(13);
  expect(all.commands.map(({ command }) => command)).toContain('rare-tool');
  expect((await alike(first.id, 'root', 'all')).sessions[0]).toMatchObject({ session: { user: 'mallory' }, shared: 3 });
});

test('it takes the right to read findings and to view; the authority is told of each question and each refusal', async () => {
  for (const [user, word, status] of [
    ['root', 'plain', 403],
    ['root', 'blind', 403],
    ['alice', 'own', 200],
  ] as const)
    expect((await get(`/api/patterns?${span}`, user, word)).status, word).toBe(status);
  expect((await get(`/api/sessions/${first.id}/alike`, 'bob', 'own')).status).toBe(404);
  expect((await get('/api/patterns?from=5&to=4', 'alice', 'own')).status).toBe(400);
  const told = stand.disclosures.flatMap((one) =>
    one.event === 'recording.search' && one.mode === 'patterns' ? [[one.query, one.code]] : [],
  );
  expect(told).toContainEqual(['commands before findings', null]);
  expect(told).toContainEqual(['commands before findings', 'ACCESS_DENIED']);
  expect(told).toContainEqual([`sessions like ${first.id}`, null]);
});

const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 60_000 });

test('the page shows commands, nodes and hours, and leads to sessions', async () => {
  await page.goto(`${stand.url}/#sign-in=${stand.link('root', 'all')}`);
  await page.waitForSelector('.row');
  await page.goto(`${stand.url}/patterns?${span}`);
  await page.waitForSelector('.pattern-table tbody tr');
  const text = await page.locator('.patterns').innerText();
  expect(text).toContain('curl');
  expect(text).toMatch(/times as often/);
  expect(await page.locator('.hour-incident').count()).toBeGreaterThan(0);
  await picture('patterns');
  await page.locator('tr', { hasText: 'curl' }).locator('.pattern-links a').first().click();
  await page.waitForSelector('.player[data-phase=paused]');
});

test('sessions alike are looked for by hand beside a replay, and lead to a comparison', async () => {
  const recent = Date.now() - HOUR - monday;
  const one = await session({ user: 'alice', hour: recent / HOUR, commands: ['ls', 'git pull', `${HOSTILE} y`] });
  await session({ user: 'bob', hour: recent / HOUR, commands: ['ls', 'git pull'] });
  await page.goto(`${stand.url}/sessions/${one.id}`);
  await page.locator('.alike button').click();
  await soon(() => page.locator('.alike-list').innerText()).toContain('2 of 3 commands: git pull, ls');
  await page.locator('.alike-compare').first().click();
  await page.waitForSelector('.side[data-side=right] .player[data-phase=paused]');
});

test.each([
  [1440, 900],
  [390, 844],
])('at %d wide nothing is cut off, and axe finds nothing serious, with data and without, by day and by night', async (width, height) => {
  await page.setViewportSize({ width, height });
  for (const [query, there] of [
    [span, '.pattern-hours'],
    ['from=1&to=2', '.empty'],
  ] as const) {
    await page.goto(`${stand.url}/patterns?${query}`);
    await page.waitForSelector(there);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    expect(await accessibilityFaults(page)).toEqual([]);
  }
});

test('nothing of the recordings ran in the page', async () => {
  expect(await page.title()).not.toBe('owned');
  expect(complaints).toEqual([]);
});
