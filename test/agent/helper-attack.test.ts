/**
 * A user attacks the root service of a node from inside a recorded session: finds the helper of their own forwarding,
 * signals it, traces it and writes to it. The service and another user's session must continue.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { background } from '../end-to-end/client-tools.js';
import type { Background } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { TestAccount } from './ssh-node.js';

const root = process.getuid!() === 0;
if (!root) console.warn('skipped: accounts of a test need root');

/** Tries every attack of a user's process on the node service and on each of its children. */
const attack = `
import ctypes, json, os, signal, socket, struct, sys
service = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
done = {}
def tried(what, act):
    try:
        act()
        done.setdefault(what, []).append(pid)
    except OSError:
        pass
def call(*words):
    if libc.syscall(*words) < 0: raise OSError(ctypes.get_errno(), 'refused')
targets = [service]
for name in os.listdir('/proc'):
    if name.isdigit():
        try:
            if open('/proc/%s/stat' % name).read().rsplit(')', 1)[1].split()[1] == str(service): targets.append(int(name))
        except OSError: pass
for pid in targets:
    for number in [signal.SIGUSR1] + list(range(1, 65)):
        tried('signal %d' % number, lambda: os.kill(pid, number))
    tried('seize', lambda: call(101, 0x4206, pid, 0, 0))
    tried('attach', lambda: call(101, 16, pid, 0, 0))
    tried('descriptors', lambda: os.listdir('/proc/%d/fd' % pid))
    for fd in range(16):
        tried('open fd', lambda: os.open('/proc/%d/fd/%d' % (pid, fd), os.O_RDWR))
    tried('memory', lambda: open('/proc/%d/mem' % pid, 'rb'))
    tried('environment', lambda: open('/proc/%d/environ' % pid, 'rb').read())
    def steal():
        handle = libc.syscall(434, pid, 0)
        if handle < 0: raise OSError(0, 'no handle')
        for fd in range(16):
            got = libc.syscall(438, handle, fd, 0)
            if got >= 0:
                os.write(got, struct.pack('>I', 25) + b'{"cmd":"NODE_HANDLE_ACK"}' + b'\\n')
                return
        raise OSError(0, 'none')
    tried('a descriptor stolen', steal)
    tried('limits', lambda: call(302, pid, 7, 0, ctypes.create_string_buffer(16)))
for port in range(9229, 9240):
    try:
        socket.create_connection(('127.0.0.1', port), 1).close()
        done.setdefault('inspector', []).append(port)
    except OSError: pass
print(json.dumps({'targets': targets, 'done': done}))
`;

describe.skipIf(!root)('a user of a node against its root service', () => {
  const steno = new Steno();
  const folder = mkdtempSync(join(tmpdir(), 'steno-attack-'));
  let attacker: TestAccount;
  let other: TestAccount;
  let bystander: Background;
  const servicePid = (): number => steno.run.processes['agent']!;
  const as = (account: TestAccount, ...args: readonly string[]) =>
    steno.exec('ssh', ['-F', steno.config, '-l', account.name, ...args.slice(0, -1), 'local.steno', ...args.slice(-1)]);

  beforeAll(async () => {
    [attacker, other] = [new TestAccount('x'), new TestAccount('y')];
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, 'attack.py'), attack, { mode: 0o644 });
    await steno.start();
    await steno.json('login', '--data', steno.data);
    bystander = background(steno, 'ssh', [
      '-F',
      steno.config,
      '-l',
      other.name,
      '-R',
      '0:127.0.0.1:1',
      'local.steno',
      'echo ready; while read line; do echo "still $line"; done',
    ]);
    await bystander.until(/ready/);
  });
  afterAll(async () => {
    await bystander?.stop();
    await steno.dispose();
    attacker.remove();
    other.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const goesOn = async (before: number, word: string): Promise<void> => {
    expect(servicePid()).toBe(before);
    bystander.write(`${word}\n`);
    await bystander.until(new RegExp(`still ${word}`));
    expect((await as(other, 'id -un')).stdout).toBe(`${other.name}\n`);
  };

  it('no attack of a process of the account on the helper or the service has an effect', async () => {
    const before = servicePid();
    const held = background(steno, 'ssh', [
      '-F',
      steno.config,
      '-l',
      attacker.name,
      '-R',
      `${join('/home', attacker.name, 's')}:${join(folder, 'none')}`,
      '-R',
      '0:127.0.0.1:1',
      'local.steno',
      // The socket appears once the helper runs: ssh does not wait for its forwardings before it runs a command.
      `until [ -S ${join('/home', attacker.name, 's')} ]; do sleep 0.05; done; /usr/bin/python3 ${join(folder, 'attack.py')} ${before}; echo over; cat`,
    ]);
    const [line] = await held.until(/\{"targets".*\}(?=\n)/);
    const { targets, done } = JSON.parse(line) as { targets: readonly number[]; done: Readonly<Record<string, readonly number[]>> };
    // The targets also include the su(1) of the login, which runs as root. The helper holds the account's listeners.
    const helper = targets.filter(
      (pid) =>
        pid !== before && /^Uid:\t0\t/m.test(readStatus(pid)) && new RegExp(`^Uid:\t0\t${attacker.uid}\t0\t`, 'm').test(readStatus(pid)),
    );
    expect(helper.length).toBe(1);
    // Any process may send SIGCONT within its own process session, so it reaches the su(1) of the login. No other signal arrives.
    const { 'signal 18': resumed = [], ...rest } = done;
    expect(rest).toEqual({});
    expect(resumed.filter((pid) => pid === before || pid === helper[0])).toEqual([]);
    // The helper still works.
    expect(existsSync(join('/home', attacker.name, 's'))).toBe(true);
    expect(lstatSync(join('/home', attacker.name, 's')).uid).toBe(attacker.uid);
    await held.stop();
    await goesOn(before, 'signals');
  });

  it('a helper that dies ends the forwardings of its own connection only', async () => {
    const before = servicePid();
    const held = background(steno, 'ssh', [
      '-F',
      steno.config,
      '-l',
      attacker.name,
      '-R',
      '0:127.0.0.1:1',
      'local.steno',
      'echo ready; cat',
    ]);
    await held.until(/ready/);
    // The helper of the previous connection may still be exiting.
    const helpersNow = async () =>
      childrenOf(before).filter((pid) => new RegExp(`^Uid:\t0\t${attacker.uid}\t0\t`, 'm').test(readStatus(pid)));
    const helpers = await eventually(helpersNow, ({ length }) => length === 1);
    process.kill(helpers[0]!, 'SIGKILL');
    await eventually(
      async () => childrenOf(before),
      (pids) => !pids.includes(helpers[0]!),
    );
    await goesOn(before, 'killed');
    held.write('and so does this session\n');
    await held.until(/and so does this session/);
    await held.stop();
  });

  it('a flood of connections to a forwarded socket ends no other connection', async () => {
    const before = servicePid();
    const path = join('/home', attacker.name, 'flood');
    const held = background(steno, 'ssh', [
      '-F',
      steno.config,
      '-l',
      attacker.name,
      '-R',
      `${path}:${join(folder, 'none')}`,
      'local.steno',
      'echo ready; cat',
    ]);
    await held.until(/ready/);
    const { status, stderr } = attacker.run(
      '/usr/bin/python3',
      '-c',
      `import socket\nheld = []\nfor i in range(3000):\n  s = socket.socket(socket.AF_UNIX); s.setblocking(False)\n  try: s.connect(${JSON.stringify(path)})\n  except OSError: pass\n  held.append(s) if i % 3 else s.close()\n`,
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    await goesOn(before, 'flooded');
    await held.stop();
  });

  it('an attacker can replace no part of the path to the agent’s socket, and has no file of root deleted', async () => {
    const before = servicePid();
    const agentSocket = join(folder, 'client-agent');
    const agent = background(steno, 'ssh-agent', ['-D', '-a', agentSocket]);
    await agent.until(/SSH_AUTH_SOCK/);
    const treasure = join(folder, 'treasure');
    mkdirSync(join(treasure, 'deep'), { recursive: true });
    writeFileSync(join(treasure, 'deep', 'file'), 'kept');
    const script = [
      'd=$(dirname "$SSH_AUTH_SOCK"); p=$(dirname "$d"); ssh-add -l >/dev/null 2>&1; echo "asked $?"',
      'for one in "$SSH_AUTH_SOCK" "$d" "$p"; do rm -rf "$one" 2>/dev/null && echo "removed $one"; mv "$one" "$one.x" 2>/dev/null && echo "moved $one"; done',
      `ln -sfn ${treasure} "$d" 2>/dev/null && echo linked; ln -s ${treasure} "$p/other" 2>/dev/null && echo linked; touch "$d/x" 2>/dev/null && echo wrote`,
      'test -S "$SSH_AUTH_SOCK" && echo there; stat -c "%U %a" "$SSH_AUTH_SOCK" "$d" "$p" | tr "\\n" " "; echo "$d"',
    ].join('; ');
    const { stdout } = await steno.exec('ssh', ['-F', steno.config, '-A', '-l', attacker.name, 'local.steno', script], {
      env: { SSH_AUTH_SOCK: agentSocket },
    });
    // 1: the agent answers, and has no keys.
    expect(stdout).toMatch(
      new RegExp(`^asked 1\nthere\n${attacker.name} 600 root 711 root 711 /run/steno/node-${before}-\\d+/agent-\\d+\n$`),
    );
    const place = stdout.trim().split(' ').at(-1)!;
    await eventually(
      async () => existsSync(place),
      (there) => !there,
    );
    expect(readFileSync(join(treasure, 'deep', 'file'), 'utf8')).toBe('kept');
    // Another account cannot use the socket meanwhile.
    const stranger = background(
      steno,
      'ssh',
      ['-F', steno.config, '-A', '-l', attacker.name, 'local.steno', 'echo "at $SSH_AUTH_SOCK"; cat'],
      { SSH_AUTH_SOCK: agentSocket },
    );
    const [, at] = await stranger.until(/at (\S+)/);
    expect(other.run('env', `SSH_AUTH_SOCK=${at!}`, 'ssh-add', '-l').stderr).toMatch(/Permission denied/);
    await stranger.stop();
    await agent.stop();
    await goesOn(before, 'agents');
  });

  it('an expired account gets nothing through the gateway and is told why', async () => {
    attacker.change('chage', '-E', '0');
    try {
      for (const args of [
        ['true'],
        ['-tt', ''],
        ['-W', '127.0.0.1:1', ''],
        ['-s', 'sftp'],
        ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:1', ''],
      ]) {
        const { status, stdout, stderr } = await as(attacker, ...args);
        // Without a channel, ssh shows no message.
        const told = args[0] === '-N' || (/NODE_REFUSED/.test(stdout + stderr) && /account has expired/.test(stdout + stderr));
        expect({ args, status, told }, stdout + stderr).toEqual({ args, status: 255, told: true });
      }
    } finally {
      attacker.change('chage', '-E', '-1');
    }
    expect((await as(attacker, 'echo in')).stdout).toBe('in\n');
  });

  it('leaves no folder of sockets behind, even if the service was killed', async () => {
    const before = servicePid();
    const agentSocket = join(folder, 'client-agent-2');
    const agent = background(steno, 'ssh-agent', ['-D', '-a', agentSocket]);
    await agent.until(/SSH_AUTH_SOCK/);
    const held = background(steno, 'ssh', ['-F', steno.config, '-A', '-l', attacker.name, 'local.steno', 'echo ready; cat'], {
      SSH_AUTH_SOCK: agentSocket,
    });
    await held.until(/ready/);
    expect(readdirSync('/run/steno').filter((name) => name.startsWith(`node-${before}-`))).toHaveLength(1);
    process.kill(before, 'SIGKILL');
    await held.ended;
    await eventually(
      async () => servicePid(),
      (pid) => pid !== before,
    );
    // The next service removes the old folders when it makes its first agent socket.
    await eventually(
      async () =>
        (
          await steno.exec('ssh', ['-F', steno.config, '-A', '-l', attacker.name, 'local.steno', 'test -S "$SSH_AUTH_SOCK"'], {
            env: { SSH_AUTH_SOCK: agentSocket },
          })
        ).status,
      (status) => status === 0,
    );
    expect(readdirSync('/run/steno').filter((name) => name.startsWith(`node-${before}-`))).toEqual([]);
    await agent.stop();
  });
});

describe('SIGUSR1', () => {
  it('opens no debugger in a helper or in the node service, on any version of Node.js', () => {
    // Sent as root, because the account cannot signal these processes at all (see above).
    const program = [
      'import { spawn } from "node:child_process"; import { connect } from "node:net";',
      'const { Helper } = await import(process.argv[1]);',
      'const helper = new Helper({ warn() {}, info() {}, error() {}, debug() {} });',
      'const ok = await helper.become({ name: "root", uid: process.getuid(), gid: process.getgid() });',
      'const pid = process._getActiveHandles().map((handle) => handle.pid).find((pid) => pid > 0);',
      'process.kill(pid, "SIGUSR1");',
      'const dialled = await helper.connect({ kind: "tcp", host: "127.0.0.1", port: 9229 });',
      'console.log(JSON.stringify({ ok, pid: pid > 0, code: dialled.code })); helper.close();',
    ].join('\n');
    const helper = new URL('../../dist/agent/helper/helper.js', import.meta.url).pathname;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program, helper], { encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: `${JSON.stringify({ ok: true, pid: true, code: 'ECONNREFUSED' })}\n`, stderr: '' });
  });
});

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}
