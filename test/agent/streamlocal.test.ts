/** Unix sockets of a node, forwarded both ways with stock ssh, and opened as the account alone. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findAccount } from '../../agent/account.js';
import { UnixSockets } from '../../agent/unix-sockets.js';
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
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe.skipIf(process.getuid!() !== 0)('sockets opened as an account', () => {
  it('are those that the account may open, though the agent is root', async () => {
    const own = join(folder, 'own');
    await echoAt(own);
    chmodSync(folder, 0o755);
    const sockets = new UnixSockets(await findAccount('nobody'));
    chmodSync(own, 0o600);
    expect(await sockets.connect(own)).toBe(null);
    chmodSync(own, 0o666);
    const open = await sockets.connect(own);
    expect(await said(open!, 'hello')).toBe('hello');
    expect(await sockets.listen(join(folder, 'theirs'), () => undefined)).toBe(null);
    expect(await sockets.connect('relative')).toBe(null);
    expect(await sockets.connect(`/${'x'.repeat(200)}`)).toBe(null);
    sockets.close();
  });
});

describe('ssh through the gateway', () => {
  const steno = new Steno();
  beforeAll(async () => {
    await steno.start();
    await steno.json('login', '--data', steno.data);
  });
  afterAll(() => steno.dispose());

  it('-L and -R carry Unix sockets, which are gone afterwards', async () => {
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

  it('-R does not replace what is there', async () => {
    const taken = join(folder, 'taken');
    await echoAt(taken);
    const { status, stdout, stderr } = spawnSync(
      'ssh',
      ['-F', steno.config, '-o', 'ExitOnForwardFailure=yes', '-R', `${taken}:${taken}`, `${steno.login}@local.steno`, 'true'],
      { env: steno.env, encoding: 'utf8', timeout: 30_000 },
    );
    expect({ status, refused: /remote (port )?forwarding failed/i.test(stderr) }, stdout + stderr).toEqual({ status: 255, refused: true });
  });
});
