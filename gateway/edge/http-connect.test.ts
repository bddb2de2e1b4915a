import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_REQUEST } from './http-connect.js';
import { openWorld } from '../testing/harness.js';
import type { World } from '../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

function caller(): Socket {
  return connect(world.port, '127.0.0.1').on('error', () => undefined);
}
async function heard(socket: Socket, enough: (said: string) => boolean = () => false): Promise<string> {
  let said = '';
  socket.on('data', (data) => {
    said += data.toString('latin1');
  });
  while (!enough(said) && !socket.destroyed) await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  return said;
}
const ssh = (command: string, node: string, ...args: string[]) =>
  world.run('ssh', [
    '-F',
    world.sshConfig,
    '-o',
    `ProxyCommand=${command}`,
    '-o',
    'HostKeyAlias=gw',
    ...args,
    `root@${node}`,
    'echo $SSH_CONNECTION | wc -w',
  ]);

describe('a connection that begins with an HTTP CONNECT request', () => {
  const nc = (): string => `nc -F -X connect -x 127.0.0.1:${world.port} %h 22`;

  it('is one SSH connection: nc sends the request and hands its socket to ssh', async () => {
    expect(await ssh(nc(), 'node-1.steno', '-o', 'ProxyUseFdpass=yes')).toEqual({ status: 0, stdout: '4\n', stderr: '' });
    expect(world.recorder.recordings().at(-1)!.header.steno).toMatchObject({ node: 'node-1', login: 'root', user: 'alice' });
  });

  it('works with a proxy command that relays the bytes', async () => {
    expect(await ssh(nc().replace(' -F', ''), 'node-1.steno')).toEqual({ status: 0, stdout: '4\n', stderr: '' });
  });

  it('is told that the node is unknown only after admission', async () => {
    const socket = caller();
    socket.write('CONNECT nowhere:22 HTTP/1.1\r\n\r\n');
    expect(await heard(socket, (said) => said.endsWith('\r\n\r\n'))).toBe('HTTP/1.1 200 OK\r\n\r\n');
    socket.destroy();
    expect(await ssh(nc(), 'nowhere.steno', '-o', 'ProxyUseFdpass=yes')).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('[NODE_UNKNOWN]'),
    });
  });

  it('may arrive byte by byte, with SSH right behind it', async () => {
    const socket = caller();
    socket.setNoDelay(true);
    for (const byte of 'CONNECT node-1:22 HTTP/1.0\r\nHost: x\r\n\r\nSSH-2.0-Slow\r\n') socket.write(byte);
    const said = await heard(socket, (text) => text.includes('SSH-2.0-'));
    expect(said).toMatch(/^HTTP\/1\.1 200 OK\r\n\r\nSSH-2\.0-OpenSSH_9\.9 Steno\r\n/);
    socket.destroy();
  });

  it.each([
    ['another port', 'CONNECT node-1:80 HTTP/1.1\r\n\r\n', '403'],
    ['no name of a node', 'CONNECT ../x:22 HTTP/1.1\r\n\r\n', '400'],
    ['no port', 'CONNECT node-1 HTTP/1.1\r\n\r\n', '400'],
    ['no HTTP', 'CONNECT node-1:22\r\n\r\n', '400'],
    ['no end', `CONNECT node-1:22 HTTP/1.1\r\nx: ${'y'.repeat(MAX_REQUEST)}`, '431'],
  ])('is refused and closed with %s', async (_name, request, status) => {
    const socket = caller();
    socket.write(request);
    expect(await heard(socket)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*\r\n\r\n$`, 's'));
  });
});

it('a client that waits for the gateway to speak first receives its identification line', async () => {
  const socket = caller();
  expect(await heard(socket, (said) => said.includes('\r\n'))).toBe('SSH-2.0-OpenSSH_9.9 Steno\r\n');
  socket.destroy();
});
