/** A real login: accounts, limits and environment from PAM, terminal modes, and the machine's login records (wtmp, utmp, lastlog). */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as pty from 'node-pty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findAccount } from '../../agent/login/account.js';
import { invocation } from '../../agent/login/invocation.js';
import { closeLoginRecords, recordLogin } from '../../agent/login/logins.js';
import { sttyWords } from '../../agent/ssh/modes.js';

const root = process.getuid!() === 0;
if (!root) console.warn('skipped: logins of other users need root');
const user = `st${process.pid}`.slice(0, 16);
const limits = `/etc/security/limits.d/steno-test-${process.pid}.conf`;
const folder = mkdtempSync(join(tmpdir(), 'steno-login-test-'));

describe.skipIf(!root)('a login', () => {
  beforeAll(() => {
    execFileSync('useradd', ['-m', '-s', '/bin/bash', user]);
    execFileSync('groupadd', ['-f', `${user}x`]);
    execFileSync('usermod', ['-aG', `${user}x`, user]);
    writeFileSync(limits, `${user} hard nofile 777\n${user} soft nofile 777\n`);
  });
  afterAll(() => {
    rmSync(limits, { force: true });
    spawnSync('userdel', ['-r', user]);
    spawnSync('groupdel', [`${user}x`]);
  });
  const run = async (command: string, more: Record<string, string> = {}) => {
    const what = invocation(await findAccount(user), command, { client: more, own: {} });
    const { status, stdout, stderr } = spawnSync(what.file, [...what.args], { cwd: what.cwd, env: { ...what.env }, encoding: 'utf8' });
    return { status, stdout, stderr, report: what.report!.read() };
  };

  it('has the groups, limits, home and environment of the account, and both streams', async () => {
    const { status, stdout, stderr, report } = await run(
      'id -un; id -Gn; ulimit -n; pwd; echo "$LC_TIME $SHELL $USER $LOGNAME"; echo said >&2; exit 7',
      { LC_TIME: 'C' },
    );
    expect(stdout.split('\n')).toEqual([user, `${user} ${user}x`, '777', `/home/${user}`, `C /bin/bash ${user} ${user}`, '']);
    expect({ status, stderr, report }).toEqual({ status: 7, stderr: 'said\n', report: { kind: 'ran', signalled: false } });
  });

  it("inherits neither the agent's limit of open files nor its protection from the OOM killer", async () => {
    writeFileSync(limits, '');
    const before = readFileSync('/proc/self/oom_score_adj', 'utf8').trim();
    let expected = before;
    try {
      writeFileSync('/proc/self/oom_score_adj', '-300');
      expected = '0';
    } catch {
      console.warn('not tested: without CAP_SYS_RESOURCE nothing is protected from the OOM killer, and nothing to be undone');
    }
    const { stdout } = await run('ulimit -Sn; cat /proc/self/oom_score_adj');
    writeFileSync('/proc/self/oom_score_adj', before);
    expect(stdout).toBe(`1024\n${expected}\n`);
  });

  it('distinguishes a signal from a status that looks like one', async () => {
    expect(await run('kill -TERM $$')).toMatchObject({ status: 143, report: { kind: 'ran', signalled: true }, stderr: '' });
    expect(await run('exit 143')).toMatchObject({ status: 143, report: { kind: 'ran', signalled: false } });
  });

  it('passes arguments unchanged, whatever they contain', async () => {
    expect((await run(`printf '%s|' "a'b" '-c' "\\$HOME" '$(id)'`)).stdout).toBe(`a'b|-c|$HOME|$(id)|`);
  });

  it('refuses an account that PAM refuses, with PAM’s message', async () => {
    execFileSync('chage', ['-E', '0', user]);
    const { status, stdout, report } = await run('echo in');
    execFileSync('chage', ['-E', '-1', user]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(report).toMatchObject({ kind: 'refused', said: expect.stringContaining('expired') as string });
  });

  it('has only its three streams open, whatever the node service has open or inherited', async () => {
    // A high descriptor that children inherit: Node.js sets close-on-exec only on its first few.
    const left = spawnSync(
      '/usr/bin/python3',
      [
        '-c',
        'import os, sys; os.dup2(os.open("/etc/shadow", 0), 251); os.execv(sys.argv[1], sys.argv[1:])',
        process.execPath,
        '--input-type=module',
        '-e',
        `
      import { spawnSync } from 'node:child_process';
      const { keepDescriptors } = await import(process.argv[1]);
      keepDescriptors();
      const { invocation } = await import(process.argv[2]);
      const { findAccount } = await import(process.argv[3]);
      const what = invocation(await findAccount(process.argv[4]), 'ls /proc/self/fd', { client: {}, own: {} });
      process.stdout.write(spawnSync(what.file, what.args, { cwd: what.cwd, env: what.env }).stdout);
    `,
        ...['helper/descriptors.js', 'login/invocation.js', 'login/account.js'].map((file) =>
          fileURLToPath(new URL(`../../dist/agent/${file}`, import.meta.url)),
        ),
      ].concat([user]),
      { encoding: 'utf8' },
    );
    // The fourth is the folder that ls itself reads.
    expect({ stdout: left.stdout.split('\n'), stderr: left.stderr }).toEqual({ stdout: ['0', '1', '2', '3', ''], stderr: '' });
  });

  it('sets the client’s variables only after it has become the account: no root process has them', async () => {
    const more = { TZ: ':/home/evil', LC_ALL: 'C.UTF-8', LANG: 'x y; $(id)\n`id`' };
    const { stdout } = await run('printf "%s|%s|%s" "$TZ" "$LC_ALL" "$LC_MORE"', { ...more, LC_MORE: 'x y; $(id)\n`id`' });
    expect(stdout).toBe(':/home/evil|C.UTF-8|x y; $(id)\n`id`');
    const root = invocation(await findAccount(user), 'true', { client: more, own: { SSH_CONNECTION: 'x' } });
    root.report!.read();
    expect(Object.keys(root.env).sort()).toEqual(['HOME', 'PATH']);
    expect(root.env['HOME']).toBe('/');
  });

  it('is the same with the su(1) of busybox, except for what PAM adds', () => {
    writeFileSync(join(folder, 'su'), '#!/bin/sh\necho BusyBox\n', { mode: 0o755 });
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
      import { spawnSync } from 'node:child_process';
      const { invocation } = await import(process.argv[1]);
      const { findAccount } = await import(process.argv[2]);
      (await import(process.argv[4])).keepDescriptors();
      const what = invocation(await findAccount(process.argv[3]), 'id -un; id -Gn; pwd; echo "$LC_TIME|$HOME|$USER|$SHELL|$SSH_CONNECTION|$0"; ls /proc/self/fd | tr "\\\\n" " "', { client: { LC_TIME: 'a b' }, own: { SSH_CONNECTION: 'c d' } });
      process.stdout.write(what.report + ' ' + spawnSync(what.file, what.args, { cwd: what.cwd, env: what.env }).stdout);
    `,
        ...['invocation.js', 'account.js'].map((file) => fileURLToPath(new URL(`../../dist/agent/login/${file}`, import.meta.url))),
        user,
        fileURLToPath(new URL('../../dist/agent/helper/descriptors.js', import.meta.url)),
      ],
      { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` } },
    );
    expect({ stdout, stderr }).toEqual({
      stdout: `null ${user}\n${user} ${user}x\n/home/${user}\na b|/home/${user}|${user}|/bin/bash|c d|/bin/bash\n0 1 2 3 `,
      stderr: '',
    });
  });

  it('lets PAM override a variable that the client sends, as sshd does', async () => {
    const kept = readFileSync('/etc/environment', 'utf8');
    try {
      writeFileSync('/etc/environment', `${kept}\nLC_STENO=machine\n`);
      expect((await run('echo "$LC_STENO $LC_OTHER"', { LC_STENO: 'client', LC_OTHER: 'client' })).stdout).toBe('machine client\n');
    } finally {
      writeFileSync('/etc/environment', kept);
    }
  });

  it("begins with the client's terminal modes", async () => {
    const modes = sttyWords(
      new Map([
        [53, 0],
        [36, 1],
        [1, 5],
        [3, 255],
        [42, 1],
        [128, 38_400],
        [129, 38_400],
        [159, 7],
        [91, 1],
      ]),
    );
    const what = invocation(await findAccount(user), 'stty -a', { client: {}, own: {} }, modes);
    const child = pty.spawn(what.file, [...what.args], { cols: 200, rows: 24, cwd: what.cwd, env: { ...what.env } });
    let text = '';
    child.onData((data) => {
      text += data;
    });
    await new Promise<void>((resolve) => child.onExit(() => resolve()));
    await expect.poll(() => text).toMatch(/ -echo .*echoe/s);
    expect(text).toMatch(/intr = \^E;.*erase = <undef>;/);
    what.report!.read();
  });

  it('is recorded in wtmp, utmp and lastlog, as last(1), who(1) and lastlog(8) read them', () => {
    const files = { utmp: join(folder, 'utmp'), wtmp: join(folder, 'wtmp'), lastlog: join(folder, 'lastlog') };
    for (const file of Object.values(files)) writeFileSync(file, '');
    const uid = Number(execFileSync('id', ['-u', user], { encoding: 'utf8' }));
    let now = Date.now() - 180_000;
    const logOut = recordLogin({ pid: process.pid, line: 'pts/77', user, uid, host: '192.0.2.9' }, () => now, files);
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toMatch(new RegExp(`^${user}\\s+pts/77 .*\\(192\\.0\\.2\\.9\\)`));
    expect(execFileSync('last', ['-f', files.wtmp], { encoding: 'utf8' })).toMatch(
      new RegExp(`${user}\\s+pts/77\\s+192\\.0\\.2\\.9.*(still logged in|gone)`),
    );
    now += 120_000;
    logOut();
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toBe('');
    expect(execFileSync('last', ['-f', files.wtmp], { encoding: 'utf8' })).toMatch(/pts\/77.*\(00:02\)/);
    expect(readFileSync(files.utmp).length).toBe(readFileSync(files.wtmp).length / 2);
    expect(
      readFileSync(files.lastlog)
        .subarray(uid * (readFileSync(files.lastlog).length / (uid + 1)) + 4)
        .toString('utf8'),
    ).toMatch(/^pts\/77\0+192\.0\.2\.9\0+$/);
  });

  it('is recorded as ended when the agent ends', () => {
    const files = { utmp: join(folder, 'utmp-2'), wtmp: join(folder, 'wtmp-2'), lastlog: join(folder, 'absent') };
    writeFileSync(files.utmp, '');
    recordLogin({ pid: process.pid, line: 'pts/78', user, uid: 0, host: '192.0.2.9' }, Date.now, files);
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toContain('pts/78');
    closeLoginRecords();
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toBe('');
  });
});
