import { spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explain, obstacles } from './programs.js';
import { compiled, hasCompiler } from '../testing/attack.js';
import { Probe } from '../testing/probe.js';
import type { Outcome } from '../testing/probe.js';

const missing = hasCompiler() ? obstacles() : [{ what: 'clang is not installed', fix: '' }];
if (missing.length > 0) console.log(`skipped: ${explain(missing)}`);

describe.skipIf(missing.length > 0)('a connection is told by its socket', () => {
  let probe: Probe;
  let folder: string;
  beforeAll(() => {
    probe = new Probe();
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'steno-connections-')));
  });
  afterAll(() => {
    probe.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The connections that were established, according to the session's rows: local ports. */
  const made = ({ seen }: Outcome, port: number): readonly unknown[] =>
    seen.filter((one) => one.kind === 'connect' && one.port === port && one.outcome === 'success').map(({ data }) => data['local_port']);

  const ways = ['fastopen-sendto', 'fastopen-sendmsg', 'fastopen-write', 'fastopen-mptcp', 'mptcp', 'ring', 'nonblocking'];
  it.each(ways)('%s: once, with the port that the server saw', async (mode) => {
    const came: (number | undefined)[] = [];
    const server = createServer((socket) => {
      came.push(socket.remotePort);
      socket.once('data', () => socket.destroy()).on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const outcome = await probe.run(compiled('connect-ways', folder), [mode, String(port)], { classes: ['network'] });
    server.close();
    if (outcome.code === 77) return void console.log(`skipped: ${mode}: this kernel has no such sockets`);
    expect(outcome.code).toBe(0);
    expect(came).toHaveLength(1);
    expect(made(outcome, port)).toEqual(came);
    // The rows only say that it was in progress.
    expect(
      outcome.seen.filter((one) => one.kind === 'connect' && one.port === port && one.outcome !== 'success').map((one) => one.outcome),
    ).toEqual(
      made(outcome, port).length === outcome.seen.filter((one) => one.kind === 'connect' && one.port === port).length
        ? []
        : ['in_progress'],
    );
  });

  it.each(['closed', 'replaced'])('while it waits its descriptor is %s: the socket that connected is told, and no other', async (mode) => {
    const server = spawn(compiled('slow-server', folder), { stdio: ['pipe', 'pipe', 'inherit'] });
    const own = new Set<number>();
    const came: number[] = [];
    let accepted = (): void => undefined;
    const all = new Promise<void>((resolve) => {
      accepted = resolve;
    });
    const port = await new Promise<number>((resolve) => {
      createInterface({ input: server.stdout }).on('line', (line) => {
        const [what, number] = [line.split(' ')[0], Number(line.split(' ')[1])];
        if (what === 'own') own.add(number);
        if (what === 'port') resolve(number);
        if (what !== 'accepted') return;
        if (!own.has(number)) came.push(number);
        if (came.length > 0) accepted();
      });
    });
    // The attack's output tells the server to accept.
    const outcome = await probe.run(compiled('connect-ways', folder), [mode, String(port)], {
      classes: ['network'],
      onOutput: (text) => {
        if (text.includes('meddled')) server.stdin.write('\n');
      },
    });
    await all;
    server.kill('SIGKILL');
    expect(came).toHaveLength(1);
    expect(made(outcome, port)).toEqual(came);
    expect(outcome.seen.filter((one) => one.kind === 'connect' && one.name === 'tcp').map((one) => one.port)).toEqual([port]);
    expect(outcome.seen.filter((one) => one.kind === 'connect' && one.name === 'udp').map((one) => one.port)).toEqual([9]);
  });

  it('one that fails is told once, with why; and one to itself', async () => {
    const script = `
import socket
for port in (1,):
  try: socket.create_connection(("127.0.0.1", port))
  except OSError: pass
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.connect(s.getsockname())
`;
    const { seen } = await probe.run('/usr/bin/python3', ['-c', script], { classes: ['network'] });
    const tcp = seen.filter((one) => one.kind === 'connect' && one.name === 'tcp');
    expect(tcp.map((one) => [one.address, one.outcome])).toEqual([
      ['127.0.0.1', 'ECONNREFUSED'],
      ['127.0.0.1', 'success'],
    ]);
    expect(tcp[1]!.data['local_port']).toBe(tcp[1]!.port);
    // If no route leads there, the call fails before a socket could report it.
    const nowhere = await probe.run(
      'unshare',
      ['-n', '/usr/bin/python3', '-c', "import socket\ntry: socket.create_connection(('192.0.2.1', 7))\nexcept OSError: pass"],
      { classes: ['network'] },
    );
    expect(
      nowhere.seen.filter((one) => one.kind === 'connect' && one.name === 'tcp').map((one) => [one.address, one.port, one.outcome]),
    ).toEqual([['192.0.2.1', 7, 'ENETUNREACH']]);
  });

  it('of two thousand at once none is missing and none told twice', async () => {
    const came: (number | undefined)[] = [];
    let arrived = (): void => undefined;
    const all = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = createServer((socket) => {
      if (came.push(socket.remotePort) === 2_000) arrived();
      socket.on('error', () => undefined).resume();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4096, resolve));
    const { port } = server.address() as AddressInfo;
    const script = `
import socket, threading
def many():
  for i in range(500):
    s = socket.create_connection(("127.0.0.1", ${port})); s.close()
ts = [threading.Thread(target=many) for i in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
`;
    const outcome = await probe.run('/usr/bin/python3', ['-c', script], { classes: ['network'] });
    await all;
    server.close();
    expect(outcome.counters.lost).toBe(0);
    const sorted = (ports: readonly unknown[]): readonly number[] => ports.map(Number).sort((a, b) => a - b);
    expect(came).toHaveLength(2_000);
    expect(sorted(made(outcome, port))).toEqual(sorted(came));
  });
});
