/**
 * `kill -9` of a gateway with several people in one session: each of them is told, by their own client if the gateway cannot, and
 * everything that any of them saw is recorded, to the last byte.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { must, viewerOf } from '../end-to-end/client-tools.js';
import { Steno, bin, eventually } from '../end-to-end/machine.js';
import type { Terminal } from '../end-to-end/machine.js';
import { followOnPage } from '../end-to-end/session-page.js';
import { openAuthorities, person } from '../end-to-end/people.js';
import type { Person } from '../end-to-end/people.js';
import { Scene } from './scene.js';

const steno = new Steno();
let [bob, carol]: Person[] = [];
let browser: Browser;
let page: Page;

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const path = join(steno.folder, 'helper.yaml');
  writeFileSync(
    path,
    JSON.stringify({
      ...{ kind: 'role', name: 'helper', view: 'none' },
      allow: { sessions: [{ actions: ['list', 'join'], modes: ['observer', 'peer'] }] },
    }),
  );
  await must(steno.steno('apply', '-f', path));
  const ca = await openAuthorities(steno);
  for (const name of ['bob', 'carol']) await must(steno.steno('users', 'add', name, '--roles', 'helper'));
  bob = await person(steno, ca, 'bob', ['helper'], ['nobody']);
  carol = await person(steno, ca, 'carol', ['helper'], ['nobody']);
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
}, 60_000);

it('every participant is told, and the recording has every byte that any of them was shown', async () => {
  const scene = new Scene(steno);
  await scene.opened();
  const { session } = scene;
  const peer = steno.terminal('ssh', ['-F', bob!.config, '-tt', '-l', `join.${session}.peer`, 'steno-gateway'], { cols: 200, rows: 50 });
  await peer.until(/you type into/);
  const observer = steno.terminal(process.execPath, [bin, 'join', session], { cols: 200, rows: 50 }, { STENO_HOME: carol!.home });
  await observer.until(/you watch/);
  const isOurs = ({ id, live }: SessionInfo): boolean => id === session && live !== undefined;
  const listed = await eventually(
    () => steno.json<SessionInfo[]>('sessions', '--live'),
    (rows) => rows.some(isOurs),
  );
  await followOnPage(steno, page, listed.find(isOurs)!);
  scene.print();
  const people: readonly (readonly [string, Terminal])[] = [
    ['its user', scene.terminal],
    ['the peer', peer],
    ['the observer', observer],
  ];
  await Promise.all(people.map(([, { until }]) => until(new RegExp(`${scene.tag}n000060\r`))));
  await expect.poll(() => page.locator('.ap-term').innerText()).toContain(`${scene.tag}n0000`);

  const { gateway } = steno.run.processes;
  process.kill(gateway!, 'SIGKILL');
  for (const [who, terminal] of people) {
    expect(await terminal.ended, who).toBe(255);
    expect(terminal.text().slice(-600), who).toMatch(/Connection to \S+ closed|Connection reset by peer|Broken pipe/);
  }
  expect(observer.text()).toMatch(/GATEWAY_LOST/);
  await eventually(
    async () => steno.run.processes['gateway'],
    (now) => now !== undefined && now !== gateway,
  );
  // All output of the session's own terminal is recorded, proven and found by searches.
  expect(await scene.check()).toBe('interrupted');
  const cast = await viewerOf(steno).cast(session);
  const recorded = new Set(cast.match(new RegExp(`${scene.tag}n\\d{6}`, 'g')));
  for (const [who, terminal] of people) {
    const shown = [...terminal.text().matchAll(new RegExp(`${scene.tag}n\\d{6}`, 'g'))].map(([line]) => line);
    expect(shown.length, who).toBeGreaterThan(30);
    expect(
      shown.filter((line) => !recorded.has(line)),
      who,
    ).toEqual([]);
  }
  // The recording names the participants, though nobody could write that they left.
  expect(cast).toMatch(/"action":"joined","user":"bob","mode":"peer"/);
  expect(cast).toMatch(/"action":"joined","user":"carol","mode":"observer"/);
  // The page stops following, and shows how the session ended.
  await page.waitForSelector('.live-button', { state: 'detached' });
  const [row] = await eventually(
    async () => (await steno.json<SessionInfo[]>('sessions', '--limit', '20')).filter(({ id }) => id === session),
    ([one]) => one !== undefined && one.state !== 'live',
  );
  expect(row!.state).toMatch(/^(interrupted|sealed)$/);
  await page.reload();
  await expect.poll(() => page.locator('.session-head').innerText()).toMatch(/interrupted|Interrupted|ended|Ended/);
  const late = steno.terminal(process.execPath, [bin, 'join', session], undefined, { STENO_HOME: carol!.home });
  await late.until(/SESSION_NOT_LIVE/);
  expect(await late.ended).toBe(255);
}, 120_000);
