import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gatewayServerName, gatewayOfServerName } from '#schemas/tunnel.js';
import { MAX_HELLO, serverNameOf } from './client-hello.js';

/** The first message of OpenSSL, as Node's client sends it. */
async function hello(options: object): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, rejectUnauthorized: false, ...options });
  client.on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return bytes;
}

/** The same message in records of at most `size` bytes. */
function fragmented(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const fragment = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, fragment.length >> 8, fragment.length & 0xff]), fragment);
  }
  return Buffer.concat(records);
}

describe('the server name in a ClientHello', () => {
  it.each([
    ['TLS 1.3', { minVersion: 'TLSv1.3' }],
    ['TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['ALPN and many groups', { ALPNProtocols: ['http/1.1', 'h2'], ecdhCurve: 'X25519:P-256:P-384:P-521' }],
  ])('of OpenSSL with %s is read in one piece, in records of any size, and byte by byte', async (_, options) => {
    const bytes = await hello({ servername: 'edge-w2.gateway.steno', ...options });
    const named = { kind: 'name', name: 'edge-w2.gateway.steno' };
    expect(serverNameOf(bytes)).toEqual(named);
    for (const size of [1, 7, 100]) expect(serverNameOf(fragmented(bytes, size))).toEqual(named);
    for (let length = 0; length < bytes.length; length++) expect(serverNameOf(bytes.subarray(0, length))).toEqual({ kind: 'more' });
    expect(serverNameOf(Buffer.concat([bytes, Buffer.from('what follows')]))).toEqual(named);
  });

  it('is absent if the client names nobody', async () => {
    expect(serverNameOf(await hello({}))).toEqual({ kind: 'none' });
  });

  it.each([
    ['HTTP', 'GET / HTTP/1.1\r\n'],
    ['SSH', 'SSH-2.0-x\r\n'],
    ['another message', Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
  ])('is absent in %s', (_, bytes) => {
    expect(serverNameOf(Buffer.from(bytes))).toEqual({ kind: 'none' });
  });

  it('is not searched for beyond the limit', () => {
    const endless = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]), Buffer.alloc(MAX_HELLO)]);
    expect(serverNameOf(endless)).toEqual({ kind: 'none' });
  });

  it('has an answer for any changed bytes', async () => {
    const bytes = await hello({ servername: 'edge.gateway.steno' });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, length) => {
        const changed = Buffer.from(bytes.subarray(0, length));
        if (at < length) changed[at] = value;
        expect(['more', 'none', 'name']).toContain(serverNameOf(changed).kind);
      }),
    );
  });
});

describe('the server name of a gateway', () => {
  it("leads back to the gateway's name, and any other server name to none", () => {
    expect(gatewayOfServerName(gatewayServerName('edge-w2'))).toBe('edge-w2');
    for (const host of ['edge', '.gateway.steno', 'Edge.gateway.steno', '..gateway.steno', 'gateway.steno'])
      expect(gatewayOfServerName(host)).toBeNull();
  });
});
