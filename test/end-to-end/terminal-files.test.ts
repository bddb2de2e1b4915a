/**
 * Files beside the terminal of the page, in Chromium and through a gateway: folders, a download, an upload that asks before it
 * overwrites. The recording of each is the same as for stock `sftp`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { accessibilityFaults } from '../../viewer/api/testing/accessible.js';
import { headless } from '../../viewer/api/testing/chromium.js';
import { takePicture } from '../../viewer/api/testing/pictures.js';
import { must, viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';
import { openAuthorities, person } from './people.js';
import { signInOwner } from './session-page.js';

const steno = new Steno();
const folder = mkdtempSync(join(tmpdir(), 'steno-files-'));
const complaints: string[] = [];
const [big, up] = [randomBytes(3_000_001), randomBytes(2_000_003)];
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
let browser: Browser;
let page: Page;
let web: string;

beforeAll(async () => {
  mkdirSync(join(folder, 'inner'));
  writeFileSync(join(folder, 'big.bin'), big);
  writeFileSync(join(folder, 'taken.txt'), 'before');
  // Hostile names must be shown as text.
  writeFileSync(join(folder, '<img src=x onerror=alert(1)>\u202etxt.exe'), 'odd');
  await steno.start();
  await must(steno.steno('login', '--data', steno.data));
  browser = await chromium.launch(headless);
  page = await browser.newPage({ viewport: { width: 1440, height: 800 } });
  page.setDefaultTimeout(30_000);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => void dialog.accept());
  web = await signInOwner(steno, page);
  await page.goto(`${web}/terminal?node=local&login=${steno.login}`);
  await page.waitForSelector('.terminal-page[data-state=running]');
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await steno.dispose();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const soon = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 30_000 });
const transfers = async (): Promise<string[]> =>
  (await page.locator('.transfer').allInnerTexts()).map((text) => text.replace(/\s+/g, ' ').trim());
const sessionsOf = async (kind: string): Promise<readonly SessionInfo[]> =>
  (await viewerOf(steno).sessions()).filter((session) => session.kind === kind);
const picture = (name: string): Promise<void> => takePicture(page, name);
const accessible = async (): Promise<void> => expect(await accessibilityFaults(page, ['.terminal-screen'])).toEqual([]);

it('shows the start folder of sessions, and opens other folders', async () => {
  await page.click('.terminal-acts button:has-text("Files")');
  await page.waitForSelector('.files-list .file');
  await page.fill('.files-place form input', folder);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.file:has-text("big.bin")');
  expect(await page.locator('.file-name').allInnerTexts()).toEqual([
    'inner/',
    expect.stringContaining('<img src=x onerror=alert(1)>'),
    'big.bin',
    'taken.txt',
  ]);
  await page.click('.file:has-text("inner/")');
  await page.waitForSelector('text=Nothing is in this folder.');
  await page.click('button[aria-label="To the folder above"]');
  await page.waitForSelector('.file:has-text("big.bin")');
  await page.fill('.files-place form input', '/nowhere');
  await page.keyboard.press('Enter');
  await soon(() => page.locator('.files-error').innerText()).toBe('There is no such file.');
  await picture('files');
  await accessible();
});

it('downloads and uploads whole files, and asks before it overwrites one', async () => {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('.file:has-text("big.bin")')]);
  expect(download.suggestedFilename()).toBe('big.bin');
  expect(sha256(readFileSync(await download.path()))).toBe(sha256(big));
  await page.setInputFiles('.files-upload input', [
    { name: 'up.bin', mimeType: 'application/octet-stream', buffer: up },
    { name: 'taken.txt', mimeType: 'text/plain', buffer: Buffer.from('after') },
  ]);
  await soon(transfers).toEqual([
    expect.stringMatching(/^↓ big\.bin done/),
    expect.stringMatching(/^↑ up\.bin done/),
    expect.stringMatching(/^↑ taken\.txt is there already/),
  ]);
  await page.waitForSelector('.file:has-text("up.bin")');
  await page.locator('.terminal-bar h1').click();
  expect(sha256(readFileSync(join(folder, 'up.bin')))).toBe(sha256(up));
  expect(readFileSync(join(folder, 'taken.txt'), 'utf8')).toBe('before');
  await picture('files-transfers');
  await accessible();
  await page.click('.transfer button:has-text("Replace")');
  await soon(async () => (await transfers()).at(-1)).toMatch(/done/);
  expect(readFileSync(join(folder, 'taken.txt'), 'utf8')).toBe('after');
  // The field no longer has the invalid path once another folder is shown.
  await soon(() => page.locator('.files-place form input').inputValue()).toBe(folder);
  const odd = await Promise.all([page.waitForEvent('download'), page.click('.file:has-text("onerror")')]).then(([one]) => one);
  expect(odd.suggestedFilename()).not.toMatch(/[<>\u202e]/);
});

it('shows the progress of a long transfer, continues while hidden, and can cancel it', async () => {
  const long = join(steno.folder, 'long.bin');
  writeFileSync(long, Buffer.alloc(120_000_000, 7));
  await page.setInputFiles('.files-upload input', long);
  await soon(() => page.locator('.transfer progress').evaluate((bar: HTMLProgressElement) => bar.value)).toBeGreaterThan(0);
  await page.click('.terminal-acts button:has-text("Files")');
  expect(await page.locator('.files').isVisible()).toBe(false);
  await page.click('.terminal-acts button:has-text("Files")');
  await page.click('.transfer button:has-text("Cancel")');
  await soon(async () => (await transfers()).at(-1)).toMatch(/long\.bin cancelled/);
  await page.click('.file:has-text("inner/")');
  await page.waitForSelector('text=Nothing is in this folder.');
});

it('makes folders, renames, and deletes after confirmation', async () => {
  const row = (name: string) => page.locator('.files-row', { hasText: name });
  await page.click('button[aria-label="To the folder above"]');
  await page.waitForSelector('.file:has-text("big.bin")');
  await page.click('button:has-text("New folder")');
  await page.fill('input[aria-label="Name of the new folder"]', 'made <b>here');
  await page.keyboard.press('Enter');
  await row('made <b>here/').waitFor();
  expect(statSync(join(folder, 'made <b>here')).isDirectory()).toBe(true);
  // Nothing is overwritten.
  await row('up.bin').locator('.file-more').click();
  await row('up.bin').locator('button:has-text("Rename")').click();
  await page.fill('input[aria-label="New name of up.bin"]', 'taken.txt');
  await page.keyboard.press('Enter');
  await soon(() => page.locator('.files-error').innerText()).toBe('This name is taken.');
  expect(readFileSync(join(folder, 'taken.txt'), 'utf8')).toBe('after');
  await row('taken.txt').locator('.file-more').click();
  await row('taken.txt').locator('button:has-text("Rename")').click();
  await page.fill('input[aria-label="New name of taken.txt"]', 'renamed.txt');
  await page.keyboard.press('Enter');
  await row('renamed.txt').waitFor();
  expect(readFileSync(join(folder, 'renamed.txt'), 'utf8')).toBe('after');
  await row('renamed.txt').locator('.file-more').click();
  await row('renamed.txt').locator('button:has-text("Delete")').click();
  await picture('files-delete');
  await accessible();
  await row('renamed.txt').locator('button:has-text("Keep it")').click();
  expect(existsSync(join(folder, 'renamed.txt'))).toBe(true);
  for (const name of ['renamed.txt', 'made <b>here']) {
    await row(name).locator('.file-more').click();
    await row(name).locator('button:has-text("Delete")').click();
    await row(name).locator('button:has-text("Delete it")').click();
    await soon(() => row(name).count()).toBe(0);
    expect(existsSync(join(folder, name))).toBe(false);
  }
});

it('ends when its panel is closed, and is recorded as sftp beside the shell', async () => {
  expect((await sessionsOf('sftp')).map(({ state }) => state)).toEqual(['live']);
  await page.click('.files-head button:has-text("Close files")');
  const [session] = await eventually(
    () => sessionsOf('sftp'),
    (found) => found.length === 1 && found[0]!.state === 'sealed',
    90_000,
  );
  expect(session).toMatchObject({ user: expect.any(String), node: 'local', login: steno.login, client_version: 'Steno_page' });
  const cast = await viewerOf(steno).cast(session!.id);
  for (const [operation, path, bytes] of [
    ['download', 'big.bin', big],
    ['upload', 'up.bin', up],
  ] as const) {
    const line = cast.split('\n').find((one) => one.includes(join(folder, path)) && one.includes(sha256(bytes)));
    expect(line, `${operation} of ${path}`).toBeDefined();
    expect(line).toContain('sftp');
  }
  for (const [operation, name] of [
    ['mkdir', 'made <b>here'],
    ['rename', 'taken.txt'],
    ['remove', 'renamed.txt'],
    ['rmdir', 'made <b>here'],
  ] as const)
    expect(cast.split('\n').find((one) => one.includes(`"${operation}"`) && one.includes(join(folder, name)))).toContain('success');
  expect((await steno.steno('verify', session!.id)).status).toBe(0);
  // The shell continues.
  await page.locator('.terminal-screen').click();
  await page.keyboard.type('echo "still ""here"');
  await page.keyboard.press('Enter');
  await soon(() => page.locator('.xterm-rows').innerText()).toContain('still here');
});

it('ends with the terminal, with a message', async () => {
  await page.click('.terminal-acts button:has-text("Files")');
  await page.waitForSelector('.files-list .file');
  const [shell] = await eventually(
    () => sessionsOf('sftp'),
    (found) => found.filter(({ state }) => state === 'live').length === 1,
  ).then((found) => found.filter(({ state }) => state === 'live'));
  await must(steno.steno('sessions', 'end', shell!.id, '--reason', 'enough files'));
  await soon(() => page.locator('.files-over').innerText()).toMatch(/enough files/);
  expect(await page.locator('.terminal-page').getAttribute('data-state')).toBe('running');
  await page.click('.files-over button:has-text("Open again")');
  await page.waitForSelector('.files-list .file');
  await page.click('.terminal-acts button:has-text("Close"):not(:has-text("files"))');
  await page.waitForSelector('.files-over');
});

it('waits for the participants that a role demands, shows how they join, and continues once they have', async () => {
  const path = join(steno.folder, 'roles.yaml');
  for (const document of [
    { kind: 'role', name: 'guarded', allow: { nodes: { '*': '*' }, logins: [steno.login] }, moderation: { modes: ['moderator'] } },
    { kind: 'role', name: 'helper', view: 'none', allow: { sessions: [{ actions: ['list', 'join', 'moderate'], modes: ['moderator'] }] } },
  ]) {
    writeFileSync(path, JSON.stringify(document));
    await must(steno.steno('apply', '-f', path));
  }
  await must(steno.steno('users', 'add', 'carol', '--roles', 'helper'));
  await must(steno.steno('users', 'edit', steno.login, '--roles', 'admin,guarded'));
  const carol = await person(steno, await openAuthorities(steno), 'carol', ['helper'], ['nobody']);
  const moderate = async (id: string): Promise<void> => {
    const joined = steno.terminal(process.execPath, [bin, 'join', id, '--mode', 'moderator'], undefined, { STENO_HOME: carol.home });
    await joined.until(/you moderate/);
  };
  const asked = async (place: string): Promise<string> => {
    const pattern = /steno join ([0-9a-z]{26})/;
    // A terminal wraps the line where its box ends.
    const text = async (): Promise<string> => (await page.locator(place).innerText()).replace(/\n/g, '');
    await soon(text).toMatch(pattern);
    return pattern.exec(await text())![1]!;
  };
  await page.goto('about:blank');
  await page.goto(`${web}/terminal?node=local&login=${steno.login}`);
  await moderate(await asked('.xterm-rows'));
  await page.waitForSelector('.terminal-page[data-state=running]');
  await page.click('.terminal-acts button:has-text("Files")');
  const id = await asked('.files-note');
  await picture('files-moderated');
  await accessible();
  expect(await page.locator('.files-list').count()).toBe(0);
  await moderate(id);
  await page.waitForSelector('.files-list .file');
  expect(complaints).toEqual([]);
});
