/** Escapes through programs that were started outside the session, each with the real program. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';
import type { Outcome } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('out of the session', () => {
  let probe: Probe;
  let folder: string;
  const children: ChildProcess[] = [];
  const outside = (file: string, ...args: readonly string[]): ChildProcess => {
    const child = spawn(file, args, { stdio: 'ignore', cwd: folder });
    children.push(child);
    return child;
  };
  /** Resolves once somebody outside has created a file of this name. */
  const made = (name: string): Promise<void> =>
    new Promise((resolve) => {
      const watcher = watch(folder, () => {
        if (!existsSync(join(folder, name))) return;
        watcher.close();
        resolve();
      });
      if (!existsSync(join(folder, name))) return;
      watcher.close();
      resolve();
    });
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-ways-')));
  });
  afterAll(() => {
    probe.close();
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  const sh = (script: string): Promise<Outcome> => probe.sh(script, { spawn: { cwd: folder } });
  const ways = ({ seen }: Outcome): readonly string[] => seen.filter(({ kind }) => kind === 'escape').map(({ reason }) => reason);
  const ran = ({ seen }: Outcome, file: string): boolean => seen.some(({ kind, path }) => kind === 'exec' && path === file);

  it('by a server of tmux on a socket of any name', async () => {
    execFileSync('tmux', ['-S', join(folder, 'quiet'), '-f', '/dev/null', 'new-session', '-d', 'sleep 600']);
    try {
      const outcome = await sh(`tmux -S quiet new-window -d 'touch by-tmux'`);
      await made('by-tmux');
      expect([outcome.code, ways(outcome)], outcome.output).toEqual([0, ['tmux']]);
      // The server ran it: of the session, only the request is recorded.
      expect(ran(outcome, '/usr/bin/touch')).toBe(false);
    } finally {
      execFileSync('tmux', ['-S', join(folder, 'quiet'), 'kill-server']);
    }
  });

  it('not by a server of tmux that the session starts itself: what that runs is seen', async () => {
    // The server ends with its last window, and would leave a client that waits at that moment waiting.
    const outcome = await sh(
      `tmux -S own -f /dev/null new-session -d 'touch by-own-tmux; tmux -S own wait-for -S done; sleep 600'; tmux -S own wait-for done; tmux -S own kill-server`,
    );
    expect(ways(outcome), outcome.output).toEqual([]);
    expect(ran(outcome, '/usr/bin/touch')).toBe(true);
  });

  it('not by a server of the session that has ended and is not buried yet', async () => {
    const outcome = await sh(`/usr/bin/python3 -S -c '
import ctypes, os, signal, socket
read, write = os.pipe()
pid = os.fork()
if pid == 0:
  ctypes.CDLL(None).prctl(15, b"tmux: server", 0, 0, 0)
  server = socket.socket(socket.AF_UNIX); server.bind("ended"); server.listen(1)
  child = os.fork()
  if child: os.write(write, b"%d" % child)
  else: signal.pause()
  os._exit(0)
child = int(os.read(read, 20))
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
socket.socket(socket.AF_UNIX).connect("ended")
os.kill(child, 9)'`);
    const [connected] = outcome.seen.filter(({ kind, path }) => kind === 'connect' && path === join(folder, 'ended'));
    expect([outcome.code, connected?.data['peer_name'], connected?.data['peer_in_session']], outcome.output).toEqual([
      0,
      'tmux: server',
      true,
    ]);
    expect(ways(outcome)).toEqual([]);
  });

  it('by a bus of its own name, which starts a service', async () => {
    writeFileSync(join(folder, 'service.sh'), `#!/bin/sh\ntouch ${folder}/by-bus\nsleep 600\n`, { mode: 0o755 });
    writeFileSync(join(folder, 'org.test.Way.service'), `[D-BUS Service]\nName=org.test.Way\nExec=${folder}/service.sh\n`);
    writeFileSync(
      join(folder, 'bus.conf'),
      `<busconfig><type>session</type><listen>unix:path=${folder}/bus</listen><servicedir>${folder}</servicedir>
<policy context="default"><allow send_destination="*"/><allow own="*"/><allow eavesdrop="false"/></policy></busconfig>`,
    );
    outside('dbus-daemon', `--config-file=${folder}/bus.conf`, '--nofork');
    await made('bus');
    const outcome = await sh(
      `DBUS_SESSION_BUS_ADDRESS=unix:path=$PWD/bus dbus-send --session --dest=org.test.Way --type=method_call / org.test.Way.Run`,
    );
    await made('by-bus');
    expect([outcome.code, [...new Set(ways(outcome))]], outcome.output).toEqual([0, ['dbus']]);
    expect(ran(outcome, '/usr/bin/touch')).toBe(false);
  });

  it('by a debugger that takes hold of a process', async () => {
    const { pid } = outside('sleep', '600');
    const outcome = await sh(`gdb -nx -batch -p ${pid} -ex detach`);
    expect(ways(outcome), outcome.output).toContain('ptrace');
  });

  it('by a tracer; of a child of its own it is none', async () => {
    const { pid } = outside('sleep', '600');
    const held = await sh(`timeout -s INT 1 strace -o trace -p ${pid}; true`);
    expect([...new Set(ways(held))], held.output).toEqual(['ptrace']);
    const own = await sh('strace -o trace true');
    expect(ways(own), own.output).toEqual([]);
  });

  const write = (how: string, pid: number): string =>
    `/usr/bin/python3 -S -c '
import ctypes, os, re, struct
pid = ${pid}
at = int(re.search(r"^([0-9a-f]+)-.* rw.* \\[stack\\]$", open("/proc/%d/maps" % pid).read(), re.M).group(1), 16)
${how}'`;

  it.each([
    ['by /proc/PID/mem', 'os.pwrite(os.open("/proc/%d/mem" % pid, os.O_RDWR), b"x", at)', 'memory of another process'],
    [
      'by the memory of one of its threads',
      'os.pwrite(os.open("/proc/%d/task/%d/mem" % (pid, pid), os.O_WRONLY), b"x", at)',
      'memory of another process',
    ],
    [
      'by a folder of it',
      'd = os.open("/proc/%d" % pid, os.O_RDONLY); os.pwrite(os.open("mem", os.O_RDWR, dir_fd=d), b"x", at)',
      'memory of another process',
    ],
    [
      'by process_vm_writev',
      'b = ctypes.create_string_buffer(b"x"); l = (ctypes.c_uint64 * 2)(ctypes.addressof(b), 1); r = (ctypes.c_uint64 * 2)(at, 1); assert ctypes.CDLL(None).process_vm_writev(pid, l, 1, r, 1, 0) == 1',
      'memory of another process',
    ],
  ])('%s of a process outside, which holds the byte afterwards', async (_, how, way) => {
    const { pid } = outside('sleep', '600');
    const at = Number.parseInt(/^([0-9a-f]+)-.*\[stack\]$/m.exec(readFileSync(`/proc/${pid}/maps`, 'utf8'))![1]!, 16);
    const outcome = await sh(write(how, pid!));
    expect([outcome.code, ways(outcome)], outcome.output).toEqual([0, [way]]);
    const got = execFileSync('dd', [`if=/proc/${pid}/mem`, 'bs=1', 'count=1', `skip=${at}`, 'status=none'], { encoding: 'latin1' });
    expect(got).toBe('x');
  });

  it('not by the memory of a process of the session', async () => {
    const outcome = await sh(
      `sleep 600 & own=$!; ${write('os.pwrite(os.open("/proc/%d/mem" % pid, os.O_RDWR), b"x", at)', 0).replace('pid = 0', `pid = int(os.environ["OWN"])`).replace('/usr/bin/python3', 'OWN=$own /usr/bin/python3')}; kill $own`,
    );
    expect([outcome.code, ways(outcome)], outcome.output).toEqual([0, []]);
  });
});
