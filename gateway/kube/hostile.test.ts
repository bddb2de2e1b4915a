/** Clients that hold a certificate and break the protocol: their connections end, and everybody else is still served. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import { openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

const LIST = '/east/api/v1/namespaces/shop/pods';
const EXEC = `${LIST}/web-1/exec?command=sh&container=main&stdin=true&stdout=true`;
const SPDY = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'v4.channel.k8s.io' };

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterAll(() => world.close());

/** Everything received until the connection ends. */
function rest(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
}
const served = async (): Promise<void> => {
  expect((await world.ask(ann, LIST)).status).toBe(200);
};

/** A WebSocket of an exec whose frames the test writes itself, with the bytes that reach the API server. */
async function upgraded(): Promise<{ readonly socket: TLSSocket; readonly reached: Buffer[]; readonly over: Promise<string> }> {
  const reached: Buffer[] = [];
  world.stream = (server) => server.on('message', (data) => reached.push(data as Buffer)).on('error', () => undefined);
  const socket = await world.raw(ann);
  socket.write(
    `GET ${EXEC} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  expect(head.toString('latin1')).toMatch(/^HTTP\/1.1 101 /);
  return { socket, reached, over: rest(socket) };
}

describe('a WebSocket of a container ends, and nothing of it reaches the API server, when a frame', () => {
  it.each([
    ['claims 2^63 bytes', Buffer.from('82ff800000000000000000000000', 'hex')],
    ['claims 2^53 bytes', Buffer.from('82ff002000000000000000000000', 'hex')],
    ['claims one byte more than the limit', Buffer.from('82ff000000000040000100000000', 'hex')],
    ['is not masked', Buffer.from('820200ff', 'hex')],
    ['has a reserved bit', Buffer.from('c2820000000000ff', 'hex')],
    ['has an unknown opcode', Buffer.from('83820000000000ff', 'hex')],
    ['continues a message that never began', Buffer.from('80820000000000ff', 'hex')],
    ['is a fragmented control frame', Buffer.from('0982000000000000', 'hex')],
    ['is a control frame that is too long', Buffer.concat([Buffer.from('89fe00800000000000', 'hex'), Buffer.alloc(128)])],
    [
      'brings a fragmented message over the limit, with a size in more bytes than it needs',
      Buffer.concat(
        Array.from({ length: 3 }, (_, i) =>
          Buffer.concat([
            Buffer.from(i === 0 ? '02ff' : '00ff', 'hex'),
            Buffer.from('000000000020000000000000', 'hex'),
            Buffer.alloc(2 << 20),
          ]),
        ),
      ),
    ],
  ])('%s', async (_claim, bytes) => {
    const { socket, reached, over } = await upgraded();
    socket.write(bytes);
    await over;
    await world.recorded();
    expect(Buffer.concat(reached)).toEqual(Buffer.alloc(0));
    await served();
  });

  it('comes after a complete frame, which has been delivered', async () => {
    const { socket, reached, over } = await upgraded();
    // Channel 0 with `ok`, under a mask of zeros.
    socket.write(Buffer.concat([Buffer.from('828300000000006f6b', 'hex'), Buffer.from('82ff800000000000000000000000', 'hex')]));
    await over;
    await world.recorded();
    expect(Buffer.concat(reached).toString('latin1')).toBe('\0ok');
  });
});

describe('HTTP/2', () => {
  it('is not offered: the handshake fails for a client that insists on it', async () => {
    const [host, port] = world.listener.address.split(':') as [string, string];
    const session = connectHttp2(`https://${host}:${port}`, {
      ...{ ca: world.serviceCa.pem, servername: KUBE_SERVER_NAME, cert: ann.certificate, key: ann.key },
      ALPNProtocols: ['h2'],
    });
    const [error] = (await once(session, 'error')) as [Error];
    expect(error.message).toMatch(/alpn|no application protocol|ECONNRESET|closed/i);
    await served();
  });

  it('its preface, and a flood of its frames, are not served as requests', async () => {
    const socket = await world.raw(ann);
    const over = rest(socket);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    // CONTINUATION frames without an end.
    for (let i = 0; i < 100 && !socket.destroyed; i += 1) socket.write(Buffer.from('000004090000000001000000ff', 'hex'));
    expect(await over).not.toMatch(/ 200 /);
    expect(world.seen.filter(({ url }) => url.includes('PRI'))).toEqual([]);
    await served();
  });

  it('an upgrade to it in clear text is refused', async () => {
    const socket = await world.raw(ann);
    socket.write(
      `GET ${LIST} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
    );
    expect(await rest(socket)).toMatch(/^HTTP\/1.1 (?:400|403) /);
  });
});

describe('request heads', () => {
  it.each([
    ['of thousands of headers', `${Array.from({ length: 5_000 }, (_, i) => `X-${i}: y`).join('\r\n')}\r\n`],
    ['of one header of a megabyte', `X: ${'y'.repeat(1 << 20)}\r\n`],
    ['with a header name of a megabyte', `${'X'.repeat(1 << 20)}: y\r\n`],
  ])('%s end the connection before the API server sees them', async (_claim, headers) => {
    const before = world.seen.length;
    const socket = await world.raw(ann);
    const over = rest(socket);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
    expect(await over).not.toMatch(/ 200 /);
    expect(world.seen.length).toBe(before);
    await served();
  });

  it('hundreds of unknown headers are not passed on, and more than the limit are refused', async () => {
    const many = (length: number): Record<string, string> => Object.fromEntries(Array.from({ length }, (_, i) => [`x-${i}`, 'y']));
    expect((await world.ask(ann, LIST, { headers: { host: 'x', ...many(300) } })).status).toBe(400);
    expect((await world.ask(ann, LIST, { headers: { host: 'x', ...many(200) } })).status).toBe(200);
    expect(Object.keys(world.seen.at(-1)!.headers).filter((name) => name.startsWith('x-'))).toEqual([]);
  });

  it.each([
    '/east/./api/v1/pods',
    '/east/api/v1/%2e%2e/pods',
    '/east/api/v1/pods/..;/secrets',
    '/east/api/v1\\pods',
    '/east/api/v1/pods%00',
    '/east/api/v1/pods/',
    'https://elsewhere/east/api/v1/pods',
    '*',
    '/east/api/v1/pods?a=%zz',
    '/east/api/v1/pods#f',
    '/EAST/api/v1/pods',
  ])('a target %s is refused, with and without an upgrade', async (target) => {
    const before = world.seen.length;
    for (const more of [
      'Connection: close',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    ]) {
      const socket = await world.raw(ann);
      const over = rest(socket);
      socket.end(`GET ${target} HTTP/1.1\r\nHost: x\r\n${more}\r\n\r\n`);
      expect(await over).toMatch(/^HTTP\/1.1 40[04] |^$/);
    }
    expect(world.seen.length).toBe(before);
  });
});

describe('an upgrade', () => {
  it('that the API server refuses ends the connection: bytes that follow on it are not taken for a request', async () => {
    const socket = await world.raw(ann);
    const over = rest(socket);
    const path = EXEC.replace('web-1', 'absent').replace('/pods/absent/', '/pods/absent/');
    const before = world.seen.filter(({ url }) => url.includes('/secrets')).length;
    const lines = Object.entries(SPDY).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}Content-Length: 0\r\n\r\nGET /east/api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    expect(await over).toMatch(/^HTTP\/1.1 404 /);
    expect(world.seen.filter(({ url }) => url.includes('/secrets')).length).toBe(before);
  });
});
