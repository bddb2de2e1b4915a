/**
 * The page's SSH client (viewer/web/ssh/) in Node, which has the same WebCrypto as a browser, against a stock OpenSSH server: a
 * shell, its size, large streams both ways, rekeying in between, and everything that the client must refuse. Skipped without sshd
 * or root. terminal.test.ts and terminal-files.test.ts cover the gateway's side.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { sshdConfig } from '#runtime/testing/sshd-config.js';
import { WINDOW } from '../../viewer/web/ssh/channel.js';
import { SshSession } from '../../viewer/web/ssh/session.js';
import type { End } from '../../viewer/web/ssh/session.js';
import { FileBrowser, textOf } from '../../viewer/web/files/file-browser.js';
import type { FilesState } from '../../viewer/web/files/file-browser.js';
import { newUserKey } from '../../viewer/web/ssh/web-crypto.js';

const sshd = '/usr/sbin/sshd';
const able = existsSync(sshd) && process.getuid?.() === 0;
const PRINCIPAL = 'steno-gateway@main';
const LOGIN = userInfo().username;
const hour = 3_600n;
const now = (): bigint => BigInt(Math.floor(Date.now() / 1000));

const [userCa, hostCa, otherCa, host] = [generateKey(), generateKey(), generateKey(), generateKey()];
let dir: string;
const children = new Set<ChildProcess>();

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'steno-page-ssh-'));
  mkdirSync('/run/sshd', { recursive: true });
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text.endsWith('\n') ? text : `${text}\n`, { mode: 0o600 });
  return join(dir, name);
};
function config(principals: readonly string[], more: readonly string[], ca = hostCa): string {
  const certificate = issueCertificate(ca, {
    publicKey: host.publicBlob,
    serial: 1n,
    kind: 'host',
    keyId: 'host',
    principals,
    validAfter: now() - hour,
    validBefore: now() + hour,
    criticalOptions: new Map(),
    extensions: new Map(),
  });
  const files = {
    hostKeys: [{ key: file('host', host.toOpenSsh()), certificate: file('host-cert.pub', formatPublicLine(certificate)) }],
    userCas: file('user_ca.pub', formatPublicLine(userCa.publicBlob)),
  };
  return file('sshd_config', sshdConfig(files, more));
}

interface Shell {
  readonly session: SshSession;
  text(): string;
  until(pattern: RegExp): Promise<string>;
  readonly end: Promise<End>;
  readonly banners: string[];
}

/** `pieces`: size in bytes of the pieces in which the server's output arrives. */
async function open({
  principals = [PRINCIPAL],
  more = [],
  ca = hostCa,
  login = LOGIN,
  pieces = Infinity,
  drawing = (drawn) => drawn(),
  alter = (bytes: Buffer) => bytes,
}: {
  readonly principals?: readonly string[];
  readonly more?: readonly string[];
  readonly ca?: typeof hostCa;
  readonly login?: string;
  readonly pieces?: number;
  readonly drawing?: (drawn: () => void) => void;
  readonly alter?: (bytes: Buffer) => Buffer;
} = {}): Promise<Shell> {
  const key = await newUserKey();
  const certificate = issueCertificate(userCa, {
    publicKey: key.publicBlob,
    serial: 1n,
    kind: 'user',
    keyId: 'user',
    principals: [login],
    validAfter: now() - hour,
    validBefore: now() + hour,
    criticalOptions: new Map(),
    extensions: new Map([['permit-pty', '']]),
  });
  const child = spawn(sshd, ['-i', '-e', '-f', config(principals, more, ca)], { stdio: ['pipe', 'pipe', 'ignore'] });
  children.add(child);
  child.stdin.on('error', () => undefined);
  let text = '';
  const banners: string[] = [];
  const watchers = new Set<() => void>();
  let ended: (end: End) => void;
  const end = new Promise<End>((resolve) => {
    ended = resolve;
  });
  const session = new SshSession(
    { send: (bytes) => void child.stdin.write(bytes), close: () => child.stdin.end() },
    {
      userName: LOGIN,
      key,
      certificate,
      trust: { cas: [formatPublicLine(hostCa.publicBlob)], principal: PRINCIPAL, now: Date.now },
      size: { cols: 91, rows: 27 },
    },
    {
      banner: (words) => void banners.push(words),
      started: () => undefined,
      output: (bytes, drawn) => {
        text += Buffer.from(bytes).toString('latin1');
        for (const look of watchers) look();
        drawing(drawn);
      },
      recording: () => undefined,
      reconnect: () => undefined,
      ended: (how) => ended(how),
    },
  );
  child.stdout.on('data', (chunk: Buffer) => {
    const bytes = alter(chunk);
    for (let at = 0; at < bytes.length; at += pieces) session.receive(Uint8Array.from(bytes.subarray(at, at + pieces)));
  });
  child.stdout.on('close', () => session.ended(new StenoError('SSH_PROTOCOL', 'cut off')));
  await session.start();
  return {
    session,
    banners,
    end,
    text: () => text,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          // Search only the end: the output may be long.
          if (!pattern.test(text.slice(-4096))) return;
          watchers.delete(look);
          resolve(text);
        };
        watchers.add(look);
        void end.then((how) => reject(new Error(`ended ${JSON.stringify(how)} before ${pattern}:\n${text.slice(-2000)}`)));
        look();
      }),
  };
}
/** Length of the longest run of `x`. */
const xs = (text: string): number => Math.max(...text.split(/[^x]+/).map(({ length }) => length));
const type = ({ session }: Shell, words: string): boolean => session.input(new TextEncoder().encode(words));

describe.skipIf(!able)('the SSH client of the page', () => {
  test('opens a shell of the terminal’s size, resizes it, and reports how it ended', async () => {
    const shell = await open();
    type(shell, 'stty size; echo "re""ady"\n');
    expect(await shell.until(/ready/)).toContain('27 91');
    shell.session.resize({ cols: 120, rows: 40 });
    type(shell, 'stty size; echo "again"; exit 7\n');
    await shell.until(/40 120/);
    expect(await shell.end).toEqual({ kind: 'exit', status: 7 });
  });

  test.each(['curve25519-sha256', 'ecdh-sha2-nistp256'])('exchanges keys by %s', async (kex) => {
    const shell = await open({ more: [`KexAlgorithms ${kex}`] });
    type(shell, 'echo "he""re"; exit\n');
    await shell.until(/here/);
    expect(await shell.end).toEqual({ kind: 'exit', status: 0 });
  });

  test.each(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'])('encrypts by %s, and accepts input byte by byte', async (cipher) => {
    const shell = await open({ more: [`Ciphers ${cipher}`], pieces: 1 });
    type(shell, 'echo "he""re"; kill -9 $$\n');
    await shell.until(/here/);
    expect(await shell.end).toEqual({ kind: 'signal', name: 'KILL' });
  });

  test('receives more than its window while both sides rekey', async () => {
    let pieces = 0;
    const shell: Shell = await open({
      more: ['RekeyLimit 1M'],
      drawing: (drawn) => {
        drawn();
        // By number of pieces, not by time: otherwise a busy machine would do nothing but rekey.
        pieces += 1;
        if (pieces % 16 === 0) shell.session.rekey();
      },
    });
    type(shell, 'stty -onlcr; head -c 6000000 /dev/zero | tr "\\0" x; echo; echo "do""ne"\n');
    const text = await shell.until(/done/);
    expect(xs(text)).toBe(6_000_000);
    type(shell, 'exit\n');
    expect(await shell.end).toEqual({ kind: 'exit', status: 0 });
  });

  test('sends more than the window of the other side, in order', async () => {
    const shell = await open();
    const length = 3_000_000;
    type(shell, `stty raw -echo; echo "re""ady"; head -c ${length} | sha256sum; exit\n`);
    await shell.until(/ready/);
    const bytes = new Uint8Array(length).map((_, i) => (i * 7919) % 251);
    shell.session.rekey();
    expect(shell.session.input(bytes)).toBe(true);
    await shell.until(new RegExp(createHash('sha256').update(bytes).digest('hex')));
  });

  test('receives no more than its window until the output is drawn', async () => {
    const undrawn: (() => void)[] = [];
    const shell = await open({ drawing: (drawn) => void undrawn.push(drawn) });
    type(shell, 'stty -onlcr; head -c 3000000 /dev/zero | tr "\\0" x; echo "do""ne"; exit\n');
    // More than that ends the connection (session.ts).
    await expect.poll(() => shell.text().length, { timeout: 60_000 }).toBeGreaterThan(WINDOW - 64 * 1024);
    expect(shell.text().length).toBeLessThanOrEqual(WINDOW);
    expect(shell.text()).not.toContain('done');
    const draw = setInterval(() => {
      for (const drawn of undrawn.splice(0)) drawn();
    }, 1);
    expect(xs(await shell.until(/done/))).toBe(3_000_000);
    expect(await shell.end).toEqual({ kind: 'exit', status: 0 });
    clearInterval(draw);
  });

  test.each([
    ['a host certificate of another CA', { ca: otherCa }, /its CA key is not one/],
    ['a host certificate of a node', { principals: ['web-1', 'main'] }, /not for the host "steno-gateway@main"/],
    ['a server without AES-GCM', { more: ['Ciphers aes128-ctr'] }, /no cipher in common/],
    ['a server with another key exchange', { more: ['KexAlgorithms diffie-hellman-group14-sha256'] }, /no key exchange in common/],
  ])('refuses %s before it reveals anything about the user', async (_, options, why) => {
    const { end } = await open(options);
    const how = await end;
    expect(how).toMatchObject({ kind: 'failed', error: { message: expect.stringMatching(why) as unknown } });
  });

  test('refuses a packet that was altered in transit', async () => {
    let seen = 0;
    const { end } = await open({
      alter: (bytes) => {
        seen += bytes.length;
        const altered = Buffer.from(bytes);
        // Only after the key exchange: a change there fails in another way.
        if (seen > 2_000) altered[altered.length - 1]! ^= 1;
        return altered;
      },
    });
    expect(await end).toMatchObject({ kind: 'failed', error: { code: 'SSH_PROTOCOL' } });
  });

  test('reports that it was not admitted', async () => {
    const { end } = await open({ login: 'somebody-else' });
    expect(await end).toEqual({ kind: 'refused' });
  });

  test('can disconnect', async () => {
    const shell = await open();
    type(shell, 'echo "he""re"\n');
    await shell.until(/here/);
    shell.session.close();
    expect(await shell.end).toEqual({ kind: 'left' });
  });
});

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function running(more: readonly string[] = []): Promise<Shell> {
  const shell = await open({ more });
  type(shell, 'echo "re""ady"\n');
  await shell.until(/ready/);
  return shell;
}

/** A file browser beside a shell, and the saved files. */
async function browse(shell: Shell, folder: string, name = 'sftp') {
  const saved = new Map<string, Blob>();
  const browser = new FileBrowser({
    open: (events) => shell.session.subsystem(name, events),
    save: (name, content) => void saved.set(name, content),
    now: () => performance.now(),
  });
  const until = (holds: (state: FilesState) => boolean): Promise<FilesState> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (!holds(browser.state)) return;
        stop();
        resolve(browser.state);
      };
      const stop = browser.subscribe(look);
      look();
    });
  const settled = (): Promise<FilesState> =>
    until(({ transfers }) => transfers.every(({ state }) => state !== 'waiting' && state !== 'running'));
  await until(({ phase, folder: shown, error }) => phase === 'over' || shown !== null || error !== '');
  if (browser.state.phase === 'open') await browser.go(folder);
  const entry = (name: string) => browser.state.folder!.entries.find((one) => textOf(one.name) === name)!;
  const states = (): readonly string[] => browser.state.transfers.map(({ state, why }) => `${state} ${why}`.trim());
  return { browser, saved, until, settled, entry, states };
}

describe.skipIf(!able)('files beside the shell', () => {
  let folder: string;
  beforeAll(() => {
    folder = join(dir, 'files');
    mkdirSync(join(folder, 'inner'), { recursive: true });
  });

  test('larger than any window are uploaded and downloaded intact while the shell is used and both sides rekey', async () => {
    const shell = await running(['RekeyLimit 1M']);
    const big = randomBytes(5_000_001);
    writeFileSync(join(folder, 'big'), big);
    writeFileSync(join(folder, 'empty'), '');
    symlinkSync('inner', join(folder, 'to-inner'));
    const { browser, saved, settled, entry, states } = await browse(shell, folder);
    expect(browser.state.folder!.entries.map(({ name, kind, size }) => [textOf(name), kind, size])).toEqual([
      ['inner', 'folder', null],
      ['big', 'file', big.length],
      ['empty', 'file', 0],
      ['to-inner', 'link', null],
    ]);
    await browser.pick(entry('big'));
    await browser.pick(entry('empty'));
    const up = randomBytes(3_000_000);
    browser.upload([new File([up], 'up', {}), new File([], 'nothing')]);
    type(shell, 'echo "still ""here"\n');
    await shell.until(/still here/);
    await settled();
    expect(states()).toEqual(['done', 'done', 'done', 'done']);
    expect(hash(new Uint8Array(await saved.get('big')!.arrayBuffer()))).toBe(hash(big));
    expect(saved.get('empty')!.size).toBe(0);
    expect(hash(readFileSync(join(folder, 'up')))).toBe(hash(up));
    expect(readFileSync(join(folder, 'nothing')).length).toBe(0);
    await browser.pick(entry('to-inner'));
    // A server may return the path of the link or of its target.
    expect(textOf(browser.state.folder!.path)).toMatch(/\/(to-)?inner$/);
    browser.close();
    type(shell, 'exit 4\n');
    expect(await shell.end).toEqual({ kind: 'exit', status: 4 });
  });

  test('folders are made, files renamed and removed, and nothing is overwritten', async () => {
    const shell = await running();
    const place = join(folder, 'altered');
    mkdirSync(place);
    writeFileSync(join(place, 'a'), 'a');
    writeFileSync(join(place, 'b'), 'b');
    symlinkSync('nowhere', join(place, 'dangling'));
    symlinkSync('/etc', join(place, 'to-etc'));
    const { browser, entry } = await browse(shell, place);
    const names = (): readonly string[] => browser.state.folder!.entries.map(({ name }) => textOf(name));
    await browser.makeFolder('new folder');
    expect(names()).toEqual(['new folder', 'a', 'b', 'dangling', 'to-etc']);
    await browser.rename(entry('a'), 'new folder');
    expect(browser.state.error).toBe('This name is taken');
    await browser.rename(entry('a'), 'dangling');
    expect(browser.state.error).toBe('This name is taken');
    for (const name of ['', '.', '..', '../a', 'x\0y', 'é'.repeat(128)]) {
      await browser.makeFolder(name);
      expect(browser.state.error).toMatch(/no name|too long/);
    }
    await browser.rename(entry('a'), 'c ü');
    expect(browser.state.error).toBe('');
    expect(readFileSync(join(place, 'c ü'), 'utf8')).toBe('a');
    writeFileSync(join(place, 'new folder', 'inside'), '');
    await browser.remove(entry('new folder'));
    expect(browser.state.error).toBe('The node says that it failed');
    rmSync(join(place, 'new folder', 'inside'));
    for (const name of ['new folder', 'b', 'dangling', 'to-etc']) await browser.remove(entry(name));
    expect(names()).toEqual(['c ü']);
    expect(existsSync('/etc/passwd')).toBe(true);
    await browser.rename({ ...entry('c ü'), name: Buffer.from('gone') }, 'd');
    expect(browser.state.error).toBe('There is no such file');
  });

  test('files without a size and names that are not UTF-8 can be read', async () => {
    const shell = await running();
    writeFileSync(Buffer.concat([Buffer.from(join(folder, 'inner/')), Buffer.from([0x61, 0xff, 0x0a, 0x62])]), 'odd');
    const { browser, saved, settled, entry } = await browse(shell, join(folder, 'inner'));
    await browser.pick(browser.state.folder!.entries[0]!);
    await browser.go('/proc/self');
    await browser.pick(entry('status'));
    await settled();
    expect(await saved.get('a\ufffd_b')!.text()).toBe('odd');
    expect(await saved.get('status')!.text()).toMatch(/^Name:/);
    shell.session.close();
  });

  test('the client asks before it overwrites; a cancelled or refused file is reported, and the next one is transferred', async () => {
    const shell = await running();
    writeFileSync(join(folder, 'taken'), 'before');
    const { browser, until, settled, states } = await browse(shell, folder);
    const files = [
      ['first', 'taken'],
      ['second', 'inner'],
      [randomBytes(60_000_000), 'long'],
      ['x', 'after'],
    ] as const;
    browser.upload(files.map(([content, name]) => new File([content], name)));
    await until(({ transfers }) => transfers[2]!.done > 0);
    browser.cancel(2);
    await settled();
    expect(states()).toEqual(['asks', 'failed A folder has this name', 'cancelled', 'done']);
    expect(readFileSync(join(folder, 'taken'), 'utf8')).toBe('before');
    browser.replace(0);
    await settled();
    expect([states()[0], readFileSync(join(folder, 'taken'), 'utf8')]).toEqual(['done', 'first']);
    await browser.go('/nowhere/at/all');
    expect(browser.state.error).toBe('There is no such file');
    expect(textOf(browser.state.folder!.path)).toBe(folder);
    shell.session.close();
  });

  test('end with the shell, and the client says if the node offers no sftp', async () => {
    const without = await running();
    const none = await browse(without, folder, 'nothing');
    expect([none.browser.state.phase, none.browser.state.said]).toEqual(['over', 'the node offers no nothing']);
    type(without, 'echo "still ""here"\n');
    await without.until(/still here/);
    without.session.close();
    const shell = await running();
    const { browser, until, states } = await browse(shell, folder);
    browser.upload([new File([randomBytes(60_000_000)], 'cut')]);
    await until(({ transfers }) => transfers[0]!.done > 0);
    type(shell, 'exit\n');
    await shell.end;
    await until(({ phase, transfers }) => phase === 'over' && transfers[0]!.state === 'failed');
    expect(states()).toEqual(['failed File transfer ended']);
    const late = await browse(shell, folder);
    expect(late.browser.state).toMatchObject({ phase: 'over', said: 'The terminal does not run' });
    browser.close();
  });
});
