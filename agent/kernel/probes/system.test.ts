import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';
import type { Outcome, Seen } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

const prelude = `
import ctypes, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
try: from platform import machine
except ImportError: machine = lambda: "x86_64"
arm = machine() == "aarch64"
def n(x64, arm64): return arm64 if arm else x64
`;

describe.skipIf(missing.length > 0)('of the system is told', () => {
  let probe: Probe;
  beforeAll(() => {
    probe = new Probe();
  });
  afterAll(() => probe.close());

  const python = async (script: string, ...args: readonly string[]): Promise<Outcome> => {
    const outcome = await probe.run('/usr/bin/python3', ['-c', prelude + script, ...args]);
    expect(outcome.code, outcome.output).toBe(0);
    return outcome;
  };
  const system = ({ seen }: Outcome, ...names: readonly string[]): readonly Seen[] =>
    seen.filter(({ kind, name }) => kind === 'system' && names.includes(name));

  it('who is signalled, looked into or limited: by name, and whether it is of the session', async () => {
    const outside = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
    const ended = once(outside, 'exit');
    const outcome = await python(
      `
other = int(sys.argv[1])
child = os.fork()
if child == 0:
  signal.pause()
os.kill(child, signal.SIGTERM); os.wait()
os.kill(other, 0)
buffer = ctypes.create_string_buffer(8)
local = struct.pack("QQ", ctypes.addressof(buffer), 8)
libc.process_vm_readv(other, local, 1, struct.pack("QQ", 4096, 8), 1, 0)
resource = struct.pack("QQ", 100, 200)
libc.prlimit(other, 7, resource, None)
fd = libc.syscall(434, other, 0)
assert fd >= 0
got = libc.syscall(438, fd, 0, 0)
assert got >= 0
libc.syscall(424, fd, signal.SIGKILL, None, 0)
`,
      String(outside.pid),
    );
    await ended;
    const target = { target: outside.pid, target_name: 'sleep', target_in_session: false, target_exe: expect.stringMatching(/\/sleep$/) };
    const told = system(outcome, 'kill', 'process_vm_readv', 'prlimit', 'pidfd_getfd', 'pidfd_send_signal').map(
      ({ name, reason, path, data }) => ({
        name,
        reason,
        path,
        target:
          data['target'] === outside.pid
            ? Object.fromEntries(Object.entries(data).filter(([key]) => key.startsWith('target')))
            : data['target_in_session'],
      }),
    );
    expect(told).toEqual([
      { name: 'kill', reason: 'SIGTERM', path: '', target: true },
      { name: 'process_vm_readv', reason: '', path: '', target },
      { name: 'prlimit', reason: 'nofile 100', path: '', target },
      { name: 'pidfd_getfd', reason: '', path: '/dev/null', target },
      { name: 'pidfd_send_signal', reason: 'SIGKILL', path: '', target },
    ]);
  });

  it('rights given up and taken, with their sets and groups', async () => {
    const outcome = await python(`
os.setgroups([5, 7, 4000000])
head = struct.pack("Ii", 0x20080522, 0)
sets = struct.pack("IIIIII", 1 << 7, 1 << 7 | 1 << 12, 0, 0, 0, 0)
assert libc.capset(head, sets) == 0
`);
    const rows = outcome.seen.filter(({ kind }) => kind === 'privilege');
    expect(rows.map(({ name, outcome: how }) => [name, how])).toEqual([
      ['setgroups', 'success'],
      ['capset', 'success'],
    ]);
    expect(rows[0]!.data['groups']).toEqual([5, 7, 4_000_000]);
    expect(rows[1]).toMatchObject({
      reason: 'effective setuid',
      data: { effective: 'setuid', permitted: 'net_admin,setuid'.split(',').reverse().join(','), inheritable: 'none', ambient: 'none' },
    });
  });

  it("what changes the machine or the kernel's view of a process", async () => {
    const outcome = await python(`
libc.prctl(4, 0, 0, 0, 0); libc.prctl(38, 1, 0, 0, 0); libc.prctl(15, b"innocent", 0, 0, 0)
libc.personality(0xffffffff); libc.personality(0x0040000)
libc.syscall(n(250, 219), 1, b"mine", 0, 0, 0)
libc.syscall(n(248, 217), b"user", b"name", b"secret", 6, -3)
libc.syscall(n(298, 241), struct.pack("II", 1, 112) + bytes(104), 0, -1, -1, 0)
libc.syscall(n(227, 112), 99, struct.pack("qq", 1, 1))
libc.acct(b"/nowhere/at/all"); libc.swapon(b"/nowhere", 0); libc.swapoff(b"/nowhere")
libc.syscall(n(300, 262), 0, 0)
libc.syscall(430, b"tmpfs", 0)
if libc.unshare(0x04000000) == 0: libc.sethostname(b"elsewhere-and-more", 9)
`);
    const rows = system(
      outcome,
      'prctl',
      'personality',
      'keyctl',
      'add_key',
      'perf_event_open',
      'set_clock',
      'acct',
      'swapon',
      'swapoff',
      'fanotify_init',
      'fsopen',
      'sethostname',
    );
    expect(rows.map(({ name, reason, path }) => [name, reason, path].filter((text) => text !== '').join(' '))).toEqual([
      'prctl dumpable',
      'prctl no_new_privs',
      'personality 0x40000',
      'keyctl join_session_keyring',
      'add_key user name',
      'perf_event_open',
      'set_clock',
      'acct /nowhere/at/all',
      'swapon /nowhere',
      'swapoff /nowhere',
      'fanotify_init',
      'fsopen tmpfs',
      'sethostname elsewhere',
    ]);
  });

  it("the commands by which maps of the kernel's programs are reached and changed", async () => {
    const outcome = await python(`
def bpf(command, attr): return libc.syscall(n(321, 280), command, attr + bytes(128 - len(attr)), 128)
map = bpf(0, struct.pack("IIIII", 1, 4, 4, 16, 0))
assert map >= 0
key = ctypes.create_string_buffer(4); value = ctypes.create_string_buffer(4)
assert bpf(2, struct.pack("IxxxxQQQ", map, ctypes.addressof(key), ctypes.addressof(value), 0)) == 0
bpf(1, struct.pack("IxxxxQQQ", map, ctypes.addressof(key), ctypes.addressof(value), 0))
assert bpf(3, struct.pack("IxxxxQ", map, ctypes.addressof(key))) == 0
bpf(14, struct.pack("I", 0xffffffff))
`);
    expect(system(outcome, 'bpf').map(({ reason }) => reason)).toEqual([
      'map_create',
      'map_update_elem',
      'map_delete_elem',
      'map_get_fd_by_id',
    ]);
  });
});
