/** Unix sockets of a node, forwarded both ways with stock ssh, and opened with the account's rights only. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findAccount } from '../../agent/login/account.js';
import { AccountSockets } from '../../agent/ssh/account-sockets.js';
import { Helpers } from '../../agent/helper/helper.js';
import { silent } from '../../authority/testing/authority.js';
import { background } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-sockets-'));
const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function echoAt(path: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket));
  servers.push(server);
  server.listen(path);
  await once(server, 'listening');
}

async function said(socket: Socket, text: string): Promise<string> {
  socket.end(text);
  return heard(socket);
}

async function heard(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe.skipIf(process.getuid!() !== 0)('sockets opened as an account', () => {
  it('are only those that the account may open, although the agent is root', async () => {
    const own = join(folder, 'own');
    await echoAt(own);
    chmodSync(folder, 0o755);
    const helpers = new Helpers(silent);
    const sockets = new AccountSockets(await findAccount('nobody'), helpers, silent);
    const path = (to: string) => ({ kind: 'path', path: to }) as const;
    chmodSync(own, 0o600);
    expect(await sockets.connect(path(own))).toEqual({ why: 'permission denied' });
    chmodSync(own, 0o666);
    const open = await sockets.connect(path(own));
    expect(await said((open as { socket: Socket }).socket, 'hello')).toBe('hello');
    expect(await sockets.listen(path(join(folder, 'theirs')), () => undefined)).toBe(null);
    expect(await sockets.connect(path('relative'))).toMatchObject({ why: expect.any(String) as string });
    expect(await sockets.connect(path(`/${'x'.repeat(200)}`))).toMatchObject({ why: expect.any(String) as string });
    expect(await sockets.listen({ kind: 'tcp', host: '127.0.0.1', port: 7 }, () => undefined)).toBe(null);
    sockets.close();
    helpers.close();
  });

  it('show their peers the account, neither root nor the node service', async () => {
    const place = join(folder, 'who');
    // Prints the peer's user as the kernel names it, for a path and for TCP.
    const peer = spawn(
      '/usr/bin/python3',
      [
        '-c',
        [
          'import socket, struct, os, sys',
          'u = socket.socket(socket.AF_UNIX); u.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o666); u.listen()',
          't = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen(); print(t.getsockname()[1], flush=True)',
          'c, _ = u.accept(); p, uid, gid = struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)); c.sendall(("%d %d" % (uid, gid)).encode()); c.close()',
          'c, a = t.accept(); line = [l.split() for l in open("/proc/net/tcp") if (":%04X " % a[1]) in l and l.split()[1].endswith(":%04X" % a[1])][0]; c.sendall(line[7].encode()); c.close()',
        ].join('\n'),
        place,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [first] = (await once(peer.stdout, 'data')) as [Buffer];
    const account = await findAccount('nobody');
    const helpers = new Helpers(silent);
    const sockets = new AccountSockets(account, helpers, silent);
    const byPath = await sockets.connect({ kind: 'path', path: place });
    expect(await heard((byPath as { socket: Socket }).socket)).toBe(`${account.uid} ${account.gid}`);
    const byPort = await sockets.connect({ kind: 'tcp', host: '127.0.0.1', port: Number(first.toString()) });
    expect(await heard((byPort as { socket: Socket }).socket)).toBe(String(account.uid));
    sockets.close();
    helpers.close();
  });
});

describe('ssh through the gateway', () => {
  const steno = new Steno();
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  it('-L and -R forward Unix sockets, which are removed afterwards', async () => {
    const [there, local, back] = ['there', 'local', 'back'].map((name) => join(folder, `${name}.sock`)) as [string, string, string];
    await echoAt(there);
    const client = background(steno, 'ssh', [
      '-F',
      steno.config,
      '-o',
      'ExitOnForwardFailure=yes',
      '-L',
      `${local}:${there}`,
      '-R',
      `${back}:${there}`,
      `${steno.login}@local.steno`,
      'echo ready; cat',
    ]);
    await client.until(/ready/);
    for (const path of [local, back]) {
      const socket = connect({ path, allowHalfOpen: true });
      await once(socket, 'connect');
      expect(await said(socket, `by ${path}`)).toBe(`by ${path}`);
    }
    expect(statSync(back).mode & 0o777).toBe(0o600);
    await client.stop();
    await eventually(
      async () => existsSync(back),
      (left) => !left,
    );
  });

  it('-R does not replace an existing file', async () => {
    const taken = join(folder, 'taken');
    await echoAt(taken);
    const { status, stdout, stderr } = spawnSync(
      'ssh',
      ['-F', steno.config, '-o', 'ExitOnForwardFailure=yes', '-R', `${taken}:${taken}`, `${steno.login}@local.steno`, 'true'],
      { env: steno.env, encoding: 'utf8', timeout: 60_000 },
    );
    expect({ status, refused: /remote (port )?forwarding failed/i.test(stderr) }, stdout + stderr).toEqual({ status: 255, refused: true });
  });
});
