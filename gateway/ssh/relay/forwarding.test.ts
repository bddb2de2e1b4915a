import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import { forwardDenial, forwardSettings } from '#schemas/policy/forwarding.js';
import { terminated } from '#runtime/testing/terminated.js';
import { openWorld } from '../../testing/harness.js';
import type { World } from '../../testing/harness.js';
import type { Recording } from '../../testing/line-recorder.js';

let world: World;
let echo: Server;
let echoPort: number;
beforeAll(async () => {
  world = await openWorld();
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  echoPort = (echo.address() as AddressInfo).port;
});
afterAll(async () => {
  echo.close();
  await world.close();
});

/** Starts ssh with these options and `-v`; resolves once its output contains `until`. */
async function forward(until: string, ...args: string[]): Promise<{ child: ChildProcess; said: string; stop(): Promise<void> }> {
  const child = world.start('ssh', ['-v', '-F', world.sshConfig, ...args, '-l', 'root@node-1', 'gw']);
  let said = '';
  child.stderr!.on('data', (data: Buffer) => {
    said += data.toString();
  });
  while (!said.includes(until)) await once(child.stderr!, 'data');
  return {
    child,
    said,
    stop: async () => {
      await terminated(child);
      while (world.recorder.live.size > 0) await new Promise(setImmediate);
    },
  };
}

/** Sends the bytes and half-closes; resolves to everything that came back. */
async function roundTrip(where: { port: number; host: string } | { path: string }, data: Buffer): Promise<Buffer> {
  const socket = connect(where);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.end(data);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

const last = (): Recording => world.recorder.recordings().at(-1)!;
const data = Buffer.alloc(3 * 1024 * 1024, 'abcdefghij');

describe('forwarded connections', () => {
  it('-L carries several at once, half-closed, into one recording with a channel each', async () => {
    const port = await freePort();
    const { stop } = await forward('Entering interactive session', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:${echoPort}`);
    const results = await Promise.all([1, 2, 3].map(() => roundTrip({ port, host: '127.0.0.1' }, data)));
    for (const result of results) expect(result.equals(data)).toBe(true);
    await stop();
    const recording = last();
    expect(recording.header.steno).toMatchObject({ kind: 'forward', tty: false });
    expect(recording.facts('forward_open').map(({ channel, direction, address, port: to }) => [channel, direction, address, to])).toEqual(
      [1, 2, 3].map((n) => [n, 'local', '127.0.0.1', echoPort]),
    );
    expect(recording.bytes('out', 2).equals(data)).toBe(true);
    expect(recording.bytes('in', 3).equals(data)).toBe(true);
    expect(recording.facts('forward_close')).toHaveLength(3);
  });

  it('-D connects to the destination of each request', async () => {
    const port = await freePort();
    const { stop } = await forward('Entering interactive session', '-N', '-D', `127.0.0.1:${port}`);
    const socket = connect(port, '127.0.0.1');
    socket.write(Buffer.from([5, 1, 0]));
    await once(socket, 'data');
    const request = Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, 0, 0]);
    request.writeUInt16BE(echoPort, 8);
    socket.write(request);
    await once(socket, 'data');
    socket.write('through socks');
    expect(String((await once(socket, 'data'))[0])).toBe('through socks');
    socket.destroy();
    await stop();
    expect(last().facts('forward_open')).toEqual([expect.objectContaining({ direction: 'local', address: '127.0.0.1', port: echoPort })]);
  });

  it('-R listens on a port that the node picks, and the port is recorded', async () => {
    const { said, stop } = await forward('Allocated port', '-N', '-R', `127.0.0.1:0:127.0.0.1:${echoPort}`);
    const port = Number(/Allocated port (\d+)/.exec(said)![1]);
    expect((await roundTrip({ port, host: '127.0.0.1' }, data)).equals(data)).toBe(true);
    await stop();
    const recording = last();
    expect(recording.facts('forward_listen')).toEqual([{ fact: 'forward_listen', address: '127.0.0.1', port }]);
    expect(recording.facts('forward_open')).toEqual([expect.objectContaining({ direction: 'remote', port })]);
  });

  it('reach Unix sockets in both directions', async () => {
    const [near, far] = [join(world.directory, 'near.sock'), join(world.directory, 'far.sock')];
    const { stop } = await forward('remote forward success', '-N', '-R', `${far}:127.0.0.1:${echoPort}`);
    const local = await forward('Entering interactive session', '-N', '-L', `${near}:${far}`);
    expect((await roundTrip({ path: near }, data)).equals(data)).toBe(true);
    await terminated(local.child);
    await stop();
  });

  it('can be cancelled', async () => {
    const control = join(world.directory, 'mux-cancel');
    const port = await freePort();
    const { stop } = await forward(
      'remote forward success',
      '-N',
      '-o',
      'ControlMaster=yes',
      '-o',
      `ControlPath=${control}`,
      '-R',
      `127.0.0.1:${port}:127.0.0.1:${echoPort}`,
    );
    expect((await roundTrip({ port, host: '127.0.0.1' }, data)).equals(data)).toBe(true);
    const { status } = await world.run('ssh', [
      '-F',
      world.sshConfig,
      '-o',
      `ControlPath=${control}`,
      '-O',
      'cancel',
      '-R',
      `127.0.0.1:${port}:127.0.0.1:${echoPort}`,
      'root@node-1',
    ]);
    expect(status).toBe(0);
    await expect(roundTrip({ port, host: '127.0.0.1' }, Buffer.from('x'))).rejects.toThrow();
    await stop();
  });

  it("carry the agent's connections", async () => {
    const alice = join(world.directory, 'alice');
    const { stdout, stderr } = await world.run('sh', [
      '-c',
      `eval $(ssh-agent -s) >/dev/null; ssh-add -q ${alice}; ssh -A -F ${world.sshConfig} root@node-1 'ssh-add -L; ssh-add -l'; ssh-agent -k >/dev/null`,
    ]);
    expect(stderr).toBe('');
    expect(stdout).toContain('ssh-ed25519-cert-v01@openssh.com');
    const recordings = world.recorder.recordings().slice(-2);
    expect(recordings.map(({ header }) => header.steno.kind).sort()).toEqual(['exec', 'forward']);
    expect(recordings.flatMap((recording) => recording.facts('forward_open')).map(({ direction }) => direction)).toEqual([
      'agent',
      'agent',
    ]);
    expect(recordings.flatMap((recording) => recording.facts('agent_forwarding'))).toHaveLength(1);
  });

  it('are refused if no role permits them, X11 always, and the session continues', async () => {
    const { roles } = world.authority;
    world.authority.roles = roles.map((role) => ({ ...role, port_forwarding: false, agent_forwarding: false }));
    try {
      const { status, stdout, stderr } = await world.run(
        'ssh',
        ['-F', world.sshConfig, '-A', '-R', `0:127.0.0.1:${echoPort}`, 'root@node-1', 'echo "agent=$SSH_AUTH_SOCK"'],
        { env: { SSH_AUTH_SOCK: '/nowhere' } },
      );
      expect({ status, stdout }).toEqual({ status: 0, stdout: 'agent=\n' });
      expect(stderr).toContain('remote port forwarding failed');
      const local = await world.run('ssh', ['-F', world.sshConfig, '-W', `127.0.0.1:${echoPort}`, 'root@node-1']);
      expect(local).toMatchObject({ status: 255, stderr: expect.stringContaining('no role allows port forwarding') });
    } finally {
      world.authority.roles = roles;
    }
    writeFileSync(join(world.directory, 'cookie'), '');
    const x11 = await world.run(
      'ssh',
      ['-F', world.sshConfig, '-X', '-o', 'ForwardX11Trusted=yes', 'root@node-1', 'echo "display=$DISPLAY"'],
      { env: { DISPLAY: ':9', XAUTHORITY: join(world.directory, 'cookie') } },
    );
    expect(x11).toMatchObject({ status: 0, stdout: 'display=\n' });
  });

  it('are permitted only to the destinations of roles, in any spelling, without asking the node', async () => {
    const { roles } = world.authority;
    const ask = (where: string) => world.run('ssh', ['-F', world.sshConfig, '-W', where, 'root@node-1'], { input: 'x' });
    expect((await ask(`127.0.0.1:${echoPort}`)).stdout).toBe('x');
    for (const where of ['169.254.169.254:80', '0xa9fea9fe:80', '[::ffff:169.254.169.254]:80', 'metadata.google.internal:80']) {
      expect(await ask(where)).toMatchObject({
        status: 255,
        stderr: expect.stringMatching(/link-local or metadata address\) \[ACCESS_DENIED\]/),
      });
    }
    world.authority.roles = roles.map((role) => ({ ...role, port_forwarding: forwardSettings.parse({ loopback: false, sockets: false }) }));
    try {
      for (const where of [
        '127.0.0.1',
        '127.1',
        '2130706433',
        '0x7f000001',
        '017700000001',
        'localhost',
        'LocalHost',
        '[::1]',
        '[::ffff:127.0.0.1]',
        '0',
        '[::]',
      ]) {
        expect(await ask(`${where}:${echoPort}`), where).toMatchObject({
          status: 255,
          stderr: expect.stringContaining('(the node itself) [ACCESS_DENIED]'),
        });
      }
      expect(await ask(`some.example.com:${echoPort}`)).toMatchObject({
        status: 255,
        stderr: expect.stringContaining('use an address [ACCESS_DENIED]'),
      });
      const socket = await forward('Entering interactive session', '-N', '-L', `${join(world.directory, 'closed.sock')}:/run/docker.sock`);
      expect((await roundTrip({ path: join(world.directory, 'closed.sock') }, Buffer.from('x')).catch(() => Buffer.alloc(0))).length).toBe(
        0,
      );
      await socket.stop();
    } finally {
      world.authority.roles = roles;
    }
  });

  it('end while live when a role closes their destination', async () => {
    const { roles } = world.authority;
    const port = await freePort();
    const { stop } = await forward('Entering interactive session', '-N', '-L', `127.0.0.1:${port}:127.0.0.1:${echoPort}`);
    const socket = connect({ port, host: '127.0.0.1' });
    socket.write('hello');
    await once(socket, 'data');
    world.authority.roles = roles.map((role) => ({
      ...role,
      deny: { ...role.deny, port_forwarding: forwardDenial.parse({ to: [`*:${echoPort}`] }) },
    }));
    world.authority.changed();
    await once(socket, 'close');
    world.authority.roles = roles;
    world.authority.changed();
    await stop();
  });

  it('end the connection, not the gateway, if nothing can be recorded', async () => {
    world.recorder.full = true;
    const refused = await world.run('ssh', ['-F', world.sshConfig, '-W', `127.0.0.1:${echoPort}`, 'root@node-1']);
    world.recorder.full = false;
    expect(refused).toMatchObject({ status: 255, stderr: expect.stringContaining('[SPOOL_FULL]') });
  });
});
