/** Patched ssh2 against peers that violate the protocol, and with output faster than its reader. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import ssh2 from 'ssh2';
import type { Connection, ServerChannel } from 'ssh2';
import { SshWriter } from '#schemas/ssh/wire.js';
import { transportAlgorithms } from './algorithms.js';
import { generateKey } from './keys.js';

/** The internals of ssh2 needed to send a packet that its own client never sends. */
interface RawProtocol {
  readonly _packetRW: { readonly write: { readonly allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer } };
  readonly _cipher: { encrypt(packet: Buffer): void };
}

const servers: InstanceType<typeof ssh2.Server>[] = [];
const clients: InstanceType<typeof ssh2.Client>[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const server of servers.splice(0)) await new Promise<void>((resolve) => server.close(() => resolve()));
});

interface Pair {
  readonly client: InstanceType<typeof ssh2.Client>;
  readonly peer: Connection;
  /** Resolves with the first error the server reports. */
  readonly failure: Promise<string>;
  readonly send: (payload: Uint8Array) => void;
}

/** A client that is logged in to a server, which runs `serve` for each command. */
async function connected(serve: (channel: ServerChannel) => void): Promise<Pair> {
  const server = new ssh2.Server({ hostKeys: [generateKey().toOpenSsh()], algorithms: transportAlgorithms() });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = new ssh2.Client();
  clients.push(client);
  client.on('error', () => undefined);
  const peerConnected = new Promise<Connection>((resolve) =>
    server.on('connection', (peer) => {
      peer.on('authentication', (context) => context.accept());
      peer.on('session', (accept) => {
        const session = accept();
        session.on('window-change', (acceptSize) => acceptSize?.());
        session.on('exec', (acceptExec) => serve(acceptExec()));
      });
      resolve(peer);
    }),
  );
  client.connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', username: 'x', algorithms: transportAlgorithms() });
  const peer = await peerConnected;
  const failure = new Promise<string>((resolve) => peer.on('error', (error) => resolve(error.message)));
  await once(client, 'ready');
  const { _protocol: protocol } = client as unknown as { readonly _protocol: RawProtocol };
  const send = (payload: Uint8Array): void => {
    const start = protocol._packetRW.write.allocStart;
    const packet = protocol._packetRW.write.alloc(payload.length);
    packet.set(payload, start);
    protocol._cipher.encrypt(protocol._packetRW.write.finalize(packet));
  };
  return { client, peer, failure, send };
}

const openSession = (packetSize: number): Uint8Array =>
  new SshWriter()
    .byte(90)
    .utf8('session')
    .uint32(0)
    .uint32(1 << 20)
    .uint32(packetSize)
    .bytes();
const exec = new SshWriter().byte(98).uint32(0).utf8('exec').byte(1).utf8('anything').bytes();

describe('a peer is disconnected', () => {
  it.each([0, 1023])('that accepts packets of at most %d bytes', async (packetSize) => {
    const { send, failure } = await connected((channel) => channel.write('hello'));
    send(openSession(packetSize));
    expect(await failure).toContain('Malformed CHANNEL_OPEN');
  });

  it('that sends more than the window allows, while nobody reads', async () => {
    const { send, failure } = await connected((channel) => channel.pause());
    send(openSession(32_768));
    send(exec);
    const data = new SshWriter().byte(94).uint32(0).string(new Uint8Array(30_001)).bytes();
    // The window is 2 MiB, and ssh2 grants 1 MiB more before it notices that nobody reads; this sends 3.4 MiB.
    for (let i = 0; i < 120; i += 1) send(data);
    expect(await failure).toContain('beyond the channel window');
  });
});

describe('output faster than its reader arrives complete', () => {
  const size = 3 << 20;
  const orders: readonly (readonly [string, (channel: ServerChannel, finish: () => void) => void])[] = [
    [
      'first stdout, then stderr',
      (channel, finish) => channel.write(Buffer.alloc(size, 1), () => channel.stderr.write(Buffer.alloc(size, 2), finish)),
    ],
    [
      'first stderr, then stdout',
      (channel, finish) => channel.stderr.write(Buffer.alloc(size, 2), () => channel.write(Buffer.alloc(size, 1), finish)),
    ],
    [
      'both at once',
      (channel, finish) => {
        let left = 2;
        const done = (): void => {
          left -= 1;
          if (left === 0) finish();
        };
        channel.write(Buffer.alloc(size, 1), done);
        channel.stderr.write(Buffer.alloc(size, 2), done);
      },
    ],
  ];

  it.each(orders)('%s', async (_name, write) => {
    const { client } = await connected((channel) =>
      write(channel, () => {
        channel.exit(0);
        channel.end();
      }),
    );
    const received = await new Promise<readonly number[]>((resolve, reject) =>
      client.exec('anything', (error, channel) => {
        if (error !== undefined) {
          reject(error);
          return;
        }
        const counts = [0, 0, 0];
        const count = (expected: number) => (data: Buffer) => {
          const index = data.every((byte) => byte === expected) ? expected : 0;
          counts[index] = (counts[index] ?? 0) + data.length;
        };
        channel.on('data', count(1)).on('close', () => resolve(counts));
        channel.stderr.on('data', count(2));
      }),
    );
    expect(received).toEqual([0, size, size]);
  });
});

describe('a request that wants a reply gets one after the command began', () => {
  const ask = (words: (writer: SshWriter) => SshWriter, name: string): Uint8Array =>
    words(new SshWriter().byte(98).uint32(0).utf8(name).byte(1)).bytes();

  it.each([
    // RFC 4254, section 6.7 forbids asking for a reply here; JSch asks anyway and waits half a minute for it.
    ['a change of the window', ask((writer) => writer.uint32(132).uint32(43).uint32(0).uint32(0), 'window-change'), 'success'],
    ['an unknown request', ask((writer) => writer, 'nothing@example.com'), 'failure'],
  ])('%s', async (_name, request, expected) => {
    const { client, send } = await connected((channel) => channel.resume());
    const answer = await new Promise<string>((resolve, reject) =>
      client.exec('anything', (error, channel) => {
        if (error !== undefined) return reject(error);
        (channel as unknown as { readonly _callbacks: ((failed: boolean) => void)[] })._callbacks.push((failed) =>
          resolve(failed ? 'failure' : 'success'),
        );
        send(request);
      }),
    );
    expect(answer).toBe(expected);
  });
});
