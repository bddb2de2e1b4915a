/**
 * Programs that run another program named in their arguments: `sudo -u root sh`, `find . -exec sh {} ;`, `timeout 5 nc …`. Tested in
 * interpret.test.ts.
 */

interface Wrapper {
  /** Letters of options that take an argument. */
  readonly options: string;
  /** Number of operands before the program. */
  readonly operands: number;
}

const wrapper = (options = '', operands = 0): Wrapper => ({ options, operands });

const wrappers: ReadonlyMap<string, Wrapper> = new Map([
  ['sudo', wrapper('ugpCTUrtDRh')], ['doas', wrapper('uC')], ['env', wrapper('uCS')], ['nohup', wrapper()], ['setsid', wrapper()],
  ['time', wrapper('fo')], ['nice', wrapper('n')], ['ionice', wrapper('cnp')], ['timeout', wrapper('sk', 1)], ['stdbuf', wrapper('ioe')],
  ['command', wrapper()], ['builtin', wrapper()], ['exec', wrapper('a')], ['xargs', wrapper('IndPaELs')], ['watch', wrapper('n')],
  ['strace', wrapper('eopsuEaSI')], ['ltrace', wrapper('eopsuaSn')], ['chroot', wrapper('', 1)], ['unshare', wrapper('SGRw')],
  ['nsenter', wrapper('tSGrw')], ['setarch', wrapper('', 1)], ['linux64', wrapper()], ['taskset', wrapper('', 1)], ['chrt', wrapper('TPD', 1)],
  ['flock', wrapper('wEc', 1)], ['busybox', wrapper()], ['toybox', wrapper()], ['parallel', wrapper('jIaN')], ['proxychains', wrapper('f')],
  ['proxychains4', wrapper('f')], ['torsocks', wrapper('aPup')], ['torify', wrapper()], ['fakeroot', wrapper('lsib')], ['unbuffer', wrapper()],
  ['runuser', wrapper('ugG')], ['pkexec', wrapper()], ['gosu', wrapper('', 1)], ['su-exec', wrapper('', 1)], ['setpriv', wrapper()],
  ['firejail', wrapper()], ['systemd-run', wrapper('pHMu')], ['eatmydata', wrapper()], ['dbus-run-session', wrapper()], ['aa-exec', wrapper('pn')],
  ['choom', wrapper('np')], ['cpulimit', wrapper('lpe')], ['softlimit', wrapper('acdflmoprst')], ['rlwrap', wrapper('abcCdDefFgHlmMnNoOpPqrRsStTwz')],
  ['start-stop-daemon', wrapper('nxpuagcs')], ['catchsegv', wrapper()], ['stdout', wrapper()], ['hexec', wrapper()], ['logsave', wrapper('', 1)],
]); // prettier-ignore

/** The argv of the program that `argv` runs, or null. */
export function wrapped(program: string, argv: readonly string[]): readonly string[] | null {
  if (program === 'find') return executedByFind(argv);
  const known = wrappers.get(program);
  if (known === undefined) return null;
  let at = 1;
  let operands = known.operands;
  for (; at < argv.length; at += 1) {
    const word = argv[at]!;
    if (word === '--') {
      if (operands === 0) {
        at += 1;
        break;
      }
      continue;
    }
    if (word.startsWith('--')) continue;
    if (word.startsWith('-') && word.length > 1) {
      if (word.length === 2 && known.options.includes(word[1]!)) at += 1;
      continue;
    }
    if (/^[A-Za-z_]\w*=/.test(word) && (program === 'env' || program === 'sudo')) continue;
    if (operands === 0) break;
    operands -= 1;
  }
  // `command -v x` and `command -V x` only look the command up.
  if (program === 'command' && /^-[vV]/.test(argv[1] ?? '')) return null;
  return at < argv.length ? argv.slice(at) : null;
}

function executedByFind(argv: readonly string[]): readonly string[] | null {
  const at = argv.findIndex((word) => /^-(exec|execdir|ok|okdir)$/.test(word));
  if (at < 0) return null;
  const rest = argv.slice(at + 1);
  const end = rest.findIndex((word) => word === ';' || word === '+');
  const command = end < 0 ? rest : rest.slice(0, end);
  return command.length === 0 ? null : command;
}
