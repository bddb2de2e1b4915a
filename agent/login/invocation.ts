/**
 * Runs a program as an account: a login shell, a command or a subsystem, always through the account's own shell.
 *
 * The login uses su(1) of util-linux: PAM checks the account once more and opens a session (limits, environment, groups,
 * systemd's scope), and closes it at the end. With another su (busybox), setpriv(1) changes only ids and groups. Code that
 * runs as root before the switch sees nothing chosen by the client or the account: their variables are set, and folders
 * entered, after it. Without root, the service's own account is used as it is. Tested in test/agent/agent.test.ts and
 * test/agent/login.test.ts.
 */
import { spawnSync } from 'node:child_process';
import type { Account } from './account.js';
import { ReportPipe, STARTED } from './login-report.js';

export interface Invocation {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Collects su(1)'s messages; null if su is not used. */
  readonly report: ReportPipe | null;
}

export interface Variables {
  /** Variables of the client, under names that the node accepts: PAM's value for the same name wins, as with sshd. */
  readonly client: Readonly<Record<string, string>>;
  /** Variables of the node service. */
  readonly own: Readonly<Record<string, string>>;
}

const systemPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * A login shell (`command` null) or a command run by the account's shell, as the account. `modes`: arguments for stty(1).
 */
export function invocation(
  account: Account,
  command: string | null,
  { client, own }: Variables,
  modes: readonly (readonly string[])[] = [],
): Invocation {
  const program = [account.shell, ...(command === null ? ['-l'] : ['-c', command])];
  const path = account.uid === 0 ? systemPath : systemPath.replaceAll(/\/[a-z/]*sbin:/g, '');
  const forced = { ...own, HOME: account.home, USER: account.name, LOGNAME: account.name, SHELL: account.shell };
  // Only our own words (modes.ts): letters, digits and dashes.
  const first = `${ordinary}${modes.map((words) => `stty ${words.join(' ')} 2>/dev/null; `).join('')}`;
  if (process.getuid!() !== 0) {
    return {
      file: 'sh',
      args: ['-c', `${first}exec "$@"`, 'sh', ...program],
      cwd: account.home,
      env: { PATH: path, ...client, ...forced },
      report: null,
    };
  }
  const words = [...assignments(forced), '-', ...assignments(client), '--', ...program];
  const root = { cwd: '/', env: { PATH: path, HOME: '/' } };
  // Sets the user that the kernel's audit records from here on, as pam_loginuid(8) does for sshd: Debian's su(1) does not set it.
  const attributed = `{ echo ${account.uid} >/proc/self/loginuid; } 2>/dev/null; `;
  if (!hasPamSu()) {
    return {
      file: 'sh',
      args: [
        '-c',
        `${attributed}${first}exec "$@"`,
        'sh',
        'setpriv',
        `--reuid=${account.uid}`,
        `--regid=${account.gid}`,
        '--init-groups',
        '--inh-caps=-all',
        '--',
        'sh',
        '-c',
        inside,
        'sh',
        ...words,
      ],
      ...root,
      report: null,
    };
  }
  const report = new ReportPipe();
  return { file: 'sh', args: ['-c', `${attributed}${first}${outside}`, 'sh', report.path, account.name, ...words], ...root, report };
}

/**
 * Resets what belongs to the agent and not to users: Node.js raises its limit of open files, which breaks programs using
 * select(2), and a service may be exempt from the OOM killer. PAM may set limits afterwards.
 */
const ordinary =
  'ulimit -Sn 1024 2>/dev/null; { read -r s </proc/self/oom_score_adj; [ "${s:-0}" -ge 0 ] || echo 0 >/proc/self/oom_score_adj; unset s; } 2>/dev/null; ';

/**
 * Runs as the account: sets its variables and those of the client that nothing has set (names are ours: letters, digits and
 * underscores), enters its home or else the root folder, and runs its program.
 */
const inside =
  'while [ "$1" != - ]; do export "$1"; shift; done; shift; ' +
  'while [ "$1" != -- ]; do eval "[ -n \\"\\${${1%%=*}+set}\\" ]" || export "$1"; shift; done; shift; ' +
  'cd -- "$HOME" 2>/dev/null || cd /; exec "$@"';

/**
 * su(1)'s messages go to a pipe, since they are not output of the session. Inside, the session gets its streams back,
 * reports that it has begun, and runs the program with no shell but the account's. `--session-command` keeps the terminal.
 */
const outside = `exec 4>&2 5>&1 >"$1" 2>&1; u=$2; shift 2; exec su -s /bin/sh --session-command 'echo ${STARTED}; exec 1>&5 2>&4 4>&- 5>&-; ${inside}' -- "$u" sh "$@"`;

const variableName = /^[A-Z][A-Z0-9_]*$/;
function assignments(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(variables)
    .filter(([name]) => variableName.test(name))
    .map(([name, value]) => `${name}=${value}`);
}

let pamSu: boolean | undefined;
/** Whether su(1) is util-linux's, which opens PAM sessions for commands as well as shells. */
function hasPamSu(): boolean {
  pamSu ??= spawnSync('su', ['--version'], { encoding: 'utf8', timeout: 5_000 }).stdout?.includes('util-linux') ?? false;
  return pamSu;
}
