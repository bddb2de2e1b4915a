/**
 * Accounts of the machine, and how a program becomes one.
 *
 * Entries come from getent(1), so that NSS sources count as well as /etc/passwd. The login is that of su(1) of
 * util-linux: PAM checks the account (expired, nologin, access.conf) and opens a session (limits, environment, groups,
 * systemd's scope), and closes it at the end. Where su is another one (busybox), setpriv(1) changes ids and groups alone.
 * Not root: only the own account, as it is. nologin(5) is heeded here, since Debian's PAM stack of su(1) does not.
 * Tested in test/agent/agent.test.ts and test/agent/login.test.ts.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
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

/** While one of these is there, nobody but root logs in; what it holds is said to them. */
const nologinFiles = ['/etc/nologin', '/run/nologin'];

/** Throws NODE_REFUSED when there is no such account, this process may not become it, or the machine is closed to users. */
export async function findAccount(login: string, nologin: readonly string[] = nologinFiles): Promise<Account> {
  if (!isLogin(login)) throw new StenoError('NODE_REFUSED', `"${login}" is no login`);
  let line: string;
  try {
    ({ stdout: line } = await run('getent', ['passwd', '--', login], { timeout: 5_000 }));
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
  const closed = account.uid === 0 ? undefined : nologin.find((path) => existsSync(path));
  if (closed !== undefined) throw new StenoError('NODE_REFUSED', `${closed} is there: nobody but root logs in now`);
  return account;
}

export interface Invocation {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where su(1) leaves its own words (`readReport`); null where none is in between. */
  readonly report: string | null;
}

/** A login shell (`command` null) or a command by the account's shell, as the account. `modes`: words for stty(1). */
export function invocation(
  account: Account,
  command: string | null,
  more: Readonly<Record<string, string>>,
  modes: readonly (readonly string[])[] = [],
): Invocation {
  return become(account, [account.shell, ...(command === null ? ['-l'] : ['-c', command])], more, modes);
}

export function become(
  account: Account,
  program: readonly [string, ...string[]],
  more: Readonly<Record<string, string>>,
  modes: readonly (readonly string[])[] = [],
): Invocation {
  const env = {
    PATH: account.uid === 0 ? systemPath : systemPath.replaceAll(/\/[a-z/]*sbin:/g, ''),
    ...more,
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
  };
  // Words of ours alone (modes.ts): letters, digits and dashes.
  const first = `${ordinary}${modes.map((words) => `stty ${words.join(' ')} 2>/dev/null; `).join('')}`;
  if (process.getuid!() !== 0)
    return { file: 'sh', args: ['-c', `${first}exec "$@"`, 'sh', ...program], cwd: account.home, env, report: null };
  // Whom the kernel's audit names for all that follows, as pam_loginuid(8) has it for sshd: Debian's su(1) does not.
  const attributed = `{ echo ${account.uid} >/proc/self/loginuid; } 2>/dev/null; `;
  if (!hasPamSu()) {
    return {
      file: 'sh',
      // The folder is entered after the change of user: a home that root may enter and the account may not stays closed.
      args: [
        '-c',
        `${attributed}exec "$@"`,
        'sh',
        'setpriv',
        `--reuid=${account.uid}`,
        `--regid=${account.gid}`,
        '--init-groups',
        '--inh-caps=-all',
        '--',
        'sh',
        '-c',
        `${first}cd -- "$HOME" 2>/dev/null || cd /; exec "$@"`,
        'sh',
        ...program,
      ],
      cwd: '/',
      env,
      report: null,
    };
  }
  const report = newReport();
  return {
    file: 'sh',
    args: ['-c', `${attributed}${first}${outside}`, 'sh', report, account.name, account.shell, ...program],
    cwd: '/',
    env,
    report,
  };
}

/**
 * What is the agent's own and no user's: Node.js raises its limit of open files, which programs that use select(2) do not
 * survive, and a service may be kept from the OOM killer. PAM may set limits after this.
 */
const ordinary =
  'ulimit -Sn 1024 2>/dev/null; { read -r s </proc/self/oom_score_adj; [ "${s:-0}" -ge 0 ] || echo 0 >/proc/self/oom_score_adj; unset s; } 2>/dev/null; ';

/**
 * The words of su(1) go to a file: they are no output of the session. Inside, the session gets its streams back, says
 * that it has begun, and runs the program by no shell but the account's. `--session-command` keeps the terminal.
 */
const started = 'steno-session-started';
const inside = `echo ${started}; exec 1>&5 2>&4 4>&- 5>&-; SHELL=$1; export SHELL; shift; cd -- "$HOME" 2>/dev/null || cd /; exec "$@"`;
const outside = `exec 4>&2 5>&1 >>"$1" 2>&1; u=$2; shift 2; exec su -s /bin/sh --session-command '${inside}' -- "$u" sh "$@"`;

let pamSu: boolean | undefined;
/** Whether su(1) is that of util-linux, which opens PAM sessions for commands as for shells. */
function hasPamSu(): boolean {
  pamSu ??= spawnSync('su', ['--version'], { encoding: 'utf8', timeout: 5_000 }).stdout?.includes('util-linux') ?? false;
  return pamSu;
}

let reports: string | undefined;
let reportCount = 0;
function newReport(): string {
  if (reports === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'steno-login-'));
    reports = folder;
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  }
  const path = join(reports, String(reportCount++));
  writeFileSync(path, '', { mode: 0o600, flag: 'wx' });
  return path;
}

export type LoginReport =
  | { readonly kind: 'ran'; /** What su(1) ended with was the signal and not a status. */ readonly signalled: boolean }
  /** PAM or su(1) let nobody in; `said` is for the user. */
  | { readonly kind: 'refused'; readonly said: string };

/** Reads the report and takes it away. */
export function readReport(path: string): LoginReport {
  let text = '';
  try {
    text = readFileSync(path, 'utf8').slice(0, 4096);
    rmSync(path, { force: true });
  } catch {
    // Taken away with its folder: the agent ends.
  }
  const at = text.indexOf(`${started}\n`);
  if (at < 0)
    return {
      kind: 'refused',
      said: text
        .replace(/[^ -~\n]/g, '?')
        .trim()
        .split('\n')
        .join('; '),
    };
  return { kind: 'ran', signalled: text.slice(at + started.length + 1).trim() !== '' };
}
