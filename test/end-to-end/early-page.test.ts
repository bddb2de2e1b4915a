/**
 * The page of a session that is not listed yet, because its gateway cannot reach ingest: it waits, says so, follows as soon as the session is
 * listed, and becomes the replay of the whole when the session ends. In Chromium, with ssh through a second gateway.
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dataDir, readRunFile } from '../../cli/machine/data-dir.js';
import { accessibilityFaults } from '../../viewer/api/testing/accessible.js';
import { headless, watchPage } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { SessionRow } from './machine.js';
import { startGateway } from './second-gateway.js';
import type { SecondGateway } from './second-gateway.js';
import { signInOwner } from './session-page.js';

const steno = new Steno();
const target = `${steno.login}@local`;
const complaints: string[] = [];
let ingest: HeldRelay;
let gateway: SecondGateway;
let browser: Browser;
let page: Page;
let origin: string;

interface HeldRelay {
  readonly url: string;
  /** Connections are accepted, but nothing passes until `release`. */
  hold(): void;
  release(): void;
  close(): void;
}

async function heldRelay(to: URL): Promise<HeldRelay> {
  let held: Socket[] | null = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    return socket;
  };
  const pass = (socket: Socket): void => {
    const other = keep(connect(Number(to.port), to.hostname));
    socket.on('close', () => other.destroy());
    other.on('close', () => socket.destroy());
    socket.pipe(other).pipe(socket);
  };
  const server = createServer((socket) => {
    keep(socket);
    if (held === null) pass(socket);
    else held.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `wss://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      held ??= [];
      for (const socket of sockets) socket.destroy();
    },
    release() {
      for (const socket of held ?? []) if (!socket.destroyed) pass(socket);
      held = null;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** The id of the only session in the gateway's spool that is not among `known`. */
function newSession(known: readonly string[]): Promise<string> {
  const spooled = async (): Promise<readonly string[]> =>
    readdirSync(join(steno.folder, 'held'), { recursive: true, encoding: 'utf8' }).flatMap(
      (name) => /(?:^|\/)([0-9a-z]{26})\.cast$/.exec(name)?.[1] ?? [],
    );
  return eventually(spooled, (ids) => ids.some((id) => !known.includes(id))).then((ids) => ids.find((id) => !known.includes(id))!);
}
const listed = async (id: string): Promise<SessionRow | undefined> => (await viewerOf(steno).sessions()).find((row) => row.id === id);
const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 60_000 });
const heading = (): Promise<string> => page.locator('.empty h2').innerText();
const screen = (): Promise<string> => page.locator('.ap-term').innerText();

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const run = readRunFile(dataDir(steno.data));
  ingest = await heldRelay(new URL(run.ingest));
  gateway = await startGateway(steno, 'held', { authorities: [run.authority], ingest: [ingest.url] });
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  watchPage(page, complaints);
  origin = await signInOwner(steno, page);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await gateway?.stop();
  ingest?.close();
  await steno.dispose();
}, 60_000);

it('waits for a session that is not listed yet, follows it once it is, and replays the whole when it ends', async () => {
  const owner = gateway.terminal(target);
  await owner.until(/[$#] $/);
  const id = await newSession([]);
  owner.write('echo before-$((1 + 1))\r');
  await owner.until(/before-2/);
  await page.goto(`${origin}/sessions/${id}`);
  await soon(heading).toBe('Not yet listed; waiting');
  expect(await listed(id)).toBeUndefined();
  await takePicture(page, 'session-unlisted');
  expect(await accessibilityFaults(page)).toEqual([]);
  ingest.release();
  await page.waitForSelector('.live-button.following');
  await soon(screen).toContain('before-2');
  owner.write('echo after-$((2 + 2))\r');
  await owner.until(/after-4/);
  await soon(screen).toContain('after-4');
  owner.write('sleep 1; exit 7\r');
  await owner.ended;
  // Without a reload: no longer live, with its exit, sealed, and replayed from the first moment to the last.
  await page.waitForSelector('.live-state', { state: 'detached' });
  await soon(() => page.locator('.session-head .exit').innerText()).toBe('7');
  await page.waitForSelector('.session-head .badge-sealed');
  await page.locator('.track').focus();
  await page.keyboard.press('Home');
  await soon(screen).not.toContain('before-2');
  await page.keyboard.press('k');
  await page.waitForSelector('.player[data-phase=playing]');
  await page.waitForSelector('.player[data-phase=ended]');
  expect(await screen()).toContain('after-4');
  // What came last is in the panes too.
  await page.locator('#tab-commands').click();
  await soon(() => page.locator('#pane').innerText()).toContain('exit 7');
}, 180_000);

it('becomes the replay of a session that had ended before it was listed', async () => {
  ingest.hold();
  const known = (await viewerOf(steno).sessions()).map((row) => row.id);
  const ran = gateway.ssh(target, 'echo short-$((3 + 3))');
  expect((await ran).stdout).toBe('short-6\n');
  const id = await newSession(known);
  await page.goto(`${origin}/sessions/${id}`);
  await soon(heading).toBe('Not yet listed; waiting');
  ingest.release();
  await page.waitForSelector('.player[data-phase=paused]');
  await page.locator('.track').focus();
  await page.keyboard.press('End');
  await soon(screen).toContain('short-6');
});

it('the wait ends when the user says so, and an unknown id is explained', async () => {
  const unknown = '01jdv3k5m8q2w7x9y4z6a0b1c2';
  await page.goto(`${origin}/sessions/${unknown}`);
  await soon(heading).toBe('Not yet listed; waiting');
  await page.getByRole('button', { name: 'Stop waiting' }).press('Enter');
  await soon(heading).toBe('No session is listed under this id');
  expect(await page.locator('.empty').innerText()).toContain(unknown);
  await takePicture(page, 'session-unknown');
  expect(await accessibilityFaults(page)).toEqual([]);
  // The button that ended the wait begins it again, and kept the focus.
  await page.keyboard.press('Enter');
  await soon(heading).toBe('Not yet listed; waiting');
  await page.getByRole('link', { name: 'Sessions', exact: true }).last().click();
  await page.getByRole('heading', { name: 'Sessions' }).waitFor();
  expect(complaints.filter((line) => !line.includes('404'))).toEqual([]);
});
