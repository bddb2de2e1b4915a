/**
 * Accounts of the machine. Entries come from getent(1), so that NSS sources count as well as /etc/passwd.
 *
 * Without root, only the service's own account is available. admission.ts decides whether an account may be used now. Tested
 * in test/agent/login.test.ts.
 */
import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { StenoError } from '#schemas/base/errors.js';
import { isLogin } from '#schemas/base/identity.js';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

const run = promisify(execFile);

/** Throws NODE_REFUSED if the account does not exist or this process cannot switch to it. */
export async function findAccount(login: string): Promise<Account> {
  if (!isLogin(login)) throw new StenoError('NODE_REFUSED', `"${login}" is not a valid login`);
  let line: string;
  try {
    ({ stdout: line } = await run('getent', ['passwd', '--', login], { timeout: 5_000, maxBuffer: 64 << 10 }));
  } catch (cause) {
    throw new StenoError('NODE_REFUSED', `there is no account ${login} on this node`, { cause });
  }
  const [name, , uid, gid, , home, shell] = line.trim().split(':');
  const account = { name: name!, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
  if (account.name !== login || !Number.isInteger(account.uid) || !Number.isInteger(account.gid))
    throw new StenoError('NODE_REFUSED', `the account ${login} cannot be read`);
  if (process.getuid!() !== 0 && process.getuid!() !== account.uid) {
    throw new StenoError('NODE_REFUSED', `this node runs as ${userInfo().username} and cannot become ${login}`);
  }
  return account;
}
