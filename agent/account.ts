/**
 * Accounts of the machine, and how a program becomes one.
 *
 * Entries come from getent(1), so that NSS sources count as well as /etc/passwd. The change of user is done by
 * setpriv(1) of util-linux: real, effective and saved ids, the supplementary groups of the account, a clean environment
 * and no capability left to inherit. Not root: only the own account, as it is. Tested in test/agent/agent.test.ts.
 */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { StenoError } from '#schemas/errors.js';
import { isLogin } from '#schemas/identity.js';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

const run = promisify(execFile);
const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Throws NODE_REFUSED when there is no such account, or this process may not become it. */
export async function findAccount(login: string): Promise<Account> {
  if (!isLogin(login)) throw new StenoError('NODE_REFUSED', `"${login}" is no login`);
  let line: string;
  try {
    ({ stdout: line } = await run('getent', ['passwd', '--', login], { timeout: 5_000 }));
  } catch (cause) {
    throw new StenoError('NODE_REFUSED', `there is no account ${login} on this node`, { cause });
  }
  const [name, , uid, gid, , home, shell] = line.trim().split(':');
  const account = { name: name!, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
  if (account.name !== login || !Number.isInteger(account.uid) || !Number.isInteger(account.gid)) throw new StenoError('NODE_REFUSED', `the account ${login} cannot be read`);
  if (process.getuid!() !== 0 && process.getuid!() !== account.uid) {
    throw new StenoError('NODE_REFUSED', `this node runs as ${userInfo().username} and cannot become ${login}`);
  }
  return account;
}

export interface Invocation {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A login shell (`command` null) or a command by the account's shell, as the account. */
export function invocation(account: Account, command: string | null, more: Readonly<Record<string, string>>): Invocation {
  return become(account, [account.shell, ...(command === null ? ['-l'] : ['-c', command])], more);
}

export function become(account: Account, program: readonly [string, ...string[]], more: Readonly<Record<string, string>>): Invocation {
  const env = {
    PATH: account.uid === 0 ? systemPath : systemPath.replaceAll(/\/[a-z/]*sbin:/g, ''),
    ...more, HOME: account.home, USER: account.name, LOGNAME: account.name, SHELL: account.shell,
  };
  const [file, ...args] = program;
  if (process.getuid!() !== 0) return { file, args, cwd: account.home, env };
  return {
    file: 'setpriv',
    // The folder is entered after the change of user: a home that root may enter and the account may not stays closed.
    args: [
      `--reuid=${account.uid}`, `--regid=${account.gid}`, '--init-groups', '--inh-caps=-all', '--',
      'sh', '-c', 'cd -- "$HOME" 2>/dev/null || cd /; exec "$@"', 'sh', ...program,
    ],
    cwd: '/',
    env,
  };
}
