/** A real login: accounts, limits and environment of PAM, terminal modes, and the machine's books of logins. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as pty from 'node-pty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { become, findAccount, invocation, readReport } from '../../agent/account.js';
import { closeBooks, recordLogin } from '../../agent/logins.js';
import { sttyWords } from '../../agent/modes.js';

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
    const what = invocation(await findAccount(user), command, more);
    const { status, stdout, stderr } = spawnSync(what.file, [...what.args], { cwd: what.cwd, env: { ...what.env }, encoding: 'utf8' });
    return { status, stdout, stderr, report: readReport(what.report!) };
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

  it('is refused to all but root while nologin is there', async () => {
    const nologin = join(folder, 'nologin');
    writeFileSync(nologin, 'maintenance');
    await expect(findAccount(user, [join(folder, 'absent'), nologin])).rejects.toMatchObject({
      code: 'NODE_REFUSED',
      detail: expect.stringContaining(nologin) as string,
    });
    expect((await findAccount('root', [nologin])).uid).toBe(0);
  });

  it('tells a signal from a status that looks like one', async () => {
    expect(await run('kill -TERM $$')).toMatchObject({ status: 143, report: { kind: 'ran', signalled: true }, stderr: '' });
    expect(await run('exit 143')).toMatchObject({ status: 143, report: { kind: 'ran', signalled: false } });
  });

  it('takes words as they are, whatever they hold', async () => {
    expect((await run(`printf '%s|' "a'b" '-c' "\\$HOME" '$(id)'`)).stdout).toBe(`a'b|-c|$HOME|$(id)|`);
  });

  it('refuses an account that PAM refuses, with its words', async () => {
    execFileSync('chage', ['-E', '0', user]);
    const { status, stdout, report } = await run('echo in');
    execFileSync('chage', ['-E', '-1', user]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(report).toMatchObject({ kind: 'refused', said: expect.stringContaining('expired') as string });
  });

  it('runs subsystems without a shell in between', async () => {
    const what = become(await findAccount(user), ['/usr/bin/id', '-un'], {});
    expect(execFileSync(what.file, [...what.args], { cwd: what.cwd, env: { ...what.env }, encoding: 'utf8' })).toBe(`${user}\n`);
    readReport(what.report!);
  });

  it("begins with the client's terminal modes", async () => {
    const modes = sttyWords({
      ECHO: 0,
      ICRNL: 1,
      VINTR: 5,
      VERASE: 255,
      IUTF8: 1,
      TTY_OP_ISPEED: 38400,
      TTY_OP_OSPEED: 38400,
      WHATEVER: 7,
      CS8: 1,
    });
    const what = invocation(await findAccount(user), 'stty -a', {}, modes);
    const child = pty.spawn(what.file, [...what.args], { cols: 200, rows: 24, cwd: what.cwd, env: { ...what.env } });
    let text = '';
    child.onData((data) => {
      text += data;
    });
    await new Promise<void>((resolve) => child.onExit(() => resolve()));
    await expect.poll(() => text).toMatch(/ -echo .*echoe/s);
    expect(text).toMatch(/intr = \^E;.*erase = <undef>;/);
    readReport(what.report!);
  });

  it('stands in wtmp, utmp and lastlog, as last(1), who(1) and lastlog(8) read them', () => {
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

  it('is over in the books when the agent ends', () => {
    const files = { utmp: join(folder, 'utmp-2'), wtmp: join(folder, 'wtmp-2'), lastlog: join(folder, 'absent') };
    writeFileSync(files.utmp, '');
    recordLogin({ pid: process.pid, line: 'pts/78', user, uid: 0, host: '192.0.2.9' }, Date.now, files);
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toContain('pts/78');
    closeBooks();
    expect(execFileSync('who', [files.utmp], { encoding: 'utf8' })).toBe('');
  });
});
