import { createHash } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { KernelRecord, execFactsOf, kinds } from '../records/record.js';
import { RING_HEADER, Ring, mapRing, stride } from './ring.js';
import { Probe, commands } from '../testing/probe.js';

const missing = obstacles();
if (missing.length > 0) console.log(`skipped: kernel events cannot be recorded here: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('the programs in the kernel', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = mkdtempSync(join(tmpdir(), 'steno-programs-'));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('tell of an execution: arguments, folder, file, digest, parent, end', async () => {
    const { seen } = await probe.run('/bin/sh', ['-c', 'cd /etc && /bin/echo "two words" "" ; exit 3'], { spawn: { cwd: '/' } });
    const [first, echo] = seen.filter(({ kind }) => kind === 'exec');
    expect(echo).toMatchObject({
      path: realpathSync('/bin/echo'),
      outcome: 'success',
      sha256: createHash('sha256').update(readFileSync('/bin/echo')).digest('hex'),
      data: { argv: ['/bin/echo', 'two words', ''], cwd: '/etc', ppid: first!.data['pid'], uid: 0, asked: '/bin/echo' },
    });
    const exits = seen.filter(({ kind }) => kind === 'exit');
    expect(exits.map(({ name, outcome, data }) => [name, outcome, data['pid']])).toEqual([
      ['0', 'success', echo!.data['pid']],
      ['3', 'failure', first!.data['pid']],
    ]);
    expect(exits[1]!.data['duration_ms']).toBeGreaterThanOrEqual(exits[0]!.data['duration_ms'] as number);
  });

  it('say when an executable was last changed, as the file system does: so its digest need not be made again', async () => {
    const path = join(folder, 'executable');
    copyFileSync('/bin/true', path);
    const ring = new Ring(mapRing(probe.programs.ring));
    const found: (bigint | undefined)[] = [];
    await once(
      probe.programs.begin(4000, ['exec'], () => spawn(path, { stdio: 'ignore' })),
      'exit',
    );
    ring.read(1 << 20, (records) => {
      const bytes = Buffer.from(records);
      const record = new KernelRecord(bytes);
      for (let at = 0; at < bytes.length; at += stride(bytes.readUInt32LE(at))) {
        if (record.point(at + RING_HEADER, bytes.readUInt32LE(at)) && record.kind === kinds.exec)
          found.push(execFactsOf(record.text(3))?.changed);
      }
    });
    expect(found).toEqual([statSync(path, { bigint: true }).ctimeNs]);
  });

  it('name files by the path that was reached, and by the one asked for where nothing was', async () => {
    const { seen } = await probe.sh(
      `cd ${folder}; mkdir d; ln -s d s; echo x > s/../s/file; cat s/absent; mv d/file d/moved; chmod 600 d/moved; ln d/moved d/hard; rm d/moved; rmdir nothing`,
    );
    const files = seen
      .filter(({ kind, path }) => kind === 'file' && path.startsWith(folder))
      .map(({ name, path, outcome, data }) => [name, path.slice(folder.length), outcome, data['from'] ?? data['target'] ?? null]);
    expect(files).toEqual(
      expect.arrayContaining([
        ['mkdir', '/d', 'success', null],
        ['symlink', '/s', 'success', 'd'],
        ['create', '/d/file', 'success', null],
        ['open', '/s/absent', 'ENOENT', null],
        ['rename', '/d/moved', 'success', `${folder}/d/file`],
        ['chmod', '/d/moved', 'success', null],
        ['link', '/d/hard', 'success', `${folder}/d/moved`],
        ['unlink', '/d/moved', 'success', null],
        ['rmdir', '/nothing', 'ENOENT', null],
      ]),
    );
  });

  it('tell of signals that end a process', async () => {
    const { seen } = await probe.sh("sh -c 'kill -KILL $$'; true");
    expect(seen.filter(({ kind }) => kind === 'exit').map(({ name }) => name)).toEqual(['SIGKILL', '0']);
  });

  it('tell of connections made, refused and accepted, with both addresses', async () => {
    const server = createServer((socket) => socket.end('x'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const script = `
const net = require('net');
net.connect(${port}, '127.0.0.1').on('data', () => undefined).on('close', () => {
  net.connect(1, '127.0.0.1').on('error', () => {
    const own = net.createServer((s) => { s.end(); own.close(); }).listen(0, '::1', () => net.connect(own.address().port, '::1').resume());
  });
});`;
    const { seen } = await probe.run(process.execPath, ['-e', script]);
    server.close();
    const net = seen.filter(({ kind, name }) => (kind === 'connect' || kind === 'accept' || kind === 'listen') && name === 'tcp');
    expect(net).toContainEqual(expect.objectContaining({ kind: 'connect', address: '127.0.0.1', port, outcome: 'success' }));
    expect(net).toContainEqual(expect.objectContaining({ kind: 'connect', address: '127.0.0.1', port: 1, outcome: 'ECONNREFUSED' }));
    expect(net).toContainEqual(expect.objectContaining({ kind: 'listen', address: '::1', outcome: 'success' }));
    expect(net).toContainEqual(expect.objectContaining({ kind: 'accept', address: '::1', outcome: 'success' }));
  });

  it('tell of datagrams and of the names asked in them', async () => {
    const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"abc", ("127.0.0.1", 9999))
q = bytes.fromhex("123401000001000000000000") + b"\\x05steve\\x07example" + b"\\x04test\\x00\\x00\\x1c\\x00\\x01"
s.sendto(q, ("127.0.0.53", 53))
s.connect(("127.0.0.53", 53)); s.send(q); s.sendmsg([q])
`;
    const { seen } = await probe.run('python3', ['-c', script]);
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'send', name: 'udp', address: '127.0.0.1', port: 9999, outcome: 'success' }),
    );
    expect(seen.filter(({ kind }) => kind === 'dns').map(({ name, reason, address, port }) => [name, reason, address, port])).toEqual(
      Array.from({ length: 3 }, () => ['steve.example.test', 'AAAA', '127.0.0.53', 53]),
    );
  });

  it('tell of changed users, tracing, mounts and memory files', async () => {
    const { seen } = await probe.run('python3', [
      '-c',
      `
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
os.memfd_create("quiet")
libc.ptrace(16, 1, 0, 0) if os.fork() == 0 else os.wait()
libc.mount(b"none", b"/nowhere", b"tmpfs", 0, 0)
libc.setresuid(65534, 65534, 65534)
os.system("true")
`,
    ]);
    expect(seen).toContainEqual(expect.objectContaining({ kind: 'system', name: 'memfd_create', reason: 'quiet' }));
    expect(seen).toContainEqual(
      expect.objectContaining({
        kind: 'system',
        name: 'ptrace',
        reason: 'attach',
        data: expect.objectContaining({ target: 1, target_name: readFileSync('/proc/1/comm', 'utf8').trim(), target_in_session: false }),
      }),
    );
    expect(seen).toContainEqual(
      expect.objectContaining({
        kind: 'system',
        name: 'mount',
        path: '/nowhere',
        reason: 'tmpfs',
        outcome: 'ENOENT',
        data: expect.objectContaining({ source: 'none' }),
      }),
    );
    expect(seen).toContainEqual(
      expect.objectContaining({ kind: 'privilege', outcome: 'success', data: expect.objectContaining({ uid: 65534, euid: 65534 }) }),
    );
    expect(seen.filter(({ kind }) => kind === 'exec').at(-1)!.data).toMatchObject({
      argv: expect.arrayContaining(['sh', '-c', 'true']),
      uid: 65534,
    });
  });

  it('keep 32 KiB of arguments, and mark and report what is cut', async () => {
    const long = 'x'.repeat(30_000);
    const { seen, gaps } = await probe.run('/bin/true', [long]);
    expect(seen.find(({ kind }) => kind === 'exec')!.data).toMatchObject({ argv: ['/bin/true', long] });
    expect(gaps).toEqual([]);
    const cut = await probe.run('/bin/true', [long, long]);
    const exec = cut.seen.find(({ kind }) => kind === 'exec')!;
    expect(exec.data).toMatchObject({ argv_cut: true, argv_bytes: 2 * 30_001 + '/bin/true'.length + 1, argc: 3 });
    expect((exec.data['argv'] as string[]).join('\0')).toHaveLength(32_768);
    expect(cut.gaps).toMatchObject([{ why: 'cut', count: 1 }]);
  });

  it('keep bytes that are no text, and what would drive a terminal, as they are', async () => {
    writeFileSync(join(folder, 'escape.sh'), `#!/bin/sh\nexec /bin/true "$(printf '\\033]0;title\\007\\377')"\n`, { mode: 0o755 });
    const { seen } = await probe.run(join(folder, 'escape.sh'), []);
    const { data } = seen.filter(({ kind }) => kind === 'exec').at(-1)!;
    expect(data['argv']).toEqual(['/bin/true', '\u001b]0;title\u0007\ufffd']);
    expect(Buffer.from(data['argv_base64'] as string, 'base64')).toEqual(Buffer.from('/bin/true\0\x1b]0;title\x07\xff\0', 'latin1'));
  });

  it('see nothing of processes of no session, and everything of the first one from its first instruction', async () => {
    const outside = spawn('/bin/sh', ['-c', `while :; do cat /etc/hostname >/dev/null; done`], { stdio: 'ignore' });
    const runs = await Promise.all([probe.run('/bin/echo', ['a'])]);
    for (let i = 0; i < 20; i++) runs.push(await probe.run('/bin/echo', [String(i)]));
    outside.kill('SIGKILL');
    for (const [i, { seen }] of runs.entries()) {
      expect(commands({ seen })).toEqual([`/bin/echo ${i === 0 ? 'a' : String(i - 1)}`]);
      expect(seen.map(({ kind }) => kind).filter((kind) => kind !== 'file')).toEqual(['kernel', 'fork', 'exec', 'exit']);
      expect(seen.filter(({ kind }) => kind === 'file')[0]!.path).toBe('/etc/ld.so.cache');
    }
  });

  it('record the classes that were asked for and no others', async () => {
    const script =
      "cat /etc/hostname; python3 -c \"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\"";
    const kindsOf = async (classes: Parameters<Probe['sh']>[1]): Promise<ReadonlySet<string>> =>
      new Set((await probe.sh(script, classes)).seen.map(({ kind }) => kind));
    const executions = (await probe.sh(script, { classes: ['exec'] })).seen;
    expect(new Set(executions.filter(({ kind, name }) => kind !== 'file' || name !== 'execute').map(({ kind }) => kind))).toEqual(
      new Set(['kernel', 'fork', 'exec', 'exit']),
    );
    expect(await kindsOf({ classes: ['file'] })).toEqual(new Set(['kernel', 'file']));
    // A C library that queries a name service daemon makes connections of its own.
    const network = await kindsOf({ classes: ['network'] });
    expect(network).toContain('send');
    expect([...network].filter((kind) => !['kernel', 'connect', 'send'].includes(kind))).toEqual([]);
    expect(await kindsOf({ classes: ['dns'] })).toEqual(new Set(['kernel']));
  });

  it('lose nothing in a storm of executions', async () => {
    const { seen, counters, gaps } = await probe.run('/bin/bash', ['-c', 'for i in $(seq 500); do /bin/true $i; done'], {
      classes: ['exec'],
    });
    expect(commands({ seen }).filter((line) => line.startsWith('/bin/true')).length).toBe(500);
    expect(counters).toMatchObject({ lost: 0, processes: 0, unfollowed: 0 });
    expect(gaps).toEqual([]);
  });

  it('count what the ring has no room for, to the last event', async () => {
    const small = new Probe(64 << 10);
    try {
      const opens = 5_000;
      const script = `import os\nfor i in range(${opens}):\n os.close(os.open("/etc/hostname", os.O_RDONLY))`;
      const { seen, gaps, counters } = await small.run('python3', ['-S', '-c', script], { asleep: true });
      const rows = seen.filter(({ kind }) => kind !== 'kernel').length;
      const lost = gaps.reduce((sum, { count }) => sum + count, 0);
      expect(lost).toBe(counters.lost);
      expect(rows + lost).toBe(counters.seen);
      // The program is the evidence: its opens without a row are among the lost events, as is its exit.
      const others = counters.seen - opens;
      const kept = seen.filter(({ kind, path }) => kind === 'file' && path === '/etc/hostname').length;
      const keptOthers = rows - kept;
      expect(opens - kept + (others - keptOthers)).toBe(lost);
      expect(gaps.every(({ why, first_ms, last_ms }) => why === 'ring_full' && last_ms >= first_ms)).toBe(true);
    } finally {
      small.close();
    }
  });

  it('count what the log has no room for', async () => {
    const { seen, gaps, counters } = await probe.run('/bin/bash', ['-c', 'for i in $(seq 50); do /bin/true $i; done'], {
      budget: 4_000,
      asleep: true,
    });
    expect(gaps.map(({ why }) => why)).toContain('disk_full');
    const rows = seen.filter(({ kind }) => kind !== 'kernel' && kind !== 'gap').length;
    expect(rows + gaps.reduce((sum, { count }) => sum + count, 0)).toBe(counters.seen);
  });

  it('are what the sources say', ({ skip }) => {
    const fresh = join(folder, 'fresh.bpf.o');
    try {
      execFileSync('clang', ['--version'], { stdio: 'ignore' });
    } catch {
      console.log('skipped: clang is not installed, so steno.bpf.o cannot be built again and compared');
      return skip();
    }
    const version = /version (\d+)/.exec(execFileSync('clang', ['--version'], { encoding: 'utf8' }))![1];
    execFileSync(new URL('../../bpf/build.sh', import.meta.url).pathname, [fresh]);
    const committed = new URL('../../bpf/steno.bpf.o', import.meta.url).pathname;
    if (version !== '14') {
      // Another compiler emits different instructions: only programs and maps must be the same.
      const names = (file: string): string =>
        execFileSync('llvm-objdump', ['-h', file], { encoding: 'utf8' })
          .split('\n')
          .flatMap((line) => /\s(tp_btf\S*|\?tp_btf\S*|syscall|\.maps)\s/.exec(line)?.[1] ?? [])
          .join(' ');
      console.log(`clang ${version}: sections compared, not bytes; the committed object is of clang 14`);
      expect(names(fresh)).toBe(names(committed));
      return;
    }
    expect(readFileSync(fresh).equals(readFileSync(committed))).toBe(true);
  });
});
