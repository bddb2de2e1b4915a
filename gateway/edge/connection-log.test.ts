import { once } from 'node:events';
import { connect } from 'node:net';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ConnectionLog, STRANGERS_A_MINUTE } from './connection-log.js';
import { openWorld } from '../testing/harness.js';
import type { World } from '../testing/harness.js';

const lines: Record<string, unknown>[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
let world: World;
beforeAll(async () => {
  world = await openWorld({ log });
});
afterAll(() => world.close());
beforeEach(() => {
  lines.length = 0;
});

/** Resolves to the log line of the connection once it is written. */
async function ended(): Promise<Record<string, unknown>> {
  for (;;) {
    const line = lines.find(({ msg }) => String(msg).startsWith('a connection ended'));
    if (line !== undefined) return line;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const says = async (text: string): Promise<Record<string, unknown>> => {
  const socket = connect(world.port, '127.0.0.1').on('error', () => undefined);
  socket.end(text);
  socket.resume();
  await once(socket, 'close');
  return ended();
};
const ssh = async (...args: string[]): Promise<Record<string, unknown>> => {
  await world.run('ssh', ['-F', world.sshConfig, ...args]);
  return ended();
};

it('the end of a session is logged with the user, the login, the node and the source', async () => {
  expect(await ssh('-l', 'root@node-1', 'gw', 'true')).toMatchObject({
    msg: 'a connection ended',
    step: 'relaying',
    user: 'alice',
    login: 'root',
    node: 'node-1',
    source: '127.0.0.1',
    client: expect.stringMatching(/^OpenSSH/),
    reason: expect.stringMatching(/disconnected by user|the client disconnected/),
  });
});

it.each([
  [
    'no common key exchange',
    () => ssh('-o', 'KexAlgorithms=diffie-hellman-group-exchange-sha256', '-l', 'root@node-1', 'gw', 'true'),
    { step: 'stranger', reason: expect.stringMatching(/no matching key exchange/i) as unknown },
  ],
  [
    'a certificate without the login',
    () => ssh('-l', 'mallory@node-1', 'gw', 'true'),
    { step: 'stranger', reason: 'CERT_WRONG_PRINCIPAL' },
  ],
  ['no SSH at all', () => says(''), { step: 'greeting', reason: 'closed before any SSH bytes' }],
  ['another protocol', () => says('GET / HTTP/1.1\r\n\r\n'), { step: 'stranger', reason: expect.stringMatching(/./) as unknown }],
  [
    'a proxy request for another port',
    () => says('CONNECT node-1:80 HTTP/1.1\r\n\r\n'),
    { step: 'greeting', reason: 'answered 403 Forbidden' },
  ],
])('a stranger that ends is logged with the reason: %s', async (_what, end, facts) => {
  expect(await end()).toMatchObject({ msg: 'a connection ended before admission', source: '127.0.0.1', ...facts });
});

it('a user is told the reason in words, and the log has its code', async () => {
  expect(await ssh('-l', 'root@nowhere', 'gw', 'true')).toMatchObject({
    msg: 'a connection ended',
    step: 'refusing',
    user: 'alice',
    node: 'nowhere',
    reason: 'NODE_UNKNOWN',
  });
});

it('of thousands of strangers, only some are logged individually and the rest are counted', () => {
  const many = new ConnectionLog(log);
  for (let i = 0; i < 1000; i++)
    many.ended({ step: 'greeting', source: '192.0.2.1', client: '', user: null, seconds: 0, reason: 'a\u001b[31m' });
  many.ended({ step: 'jump', source: '192.0.2.1', client: '', user: 'alice', seconds: 0, reason: 'x' });
  many.flush();
  many.flush();
  expect(lines).toHaveLength(STRANGERS_A_MINUTE + 2);
  expect(lines[0]).toMatchObject({ reason: 'a?[31m' });
  expect(lines.at(-1)).toMatchObject({ msg: 'more connections ended before admission', connections: 1000 - STRANGERS_A_MINUTE });
});
