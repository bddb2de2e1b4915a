/** Accounts that must be refused, tried with every request that a connection can make, under real PAM modules. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findAccount } from '../../agent/login/account.js';
import { Admission } from '../../agent/login/admission.js';
import { Helpers } from '../../agent/helper/helper.js';
import { silent } from '../../authority/testing/authority.js';
import { SshNode, TestAccount } from './ssh-node.js';

const root = process.getuid!() === 0;
if (!root) console.warn('skipped: accounts of a test need root');

describe.skipIf(!root)('an account', () => {
  const node = new SshNode();
  const folder = mkdtempSync(join(tmpdir(), 'steno-admission-'));
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  let account: TestAccount;
  let port: number;
  beforeAll(async () => {
    account = new TestAccount('a');
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    port = (echo.address() as AddressInfo).port;
    await node.start();
  });
  afterAll(async () => {
    await node.dispose();
    echo.close();
    account.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const ways: readonly [what: string, args: () => readonly string[]][] = [
    ['a command', () => ['echo in']],
    ['a shell', () => ['-tt', '']],
    ['sftp', () => ['-s', 'sftp']],
    ['a forwarding to a port', () => ['-W', `127.0.0.1:${port}`, '']],
    ['a forwarding of a port back', () => ['-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', 'echo in']],
    ['a forwarding to a socket', () => ['-o', 'ExitOnForwardFailure=yes', '-L', `${join(folder, 'l.sock')}:/run/none`, 'echo in']],
    ['a forwarding of a socket back', () => ['-o', 'ExitOnForwardFailure=yes', '-R', `${join(folder, 'r.sock')}:/run/none`, 'echo in']],
    ['the agent', () => ['-A', 'echo in']],
    ['nothing at all', () => ['-N', '']],
  ];
  const closed: readonly [what: string, close: () => void, open: () => void, words: RegExp][] = [
    ['an expired account', () => account.change('chage', '-E', '0'), () => account.change('chage', '-E', '-1'), /account has expired/i],
    ['an expired password', () => account.change('chage', '-d', '0'), () => account.change('chage', '-d', '-1'), /change your password/i],
  ];
  for (const [who, close, open, words] of closed) {
    it(`${who} gets none of: ${ways.map(([what]) => what).join(', ')}`, async () => {
      close();
      try {
        for (const [what, args] of ways) {
          const { status, stdout, stderr } = await node.ssh(account.name, ...args());
          expect({ what, status, stdout, denied: stderr.includes('Permission denied'), words: words.test(stderr) }, stderr).toEqual({
            what,
            status: 255,
            stdout: '',
            denied: true,
            words: true,
          });
        }
        expect(existsSync(join(folder, 'r.sock'))).toBe(false);
      } finally {
        open();
      }
    });
  }

  it('that may be used gets a command and a forwarding', async () => {
    expect(await node.ssh(account.name, 'id -un')).toMatchObject({ status: 0, stdout: `${account.name}\n` });
    expect((await node.ssh(account.name, '-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', 'echo in')).stdout).toBe('in\n');
  });

  it('whose shell does not exist gets nothing, as with sshd', async () => {
    account.change('usermod', '-s', '/nowhere/sh');
    try {
      for (const [what, args] of ways)
        expect({ what, status: (await node.ssh(account.name, ...args())).status }).toEqual({ what, status: 255 });
    } finally {
      account.change('usermod', '-s', '/bin/bash');
    }
  });

  describe('by PAM modules', () => {
    const service = `steno-test-${process.pid}`;
    const stack = `/etc/pam.d/${service}`;
    const helpers = new Helpers(silent);
    const nologin = join(folder, 'nologin');
    const files = { nologin: [], pam: ['/etc/pam.d'], pamConfiguration: '/etc/pam.conf', services: [service] };
    const ask = async (lines: readonly string[], address = '192.0.2.7'): Promise<string | null> => {
      writeFileSync(stack, lines.map((line) => `account ${line}\n`).join(''));
      try {
        await new Admission(helpers, files).judge(await findAccount(account.name), address);
        return null;
      } catch (error) {
        return (error as { text?: string }).text ?? String(error);
      }
    };
    afterAll(() => {
      helpers.close();
      rmSync(stack, { force: true });
    });

    it('is admitted if they admit it', async () => {
      expect(await ask(['required pam_permit.so'])).toBe(null);
    });

    it('pam_nologin: refused with what the file holds, without what steers terminals', async () => {
      writeFileSync(nologin, 'down until \x1b[31mnoon\x07\n');
      const said = await ask([`required pam_nologin.so file=${nologin}`]);
      expect(said).toMatch(/^down until \?\[31mnoon\?$/);
    });

    it('pam_access: by the address that the connection comes from', async () => {
      const rules = join(folder, 'access.conf');
      writeFileSync(rules, `+:${account.name}:192.0.2.0/24\n-:ALL:ALL\n`);
      expect(await ask([`required pam_access.so accessfile=${rules}`])).toBe(null);
      expect(await ask([`required pam_access.so accessfile=${rules}`], '198.51.100.1')).toEqual(expect.any(String));
    });

    it('pam_time: by the clock', async () => {
      const times = join(folder, 'time.conf');
      writeFileSync(times, '*;*;*;!Al0000-2400\n');
      const stackOf = [`required pam_time.so conffile=${times}`];
      expect(await ask(stackOf)).toEqual(expect.any(String));
      writeFileSync(times, '*;*;*;Al0000-2400\n');
      expect(await ask(stackOf)).toBe(null);
    });

    it('refused where a module is missing, cannot be loaded, or the stack cannot be read', async () => {
      expect(await ask(['required pam_none_such.so'])).not.toBe(null);
      expect(await ask([`required ${join(folder, 'nologin')}`])).not.toBe(null);
      expect(await ask(['nonsense pam_permit.so'])).not.toBe(null);
      expect(await ask(['required pam_deny.so'])).not.toBe(null);
    });

    it('a module that kills its process refuses this login and no other', async () => {
      // pam_exec is a child of the helper, so `$PPID` is the helper.
      const killer = join(folder, 'killer');
      writeFileSync(killer, '#!/bin/sh\nkill -9 $PPID\n', { mode: 0o755 });
      const [dead, alive] = await Promise.all([
        ask([`required pam_exec.so ${killer}`]),
        new Admission(new Helpers(silent)).judge(await findAccount('root'), '').then(() => 'in'),
      ]);
      expect(dead).toMatch(/cannot be checked/);
      expect(alive).toBe('in');
      expect(await ask(['required pam_permit.so'])).toBe(null);
    });

    it('concurrent checks all get an answer, and no check sees the state of another', async () => {
      writeFileSync(stack, 'account required pam_permit.so\n');
      const admission = new Admission(helpers, files);
      const found = await findAccount(account.name);
      const answers = await Promise.all(
        Array.from({ length: 40 }, () =>
          admission.judge(found, '192.0.2.1').then(
            () => 'in',
            () => 'out',
          ),
        ),
      );
      expect(new Set(answers)).toEqual(new Set(['in']));
    });

    it('without PAM: nologin and shadow(5)', async () => {
      const none = { nologin: [nologin], pam: [join(folder, 'none')], pamConfiguration: join(folder, 'none') };
      const found = await findAccount(account.name);
      writeFileSync(nologin, 'closed');
      await expect(new Admission(helpers, none).judge(found, '')).rejects.toMatchObject({ code: 'NODE_REFUSED', text: 'closed' });
      await expect(new Admission(helpers, none).judge(await findAccount('root'), '')).resolves.toBe(undefined);
      rmSync(nologin);
      // useradd makes accounts without a password locked, which without PAM keeps them out.
      await expect(new Admission(helpers, none).judge(found, '')).rejects.toMatchObject({ text: 'Your account is locked.' });
      account.change('usermod', '-p', '*');
      await expect(new Admission(helpers, none).judge(found, '')).resolves.toBe(undefined);
      account.change('chage', '-E', '1');
      await expect(new Admission(helpers, none).judge(found, '')).rejects.toMatchObject({ text: 'Your account has expired.' });
      account.change('chage', '-E', '-1');
    });
  });

  describe("sftp goes by the account's shell", () => {
    const script = `put /etc/hostname ${join('/tmp', `steno-shell-${process.pid}`)}\n`;
    const written = join('/tmp', `steno-shell-${process.pid}`);
    afterAll(() => rmSync(written, { force: true }));

    it('one that runs commands: files are moved', async () => {
      expect(await node.sftp(account.name, script)).toMatchObject({ status: 0, stderr: '' });
      expect(existsSync(written)).toBe(true);
      rmSync(written);
    });

    const shells: readonly [shell: string, words: RegExp | null][] = [
      ['/usr/sbin/nologin', /not available/],
      ['/bin/false', null],
      ['/bin/rbash', /restricted/],
      ['/usr/bin/git-shell', /unrecognized command/],
    ];
    for (const [shell, words] of shells) {
      it.skipIf(!existsSync(shell))(`${shell}: nothing is written, by sftp, scp or a command`, async () => {
        account.change('usermod', '-s', shell);
        try {
          const { status } = await node.sftp(account.name, script);
          expect({ status: status === 0, written: existsSync(written) }).toEqual({ status: false, written: false });
          const subsystem = await node.ssh(account.name, '-s', 'sftp');
          expect(subsystem.status).not.toBe(0);
          if (words !== null) expect(subsystem.stdout + subsystem.stderr).toMatch(words);
          const command = await node.ssh(account.name, `/usr/bin/touch ${written}`);
          expect({ status: command.status === 0, written: existsSync(written) }).toEqual({ status: false, written: false });
        } finally {
          account.change('usermod', '-s', '/bin/bash');
        }
      });
    }

    it("a shell of the administrator's own sees the same words as with sshd", async () => {
      const shell = join('/usr/local/bin', `steno-shell-${process.pid}`);
      mkdirSync('/usr/local/bin', { recursive: true });
      writeFileSync(shell, '#!/bin/sh\nprintf "%s|" "$@" >&2\nexit 3\n', { mode: 0o755 });
      account.change('usermod', '-s', shell);
      try {
        const { status, stderr } = await node.ssh(account.name, '-s', 'sftp');
        expect({ status, stderr }).toEqual({ status: 3, stderr: '-c|/usr/lib/openssh/sftp-server|' });
      } finally {
        account.change('usermod', '-s', '/bin/bash');
        rmSync(shell);
      }
    });
  });
});
