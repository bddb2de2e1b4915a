import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { compiled, hasCompiler } from '../testing/attack.js';
import { Probe } from '../testing/probe.js';
import type { Outcome, ProbeOptions } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

const question = (name: string): string =>
  `bytes.fromhex("123401000001000000000000") + b"${name
    .split('.')
    .map((label) => `\\x${label.length.toString(16).padStart(2, '0')}" + b"${label}`)
    .join('')}\\x00\\x00\\x01\\x00\\x01"`;

describe.skipIf(missing.length > 0)('of sockets is told', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-sockets-')));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const python = async (script: string, options: ProbeOptions = { classes: ['network', 'dns'] }): Promise<Outcome> => {
    const outcome = await probe.run(
      '/usr/bin/python3',
      ['-S', '-c', `import ctypes, os, socket, struct, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n${script}`],
      { ...options, spawn: { cwd: folder } },
    );
    expect(outcome.code, outcome.output).toBe(0);
    return outcome;
  };

  it('datagrams bound, received, and written to a socket that is connected', async () => {
    const { seen } = await python(`
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("127.0.0.1", 0))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); b.connect(a.getsockname())
os.write(b.fileno(), b"one"); os.writev(b.fileno(), [b"four"]); a.recvfrom(10); a.recvmsg(10)
print(a.getsockname()[1], b.getsockname()[1])
`);
    const [bound] = seen.filter(({ kind, name }) => kind === 'listen' && name === 'udp');
    expect(bound).toMatchObject({ address: '127.0.0.1', reason: 'bound', outcome: 'success' });
    const sent = seen.filter(({ kind, name }) => kind === 'send' && name === 'udp');
    expect(sent.map(({ port }) => port)).toEqual([bound!.port, bound!.port]);
    const from = sent[0]!.data['local_port'];
    expect(
      seen.filter(({ kind, name }) => kind === 'accept' && name === 'udp').map(({ reason, address, port }) => [reason, address, port]),
    ).toEqual([
      ['received', '127.0.0.1', from],
      ['received', '127.0.0.1', from],
    ]);
  });

  it('every one of many messages in one call', async () => {
    const { seen, counters, gaps } = await python(`
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(("127.0.0.78", 4009))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(r.getsockname())
base = ctypes.create_string_buffer(b"x"); vec = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(base), 1))
one = struct.pack("QIxxxxQQQQIxxxxIxxxx", 0, 0, ctypes.addressof(vec), 1, 0, 0, 0, 0)
assert len(one) == 64
sent = libc.sendmmsg(s.fileno(), one * 200, 200, 0)
assert sent == 200, sent
`);
    expect(seen.filter(({ kind, port }) => kind === 'send' && port === 4009)).toHaveLength(200);
    expect([counters.lost, gaps]).toEqual([0, []]);
  });

  it('names asked over TCP, by write, with their length before them or by itself', async () => {
    const server = createServer((socket) => socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(53, '127.0.0.77', resolve));
    const { seen } = await python(
      `
def asked(q): return struct.pack(">H", len(q)) + q
s = socket.create_connection(("127.0.0.77", 53))
s.send(asked(${question('whole.test')}))
q = ${question('parts.test')}
os.write(s.fileno(), struct.pack(">H", len(q))); os.write(s.fileno(), q)
s.sendmsg([asked(${question('message.test')})])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(("127.0.0.77", 53)); os.write(u.fileno(), ${question('written.test')})
`,
      { classes: ['dns'] },
    );
    server.close();
    expect(seen.filter(({ kind }) => kind === 'dns').map(({ name, reason }) => `${name} ${reason}`)).toEqual([
      'whole.test A',
      'parts.test A',
      'message.test A',
      'written.test A',
    ]);
    // A piece that is not a question is recorded as a plain send.
    expect(seen.filter(({ kind }) => kind === 'send').map(({ port, name, data }) => [port, name, data['uid']])).toEqual([[53, 'tcp', 0]]);
  });

  it('where a connection on this machine led, whatever was asked, and who listens there', async () => {
    const path = join(folder, 'service.sock');
    const server = createServer((socket) => socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { seen } = await python(`
os.symlink("service.sock", "link")
for path in ("service.sock", "./link", "/proc/self/cwd/link", os.getcwd() + "//service.sock", "absent"):
  s = socket.socket(socket.AF_UNIX)
  try: s.connect(path)
  except OSError: pass
own = socket.socket(socket.AF_UNIX); own.bind("\\0own-of-steno-test"); own.listen(1)
socket.socket(socket.AF_UNIX).connect("\\0own-of-steno-test")
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind("datagrams"); socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", "datagrams")
`);
    server.close();
    const unix = seen.filter(({ kind, name }) => kind === 'connect' && name === 'unix');
    expect(unix.map(({ path: where, outcome, data }) => [where, outcome, data['peer_name'], data['peer_in_session']])).toEqual([
      ...Array.from({ length: 4 }, () => [path, 'success', expect.any(String), false]),
      [join(folder, 'absent'), 'ENOENT', undefined, undefined],
      ['@own-of-steno-test', 'success', 'python3', true],
    ]);
    expect(unix[0]!.data['peer']).toBe(process.pid);
    expect(unix[2]!.data['asked']).toBe('/proc/self/cwd/link');
    expect(seen.filter(({ kind, name }) => kind === 'send' && name === 'unix').map(({ path: where }) => where)).toEqual(['datagrams']);
  });

  it('descriptors that are passed, and what they are', async () => {
    const server = createServer((socket) => socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const { seen } = await python(`
a, b = socket.socketpair()
t = socket.create_connection(("127.0.0.1", ${port})); f = os.open("/etc/passwd", os.O_RDONLY)
socket.send_fds(a, [b"x"], [f, t.fileno()])
socket.recv_fds(b, 1, 2)
`);
    server.close();
    const passed = seen
      .filter(({ name }) => name.startsWith('descriptor_'))
      .map(({ name, path, reason, port: to }) => [name, path.startsWith('/etc') ? path : '', reason, to]);
    const both = (name: string): unknown[] => [
      [name, '/etc/passwd', '', null],
      [name, '', `tcp 127.0.0.1:${port}`, port],
    ];
    expect(passed).toEqual([...both('descriptor_sent'), ...both('descriptor_received')]);
  });

  it('sockets of families that few need, and changes of routes', async () => {
    const { seen } = await python(`
socket.socket(17, socket.SOCK_RAW, 0)
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
try: socket.socket(40, socket.SOCK_STREAM).connect((2, 70000))
except OSError: pass
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
n.send(struct.pack("IHHII", 16, 26, 0x301, 1, 0))
n.send(struct.pack("IHHIIBBHI", 28, 24, 0x5, 2, 0, 2, 0, 0, 0)[:28])
`);
    expect(
      seen
        .filter(({ name }) => name === 'socket')
        .map(({ reason }) => reason)
        .filter((reason) => reason !== 'vsock'),
    ).toEqual(['packet', 'netlink', 'raw inet']);
    expect(seen.filter(({ name }) => name === 'netlink').map(({ reason }) => reason)).toEqual(['new route']);
    const vsock = seen.filter(({ kind, name }) => kind === 'connect' && name === 'vsock');
    for (const one of vsock) expect([one.address, one.data['vsock_port']]).toEqual(['vsock 2', 70000]);
  });

  it('that something came, by read or to a socket that is connected: the first of each peer', async () => {
    const { seen } = await python(`
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("127.0.0.81", 4011))
peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for p in peers: p.connect(a.getsockname())
for i in range(50):
  for p in peers: p.send(b"x"); os.read(a.fileno(), 10)
for i in range(50):
  for p in peers: a.sendto(b"y", p.getsockname()); (p.recv(10) if i % 2 else os.read(p.fileno(), 10))
again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); again.connect(a.getsockname()); a.sendto(b"y", again.getsockname()); again.recvmsg(10)
r, w = os.pipe(); os.write(w, b"x"); os.read(r, 1)
`);
    // For read(2) the kernel does not report the sender.
    expect(
      seen.filter(({ kind, name }) => kind === 'accept' && name === 'udp').map(({ reason, address, port }) => [reason, address, port]),
    ).toEqual([['first received', '', null], ...Array.from({ length: 3 }, () => ['first received', '127.0.0.81', 4011])]);
  });

  it.skipIf(!hasCompiler())('what io_uring is asked to send, to connect to, to receive and to set', async () => {
    const file = join(folder, 'ringed');
    const path = join(folder, 'ringed.sock');
    writeFileSync(file, '');
    const server = createServer((socket) => socket.resume().on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { seen, code } = await probe.run(compiled('ring-ops', folder), ['127.0.0.79', '53', file, path]);
    server.close();
    if (code === 77) return void console.log('skipped: io_uring is not allowed here');
    expect(code).toBe(0);
    expect(
      seen.filter(({ kind }) => kind === 'dns').map(({ name, address, outcome, data }) => [name, address, outcome, data['io_uring']]),
    ).toEqual(Array.from({ length: 2 }, () => ['ring.test', '127.0.0.79', 'submitted', true]));
    const ofFile = seen.filter(({ kind, outcome, path: where }) => kind === 'file' && outcome === 'submitted' && where === file);
    expect(ofFile.map(({ name, reason, data }) => [name, reason, data['size'] ?? null])).toEqual([
      ['setxattr', 'user.ring', null],
      ['setxattr', 'user.path', null],
      ['truncate', '', null],
      ['fallocate', '', null],
      ['open', 'write,append', null],
    ]);
    const ofSockets = seen.filter(({ kind, outcome }) => ['connect', 'listen', 'accept', 'send'].includes(kind) && outcome === 'submitted');
    expect(
      ofSockets.map(({ kind, name, path: where, address, port, reason }) => [kind, name, where || `${address}:${port}`, reason]),
    ).toEqual([
      ['connect', 'unix', path, ''],
      ['listen', 'udp', ':null', 'bound, address not known'],
      ['listen', 'tcp', '127.0.0.79:4021', ''],
      ['connect', 'udp', '127.0.0.79:4021', ''],
      ['send', 'udp', '127.0.0.79:4021', ''],
      ['send', 'udp', '127.0.0.79:4021', ''],
      ['accept', 'udp', ':null', 'received'],
    ]);
    expect(seen.filter(({ name }) => name === 'socket').map(({ reason, outcome }) => [reason, outcome])).toEqual([['packet', 'submitted']]);
  });
});
