/**
 * One session with full-screen programs, and three programs that show it beside its own terminal: stock `ssh`, PuTTY's `plink` and the page
 * in Chromium. A terminal emulator draws the output of each, and the test compares the screens.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { ScreenTerminal } from '#runtime/terminal/screen-terminal.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { gatewayOf, must } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import type { Terminal } from './machine.js';
import { openAuthorities, person } from './people.js';
import type { Person } from './people.js';
import { followOnPage, openLiveSession } from './session-page.js';

const steno = new Steno();
const size = { cols: 80, rows: 24 };
const people: Person[] = [];
let owner: Terminal;
let session: SessionInfo;
let browser: Browser;
let page: Page;

/** The rows of a terminal's screen, without trailing blanks. */
function screenOf(terminal: Terminal): readonly string[] {
  const screen = new ScreenTerminal(size.cols, size.rows);
  screen.write(terminal.text());
  const rows = Array.from({ length: size.rows }, (_, row) => screen.text(row).trimEnd());
  screen.dispose();
  return rows;
}

beforeAll(async () => {
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  const path = join(steno.folder, 'watcher.yaml');
  writeFileSync(
    path,
    JSON.stringify({ kind: 'role', name: 'watcher', view: 'none', allow: { sessions: [{ actions: ['list', 'join'] }] } }),
  );
  await must(steno.steno('apply', '-f', path));
  const ca = await openAuthorities(steno);
  for (const name of ['bob', 'carol']) {
    await must(steno.steno('users', 'add', name, '--roles', 'watcher'));
    people.push(await person(steno, ca, name, ['watcher'], ['nobody']));
  }
  ({ owner, session } = await openLiveSession(steno, size));
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  await followOnPage(steno, page, session);
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
}, 60_000);

/** `plink` with a key file that holds the certificate, and the fingerprint of the gateway's key. */
async function plink(who: Person): Promise<Terminal> {
  const ppk = join(steno.folder, `${who.name}.ppk`);
  const { status, stderr } = spawnSync('puttygen', [
    join(who.home, 'id_ed25519'),
    '--certificate',
    join(who.home, 'id_ed25519-cert.pub'),
    '-O',
    'private',
    '-o',
    ppk,
  ]);
  if (status !== 0) throw new Error(String(stderr));
  const { host, port, fingerprint } = await gatewayOf(steno);
  const args = ['-batch', '-ssh', '-t', '-P', port, '-hostkey', fingerprint, '-i', ppk, '-l', `join.${session.id}`, host];
  return steno.terminal('plink', args, size);
}

it('tmux with vim inside looks the same to the session’s user, ssh, plink and the page', async () => {
  const socket = join(steno.folder, 'tmux.sock');
  const file = join(steno.folder, 'poem.txt');
  writeFileSync(file, Array.from({ length: 60 }, (_, i) => `line ${i + 1} of the poem, wörter und 中文`).join('\n'));
  owner.write(
    `LC_ALL=C.UTF-8 tmux -u -f /dev/null -S ${socket} new-session 'vim -u NONE -N --noplugin -c "set number noswapfile" ${file}'\r`,
  );
  await owner.until(/line 20 of the poem/);
  // Both join late and get the screen of a program that no longer draws by itself.
  const ssh = steno.terminal('ssh', ['-F', people[0]!.config, '-tt', '-l', `join.${session.id}`, 'steno-gateway'], size);
  await ssh.until(/line 20 of the poem/);
  const putty = await plink(people[1]!);
  await putty.until(/line 20 of the poem/);
  await owner.until(/carol joined this session as observer/);
  // tmux redraws everything, over the join notices and over the status rows of the participants.
  owner.write('Gzb:redraw!\r');
  owner.write('\u0002r');
  const shown = async (): Promise<readonly (readonly string[])[]> => [owner, ssh, putty].map(screenOf);
  const [own] = await eventually(
    shown,
    ([first, ...others]) =>
      first![10] !== '' &&
      first!.some((row) => row.includes('line 60')) &&
      others.every((each) => JSON.stringify(each) === JSON.stringify(first)),
  );
  expect(own!.filter((row) => /^ *\d+ line \d+ of the poem, wörter und 中文$/.test(row)).length).toBeGreaterThan(15);
  expect(own!.some((row) => row.startsWith('[0]'))).toBe(true);
  const terminal = async (): Promise<string[]> =>
    (await page.locator('.ap-term .ap-line').allTextContents()).map((row) => row.replace(/\u00a0/g, ' ').trimEnd());
  await expect.poll(terminal, { timeout: 60_000 }).toEqual(own);
  await expect
    .poll(() => page.locator('.session-head .person').allInnerTexts(), { timeout: 60_000 })
    .toEqual(['bob watching', 'carol watching']);
  // The terminals' replies to queries of vim and tmux did not reach the node.
  owner.write(':q!\r');
  await owner.until(/\[exited\]/);
  ssh.write('q');
  putty.write('q');
  expect(await Promise.all([ssh.ended, putty.ended])).toEqual([0, 0]);
  expect(readFileSync(file, 'utf8')).toMatch(/^line 1 of the poem/);
  owner.write('exit\r');
  await owner.ended;
  rmSync(socket, { force: true });
}, 120_000);
