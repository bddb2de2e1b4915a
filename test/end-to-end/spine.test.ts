import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Steno, bin, eventually } from './machine.js';
import type { SessionRow } from './machine.js';
import { signInOwner } from './session-page.js';
import { headless } from '../../viewer/api/testing/chromium.js';

const steno = new Steno();
const finished = (rows: SessionRow[]): boolean => rows.length > 0 && rows.every(({ state }) => state === 'ended' || state === 'sealed');

beforeAll(async () => {
  await steno.start();
});
afterAll(() => steno.dispose());

describe('from ssh to replay', () => {
  let session = '';
  const word = `marker${process.pid}`;

  it('prints its addresses and the next commands to paste', () => {
    expect(steno.printed).toMatch(/SSH gateway +127\.0\.0\.1:\d+/);
    expect(steno.printed).toMatch(/http:\/\/localhost:\d+\/#sign-in=[A-Za-z0-9_-]{40,}/);
    expect(steno.printed).toContain(`steno login --data ${steno.data}`);
    expect(existsSync(join(steno.data, 'run.json'))).toBe(true);
  });

  it('without a login, commands ask for a login and exit with 77', async () => {
    const { status, stderr } = await steno.steno('sessions');
    expect(status).toBe(77);
    expect(stderr).toContain('steno login');
  });

  it('the owner logs in over the socket without a password', async () => {
    const login = await steno.json<{ user: string; roles: string[] }>('login', '--data', steno.data);
    expect(login.roles).toContain('admin');
    expect(statSync(join(steno.folder, 'home', 'id_ed25519')).mode & 0o077).toBe(0);
    expect(readFileSync(join(steno.folder, 'home', 'known_hosts'), 'utf8')).toMatch(
      /^@cert-authority steno-gateway@main ssh-ed25519 .*\n@cert-authority \*,\[\*\]:\d+ ssh-ed25519 /,
    );
    const shown = execFileSync('ssh-keygen', ['-L', '-f', join(steno.folder, 'home', 'id_ed25519-cert.pub')], { encoding: 'utf8' });
    expect(shown).toContain('user certificate');
  });

  it('this machine is a node', async () => {
    expect(await steno.json<{ name: string }[]>('nodes')).toEqual([expect.objectContaining({ name: 'local', kind: 'agent' })]);
  });

  it('stock ssh runs a command through the gateway, with its exit status and both streams', async () => {
    const { status, stdout, stderr } = await steno.ssh(`${steno.login}@local.steno`, `echo out-${word}; echo err-${word} >&2; exit 7`);
    expect({ status, stdout }).toEqual({ status: 7, stdout: `out-${word}\n` });
    expect(stderr).toContain(`err-${word}`);
  });

  it.each([
    ['ssh gets the socket from Node', []],
    ['a client that cannot be handed one has its bytes carried', ['-o', 'ProxyUseFdpass=no']],
  ])('where nc is missing, %s', async (_name, options) => {
    const bare = join(steno.folder, 'bin');
    mkdirSync(bare, { recursive: true });
    for (const program of ['sh', 'ssh'])
      if (!existsSync(join(bare, program))) symlinkSync(execFileSync('which', [program], { encoding: 'utf8' }).trim(), join(bare, program));
    const { status, stdout, stderr } = await steno.exec(
      'ssh',
      ['-F', steno.config, ...options, `${steno.login}@local.steno`, 'echo there'],
      { env: { PATH: bare } },
    );
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'there\n', stderr: '' });
  });

  it('stock ssh opens a shell, and what is printed, resized and typed goes both ways', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, `${steno.login}@local.steno`], { cols: 100, rows: 30 });
    await shell.until(/[$#] $/);
    shell.write(`echo shell-$((1300+37))-${word}\r`);
    await shell.until(new RegExp(`shell-1337-${word}`));
    shell.resize(120, 40);
    // The client may send the new size only after the next input: it looks for signals before it waits.
    shell.write('until stty size | grep "40 120"; do :; done\r');
    await shell.until(/[\r\n]40 120/);
    // A password, read without echo.
    shell.write('read -rs -p "Password: " secret; echo "got ${#secret}"\r');
    await shell.until(/Password: $/);
    shell.write('Tr0ub4dor&3\r');
    await shell.until(/got 11/);
    shell.write('exit 3\r');
    expect(await shell.ended).toBe(3);
  });

  it('both sessions are listed, newest first, with how they ended', async () => {
    const rows = await eventually(
      () => steno.json<SessionRow[]>('sessions'),
      (list) => list.length === 4 && finished(list),
    );
    expect(rows.map(({ kind, exit_code, tty }) => ({ kind, exit_code, tty }))).toEqual([
      { kind: 'shell', exit_code: 3, tty: true },
      { kind: 'exec', exit_code: 0, tty: false },
      { kind: 'exec', exit_code: 0, tty: false },
      { kind: 'exec', exit_code: 7, tty: false },
    ]);
    session = rows[0]!.id;
  });

  it('a search finds text of the screen, with session, time and row', async () => {
    const hits = await eventually(
      () =>
        steno.json<{ session: string; time: number; row: number; text: string; link: string }[]>(
          'search',
          `shell 1337 ${word} kind:screen`,
        ),
      (list) => list.length > 0,
    );
    expect(hits[0]).toMatchObject({ session, text: expect.stringContaining(`shell-1337-${word}`) });
    expect(hits[0]!.link).toMatch(new RegExp(`/sessions/${session}\\?t=\\d+`));
    expect((await steno.steno('search', 'surely-nobody-printed-this')).status).toBe(1);
  });

  it('the export opens with stock zstd, is asciicast v3, and holds no typed password', async () => {
    const file = join(steno.folder, 'session.cast.zst');
    expect((await steno.steno('export', session, '-o', file)).status).toBe(0);
    const text = execFileSync('zstd', ['-dc', file], { encoding: 'utf8', maxBuffer: 64 << 20 });
    const [header, ...lines] = text.trimEnd().split('\n');
    expect(JSON.parse(header!.startsWith('{') ? header! : lines.shift()!)).toMatchObject({
      version: 3,
      term: { cols: 100, rows: 30 },
      steno: { session, node: 'local' },
    });
    const events = lines.map((line) => JSON.parse(line) as [number, string, unknown]);
    expect(events.every(([interval, code]) => interval >= 0 && 'oirmxkjgbs'.includes(code))).toBe(true);
    expect(events).toContainEqual([expect.any(Number), 'r', '120x40']);
    expect(events).toContainEqual([expect.any(Number), 'x', '3']);
    expect(text).not.toContain('Tr0ub4dor');
    expect(events.some(([, code, data]) => code === 'g' && (data as { reason: string }).reason === 'input_not_echoed')).toBe(true);
  });

  it('`steno verify` confirms the recording offline, with the recording CA alone', async () => {
    const file = join(steno.folder, 'session.cast.zst');
    const ca = join(steno.folder, 'recording-ca.pub');
    writeFileSync(ca, (await steno.steno('ca', 'export', 'recording')).stdout);
    const elsewhere = { STENO_HOME: join(steno.folder, 'nobody') };
    const good = await steno.exec(process.execPath, [bin, 'verify', file, '--ca', ca, '--json'], { env: elsewhere });
    expect(JSON.parse(good.stdout)).toMatchObject({ ok: true, session, end: 'complete' });
    expect((await steno.steno('verify', session)).status).toBe(0);
  });

  it('the page confirms it too, in a browser that only has a link', async () => {
    const browser = await chromium.launch(headless);
    try {
      const page = await browser.newPage();
      const origin = await signInOwner(steno, page);
      await page.waitForSelector('.row');
      await page.goto(`${origin}/sessions/${session}`);
      await page.waitForSelector('.player[data-phase=paused]');
      await page.click('.menu summary >> nth=0');
      await page.click('.verify-run');
      await page.waitForSelector('.verdict');
      expect(await page.locator('.verdict').innerText()).toMatch(/^Verified: (?:recording and event log, )?whole and unaltered/);
      expect(await page.locator('.verdict').innerText()).toContain('gateway local');
    } finally {
      await browser.close();
    }
  });

  it('the independent verifier of docs/verify.py agrees, with stock zstd and ssh-keygen', () => {
    const script = fileURLToPath(new URL('../../docs/verify.py', import.meta.url));
    const out = execFileSync('python3', [script, join(steno.folder, 'session.cast.zst'), join(steno.folder, 'recording-ca.pub')], {
      encoding: 'utf8',
    });
    expect(out).toContain(`good: session ${session}`);
  });

  it('`steno verify` names the damage of a recording, and so does the independent verifier', async () => {
    const script = fileURLToPath(new URL('../../docs/verify.py', import.meta.url));
    const ca = join(steno.folder, 'recording-ca.pub');
    const whole = readFileSync(join(steno.folder, 'session.cast.zst'));
    const other = join(steno.folder, 'other-ca.pub');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(steno.folder, 'other-ca')]);
    const flipped = Buffer.from(whole);
    // The certificate's frame is first: 8 bytes of magic and length, then its content.
    const lines = 8 + whole.readUInt32LE(4);
    flipped[lines + 40] = flipped[lines + 40]! ^ 1;
    const cases: readonly [string, Buffer, string, number][] = [
      ['altered', flipped, ca, 10],
      ['truncated', whole.subarray(0, 60), ca, 11],
      ['truncated-lines', whole.subarray(0, lines + 60), ca, 11],
      ['truncated-proof', whole.subarray(0, whole.length - 100), ca, 11],
      ['unsigned', whole, other, 14],
      ['no recording', Buffer.from('hello, this is not a recording'), ca, 65],
    ];
    for (const [name, bytes, authority, expected] of cases) {
      const file = join(steno.folder, `${name}.cast.zst`);
      writeFileSync(file, bytes);
      const ours = await steno.steno('verify', file, '--ca', authority);
      expect(ours.status, `${name}: ${ours.stderr}`).toBe(expected);
      const theirs = await steno.exec('python3', [script, file, authority]);
      expect(theirs.status, `${name}: ${theirs.stderr}`).toBe(expected);
    }
  });

  it('other formats: cast without compression, plain text, JSON', async () => {
    const cast = await steno.steno('export', session, '--format', 'cast');
    expect(cast.stdout.split('\n')[0]).toContain('"version":3');
    const text = await steno.steno('export', session, '--format', 'txt');
    expect(text.stdout).toContain(`shell-1337-${word}`);
    expect(text.stdout).not.toContain('\u001b');
    const value = JSON.parse((await steno.steno('export', session, '--format', 'json')).stdout) as Record<string, unknown>;
    expect(JSON.stringify(value)).toContain(session);
  });

  it('play shows it again in a terminal', async () => {
    const { stdout, status } = await steno.steno('play', session, '--speed', '1000', '--idle-limit', '0.01');
    expect(status).toBe(0);
    expect(stdout).toContain(`shell-1337-${word}`);
  });

  it('status and doctor find nothing wrong', async () => {
    expect(await steno.json('status')).toMatchObject({ sessions_live: 0, sessions_total: 4 });
    const checks = await steno.json<{ name: string; state: string }[]>('doctor', '--data', steno.data);
    expect(checks.filter(({ state }) => state !== 'ok')).toEqual([]);
  });

  it('a second Steno on the same directory is refused with one line', async () => {
    const { status, stderr } = await steno.steno('up', '--data', steno.data, '--ssh-listen', '127.0.0.1:0', '--web-listen', '127.0.0.1:0');
    expect(status).toBe(73);
    expect(stderr).toContain('[ALREADY_RUNNING]');
  });

  it('a port that is in use is reported in one line', async () => {
    const { status, stderr } = await steno.steno(
      'up',
      '--data',
      join(steno.folder, 'second'),
      '--ssh-listen',
      steno.run.ssh,
      '--web-listen',
      '127.0.0.1:0',
    );
    expect(status).toBe(73);
    expect(stderr).toContain('--ssh-listen');
  });

  it('Ctrl-C ends a live session cleanly, and after a second start everything is still there', async () => {
    const shell = steno.terminal('ssh', ['-F', steno.config, `${steno.login}@local.steno`]);
    await shell.until(/[$#] $/);
    shell.write(`echo before-$((40+2))-${word}\r`);
    await shell.until(new RegExp(`before-42-${word}`));
    expect(await steno.stop('SIGINT')).toBe(0);
    expect(await shell.ended).not.toBe(0);
    expect(existsSync(join(steno.data, 'run.json'))).toBe(false);
    await steno.start();
    await steno.json('login', '--data', steno.data);
    const rows = await eventually(
      () => steno.json<SessionRow[]>('sessions'),
      (list) => list.length === 5 && list.every(({ state }) => state !== 'live'),
    );
    expect(rows.map(({ id }) => id)).toContain(session);
    for (const { id } of rows) expect((await steno.steno('verify', id)).status).toBe(0);
    const hits = await steno.json<{ text: string }[]>('search', `before 42 ${word} kind:screen`);
    expect(hits[0]!.text).toContain(`before-42-${word}`);
  });
});
