/**
 * The third-party programs that tests start: how to find each, its Debian package, and how to recognize a test that uses
 * it. Plain JavaScript without dependencies, since it runs before anything is installed or built. Tested in setup.test.ts.
 */
// @ts-check
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * @typedef {object} Program
 * @property {string} name
 * @property {string} package   Debian and Ubuntu package
 * @property {() => boolean} present
 * @property {RegExp} used      matches the source of a test, or of its support code, that starts the program
 */

/** Searches PATH, and the sbin folders in which Debian keeps programs for root. @param {string} name */
export function onPath(name) {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** As first word of a call, `exec('NAME'` or `exec(['NAME'`, or as a path, `'/usr/sbin/NAME'`. @param {string} name */
const called = (name) => new RegExp(`[([]\\s*'${name}'\\s*[,)]|['"\`](?:/[\\w.-]+)*/s?bin/${name}['"\`]`);

/** @param {string} brings @param {readonly string[]} names @returns {Program[]} */
const byName = (brings, ...names) => names.map((name) => ({ name, package: brings, present: () => onPath(name), used: called(name) }));

/** @type {readonly Program[]} */
export const programs = [
  ...byName('openssh-client', 'ssh', 'ssh-keygen', 'ssh-keyscan', 'ssh-agent', 'ssh-add', 'scp', 'sftp'),
  { name: 'sshd', package: 'openssh-server', present: () => onPath('sshd'), used: /\/usr\/sbin\/sshd\b/ },
  {
    name: 'sftp-server',
    package: 'openssh-sftp-server',
    present: () => existsSync('/usr/lib/openssh/sftp-server'),
    used: /lib\/openssh\/sftp-server/,
  },
  ...byName('putty-tools', 'psftp', 'pscp', 'plink', 'puttygen'),
  ...byName('dropbear-bin', 'dbclient', 'dropbearkey'),
  ...byName('python3', 'python3'),
  {
    name: 'paramiko',
    package: 'python3-paramiko',
    present: () => existsSync('/usr/lib/python3/dist-packages/paramiko'),
    used: /import paramiko/,
  },
  ...byName('netcat-openbsd', 'nc'),
  ...byName('curl', 'curl'),
  ...byName('rsync', 'rsync'),
  ...byName('tmux', 'tmux'),
  { name: 'gdb', package: 'gdb', present: () => onPath('gdb'), used: /\bgdb -/ },
  { name: 'strace', package: 'strace', present: () => onPath('strace'), used: /\bstrace -/ },
  ...byName('dbus-daemon', 'dbus-daemon'),
  { name: 'dbus-send', package: 'dbus-bin', present: () => onPath('dbus-send'), used: /\bdbus-send --/ },
  ...byName('git', 'git'),
  ...byName('ansible-core', 'ansible', 'ansible-playbook'),
  ...byName('softhsm2', 'softhsm2-util'),
  {
    name: 'postgres',
    package: 'postgresql',
    present: () => folders('/usr/lib/postgresql').some((version) => existsSync(`/usr/lib/postgresql/${version}/bin/postgres`)),
    used: /postgresPrograms|startPostgres/,
  },
  {
    name: 'libbpf',
    package: 'libbpf1',
    present: () =>
      folders('/usr/lib', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu').some((name) => name.startsWith('libbpf.so.1')),
    used: /\bobstacles\(\)/,
  },
  {
    name: 'bpf/bpf_helpers.h',
    package: 'libbpf-dev',
    present: () => existsSync('/usr/include/bpf/bpf_helpers.h'),
    used: /agent\/bpf\/build|compileProgram/,
  },
  ...byName('clang', 'clang'),
  ...byName('llvm', 'llvm-objdump'),
  ...byName('bpftool', 'bpftool'),
  ...byName('iproute2', 'ip'),
  ...byName('busybox-static', 'busybox'),
  ...byName('zstd', 'zstd'),
  ...byName('openssl', 'openssl'),
  { name: 'cron', package: 'cron', present: () => onPath('cron'), used: /\bcron -f\b/ },
  { name: 'rsyslogd', package: 'rsyslog', present: () => onPath('rsyslogd'), used: /sbin\/rsyslogd/ },
  {
    name: 'rsyslog-gnutls',
    package: 'rsyslog-gnutls',
    present: () => existsSync('/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so'),
    used: /lmnsd_gtls/,
  },
  ...byName('bsdutils', 'script'),
  ...byName('util-linux', 'nsenter', 'unshare', 'setpriv'),
  ...byName('procps', 'pgrep'),
  ...byName('less', 'less'),
  { name: 'vim', package: 'vim-tiny', present: () => ['vim', 'vim.tiny', 'vi'].some(onPath), used: /[([]\s*'vim?(?:\.tiny)?'\s*[,)]/ },
  ...byName('systemd-container', 'systemd-nspawn'),
  {
    name: 'chromium',
    package: 'chromium',
    present: () => existsSync(process.env['STENO_CHROMIUM'] ?? '/usr/bin/chromium'),
    used: /\bchromium\.launch|\/usr\/bin\/chromium/,
  },
];

/**
 * Optional programs: tests look for these themselves, and skip the cases that need a missing one.
 * @type {readonly string[]}
 */
const furtherPackages = [
  'faketime',
  'rclone',
  'sshfs',
  'fuse3',
  'mosh',
  'gcc',
  'libssh-dev',
  'python3-asyncssh',
  'python3-venv',
  'libpam-systemd',
  'at',
  'cron',
  'screen',
  'fonts-dejavu-core',
  'ca-certificates',
  'make',
  'g++',
];

/** Every Debian package that the whole suite uses. @returns {string[]} */
export const packages = () => [...new Set([...programs.map((program) => program.package), ...furtherPackages])];

/** @returns {Program[]} */
export const missingPrograms = () => programs.filter((program) => !program.present());

/** The install command to paste. @param {readonly Program[]} missing */
export const installLine = (missing) =>
  `sudo apt-get install -y --no-install-recommends ${[...new Set(missing.map((program) => program.package))].join(' ')}`;

/** @param {...string} paths @returns {string[]} */
function folders(...paths) {
  return paths.flatMap((path) => {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  });
}
