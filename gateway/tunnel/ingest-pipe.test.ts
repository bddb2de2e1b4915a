import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { IngestPipes } from './ingest-pipe.js';

const servers: Server[] = [];
const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

async function listening(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => undefined));
    onSocket(socket);
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** An agent's end of a pipe. */
async function agentAt(port: number): Promise<Socket> {
  const agent = connect({ host: '127.0.0.1', port });
  sockets.push(agent.on('error', () => undefined));
  await once(agent, 'connect');
  return agent;
}

test('a node is connected to the next ingest if one does not answer, and after its pipe has ended', async () => {
  const names: string[] = [];
  const ingest = (name: string): Promise<number> =>
    listening((socket) => {
      names.push(name);
      socket.write(name);
    });
  const [a, b] = [await ingest('a'), await ingest('b')];
  const gone = await listening(() => undefined);
  const closed = servers.at(-1)!;
  closed.close();
  await once(closed, 'close');
  const pipes = new IngestPipes(
    [gone, a, b].map((port) => `wss://127.0.0.1:${port}`),
    pino({ level: 'silent' }),
  );
  const front = await listening((socket) => pipes.take('web-1', socket, Buffer.alloc(0)));
  for (const expected of ['a', 'b', 'a']) {
    const agent = await agentAt(front);
    let read = '';
    agent.on('data', (chunk: Buffer) => (read += chunk.toString()));
    while (!read.endsWith(`\r\n\r\n${expected}`)) await once(agent, 'data');
    expect(read).toMatch(/^HTTP\/1\.1 101 /);
    agent.destroy();
  }
  expect(names).toEqual(['a', 'b', 'a']);
  pipes.close();
});

test('the pipe ends if no ingest answers', async () => {
  const pipes = new IngestPipes(['wss://127.0.0.1:1'], pino({ level: 'silent' }));
  const front = await listening((socket) => pipes.take('web-1', socket, Buffer.alloc(0)));
  const agent = await agentAt(front);
  await once(agent.resume(), 'close');
  pipes.close();
});
