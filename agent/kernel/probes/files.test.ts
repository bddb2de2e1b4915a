import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { Probe } from '../testing/probe.js';
import type { Outcome, Seen } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

/** Numbers that differ by architecture are obtained from Python; the others are the same everywhere. */
const prelude = `
import ctypes, fcntl, os, struct, stat
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
  result = libc.syscall(*args)
  return result if result >= 0 else -ctypes.get_errno()
`;

describe.skipIf(missing.length > 0)('of files is told', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-files-')));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const python = async (script: string): Promise<Outcome> => {
    const outcome = await probe.run('/usr/bin/python3', ['-S', '-c', prelude + script], { spawn: { cwd: folder } });
    expect(outcome.code, outcome.output).toBe(0);
    return outcome;
  };
  const here = (outcome: Outcome): readonly Seen[] =>
    outcome.seen.filter(({ kind, path }) => kind === 'file' && path.startsWith(`${folder}/`));
  const told = (outcome: Outcome, ...names: readonly string[]): readonly unknown[] =>
    here(outcome)
      .filter(({ name }) => names.includes(name))
      .map(({ name, path, reason, outcome: how }) => [name, path.slice(folder.length), reason, how]);

  it('code that is mapped and was never executed: libraries, files made executable, memory', async () => {
    const outcome = await python(`
import mmap, shutil
shutil.copy(os.readlink("/proc/self/exe"), "library")
fd = os.open("library", os.O_RDONLY)
mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
for i in range(100): mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
m = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(m))
for i in range(100):
  assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), 5) == 0
  assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), 3) == 0
assert libc.mprotect(ctypes.c_void_p(0), ctypes.c_size_t(4096), 5) == -1
`);
    expect(told(outcome, 'map')).toEqual([['map', '/library', 'executable', 'success']]);
    const memory = outcome.seen.filter(({ name, path, reason }) => name === 'map' && path === '' && reason.startsWith('executable memory'));
    // Once for each method and process image, however often it happens.
    expect(memory.filter(({ reason }) => reason === 'executable memory,writable')).toHaveLength(1);
    expect(memory.length).toBeLessThanOrEqual(4);
    expect(outcome.seen.some(({ name, path }) => name === 'map' && /libc(-[\d.]+)?\.so/.test(path))).toBe(true);
  });

  it('an execution that failed, with what was asked', async () => {
    const outcome = await python(`
open("no", "w").close(); os.chmod("no", 0o644)
for path in ("./no", "absent"):
  try: os.execv(path, [path, "an argument"])
  except OSError: pass
try: os.execve(os.open("no", os.O_RDONLY), ["x", "y"], {})
except OSError: pass
`);
    expect(told(outcome, 'execute')).toEqual([
      ['execute', '/no', './no an argument', 'EACCES'],
      ['execute', '/absent', 'absent an argument', 'ENOENT'],
      ['execute', '/no', 'x y', 'EACCES'],
    ]);
    expect(here(outcome).find(({ name }) => name === 'execute')!.data['argv']).toEqual(['./no', 'an argument']);
  });

  it('extended attributes with their values, which may be rights', async () => {
    const outcome = await python(`
open("f", "w").close()
cap = struct.pack("<IIIII", 0x02000001, 1 << 7, 0, 0, 0)
os.setxattr("f", "security.capability", cap)
f = os.open("f", os.O_RDWR); os.setxattr(f, "user.note", b"v"); os.removexattr(f, "user.note")
os.removexattr("f", "security.capability")
`);
    expect(told(outcome, 'setxattr', 'removexattr')).toEqual([
      ['setxattr', '/f', 'security.capability', 'success'],
      ['setxattr', '/f', 'user.note', 'success'],
      ['removexattr', '/f', 'user.note', 'success'],
      ['removexattr', '/f', 'security.capability', 'success'],
    ]);
    const { data } = here(outcome).find(({ name }) => name === 'setxattr')!;
    expect(Buffer.from(data['value_base64'] as string, 'base64').readUInt32LE(4)).toBe(1 << 7);
  });

  it('times, attributes and room', async () => {
    const outcome = await python(`
open("t", "w").close()
os.utime("t", (1, -2)); os.utime("t"); f = os.open("t", os.O_RDWR); os.utime(f, (3, 4))
os.posix_fallocate(f, 0, 8192)
try:
  had = fcntl.ioctl(f, 0x80086601, bytes(8))
  fcntl.ioctl(f, 0x40086602, struct.pack("q", struct.unpack("q", had)[0] | 0x40))
except OSError: pass
`);
    expect(told(outcome, 'utimes', 'fallocate')).toEqual([
      ['utimes', '/t', '', 'success'],
      ['utimes', '/t', '', 'success'],
      ['utimes', '/t', '', 'success'],
      ['fallocate', '/t', '', 'success'],
    ]);
    expect(
      here(outcome)
        .filter(({ name }) => name === 'utimes')
        .map(({ data }) => [data['accessed'], data['modified'], data['to']]),
    ).toEqual([
      ['1', '-2', undefined],
      [undefined, undefined, 'now'],
      ['3', '4', undefined],
    ]);
    expect(told(outcome, 'chattr')[0]).toEqual(['chattr', '/t', 'no_dump', expect.stringMatching(/success|ENOTTY|EOPNOTSUPP|EPERM/)]);
  });

  it('what kind of node was made, and of which device', async () => {
    const outcome = await python(`
os.mkfifo("pipe"); os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
try: os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(259, 70000))
except OSError: pass
`);
    expect(told(outcome, 'mknod').map((row) => (row as unknown[]).slice(0, 3))).toEqual([
      ['mknod', '/pipe', 'fifo'],
      ['mknod', '/null', 'character device'],
      ['mknod', '/disk', 'block device'],
    ]);
    expect(
      here(outcome)
        .filter(({ name }) => name === 'mknod')
        .map(({ data }) => [data['major'], data['minor']]),
    ).toEqual([
      [undefined, undefined],
      [1, 3],
      [259, 70000],
    ]);
  });

  it('a file made without a name and named later, an exchange, and a descriptor for a path', async () => {
    const outcome = await python(`
f = os.open(".", os.O_TMPFILE | os.O_RDWR)
AT_EMPTY_PATH, AT_SYMLINK_FOLLOW = 0x1000, 0x400
assert libc.linkat(-100, b"/proc/self/fd/%d" % f, -100, b"named", AT_SYMLINK_FOLLOW) == 0
assert libc.linkat(f, b"", -100, b"again", AT_EMPTY_PATH) == 0
open("one", "w").close(); open("two", "w").close()
assert libc.renameat2(-100, b"one", -100, b"two", 2) == 0
os.open("one", os.O_PATH | os.O_RDWR)
`);
    const [made] = here(outcome).filter(({ reason }) => reason === 'read,write,temporary');
    expect(made!.path).toMatch(/\/#\d+$/);
    const links = here(outcome)
      .filter(({ name }) => name === 'link')
      .map(({ path, data }) => [path.slice(folder.length), data['from']]);
    expect(links.map(([path]) => path)).toEqual(['/named', '/again']);
    // The first link has its name by then: both rows name the file, not its entry in /proc.
    expect(links.map(([, from]) => String(from).startsWith(`${folder}/`))).toEqual([true, true]);
    expect(told(outcome, 'exchange')).toEqual([['exchange', '/two', '', 'success']]);
    expect(told(outcome, 'open')).toContainEqual(['open', '/one', 'path', 'success']);
  });

  it('keys typed into a terminal for somebody', async () => {
    const outcome = await probe.run('/usr/bin/python3', [
      '-c',
      `
import fcntl, os, pty, termios
master, slave = pty.openpty()
try: fcntl.ioctl(slave, termios.TIOCSTI, b"x")
except OSError: pass
`,
    ]);
    expect(outcome.seen.filter(({ name }) => name === 'type').map(({ path, reason }) => [path.startsWith('/'), reason])).toEqual([
      [true, 'into a terminal'],
    ]);
  });
});
