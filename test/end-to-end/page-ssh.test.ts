/**
 * The page's SSH client (viewer/web/ssh/) in Node, whose WebCrypto is a browser's, against a stock OpenSSH server: a shell, its
 * size, large streams both ways, new keys in the middle, and everything it must refuse. Skipped where there is no sshd, or not
 * as root. The gateway's side is in terminal.test.ts.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

/** `pieces`: bytes of each piece in which the server's answers arrive. */
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
          // What is waited for comes last, and the rest may be long.
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
/** The longest run of what `tr` makes. */
const xs = (text: string): number => Math.max(...text.split(/[^x]+/).map(({ length }) => length));
const type = ({ session }: Shell, words: string): boolean => session.input(new TextEncoder().encode(words));

describe.skipIf(!able)('the SSH client of the page', () => {
  test('opens a shell of its size, resizes it, and hears how it ended', async () => {
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

  test.each(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'])('encrypts by %s, and takes what comes byte by byte', async (cipher) => {
    const shell = await open({ more: [`Ciphers ${cipher}`], pieces: 1 });
    type(shell, 'echo "he""re"; kill -9 $$\n');
    await shell.until(/here/);
    expect(await shell.end).toEqual({ kind: 'signal', name: 'KILL' });
  });

  test('takes more than its window, with new keys that either side asks for on the way', async () => {
    const shell = await open({ more: ['RekeyLimit 1M'] });
    type(shell, 'stty -onlcr; head -c 6000000 /dev/zero | tr "\\0" x; echo; echo "do""ne"\n');
    const again = setInterval(() => shell.session.rekey(), 20);
    const text = await shell.until(/done/);
    clearInterval(again);
    expect(xs(text)).toBe(6_000_000);
    type(shell, 'exit\n');
    expect(await shell.end).toEqual({ kind: 'exit', status: 0 });
  });

  test('sends more than the window of the other side, in its order', async () => {
    const shell = await open();
    const length = 3_000_000;
    type(shell, `stty raw -echo; echo "re""ady"; head -c ${length} | sha256sum; exit\n`);
    await shell.until(/ready/);
    const bytes = new Uint8Array(length).map((_, i) => (i * 7919) % 251);
    shell.session.rekey();
    expect(shell.session.input(bytes)).toBe(true);
    await shell.until(new RegExp(createHash('sha256').update(bytes).digest('hex')));
  });

  test('gets no more than its window holds until what came is drawn', async () => {
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
  ])('refuses %s before anything of the user is shown', async (_, options, why) => {
    const { end } = await open(options);
    const how = await end;
    expect(how).toMatchObject({ kind: 'failed', error: { message: expect.stringMatching(why) as unknown } });
  });

  test('refuses a packet that was altered on its way', async () => {
    let seen = 0;
    const { end } = await open({
      alter: (bytes) => {
        seen += bytes.length;
        const altered = Buffer.from(bytes);
        // Behind the key exchange, of which nobody can alter anything either.
        if (seen > 2_000) altered[altered.length - 1]! ^= 1;
        return altered;
      },
    });
    expect(await end).toMatchObject({ kind: 'failed', error: { code: 'SSH_PROTOCOL' } });
  });

  test('says so when it is not admitted', async () => {
    const { end } = await open({ login: 'somebody-else' });
    expect(await end).toEqual({ kind: 'refused' });
  });

  test('leaves', async () => {
    const shell = await open();
    type(shell, 'echo "he""re"\n');
    await shell.until(/here/);
    shell.session.close();
    expect(await shell.end).toEqual({ kind: 'left' });
  });
});
