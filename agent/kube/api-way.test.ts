import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import { connect, createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server as TcpServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ApiWay, clusterAccess } from './api-way.js';

/** A stand-in for an API server, and the relay to it behind a socket instead of a tunnel's stream. */
let folder: string;
let api: Server;
let way: ApiWay;
let tunnel: TcpServer;
let answer: RequestListener;
const seen: { url: string; headers: IncomingMessage['headersDistinct']; body: string }[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'steno-api-way-'));
  const [key, ca] = [join(folder, 'key'), join(folder, 'ca.crt')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      key,
      '-out',
      ca,
      '-days',
      '2',
      '-subj',
      '/CN=api',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    ],
    { stdio: 'ignore' },
  );
  writeFileSync(join(folder, 'token'), 'first\n');
  api = createServer({ cert: readFileSync(ca), key: readFileSync(key) }, (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({ url: request.url!, headers: request.headersDistinct, body });
      answer(request, response);
    });
  });
  api.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    seen.push({ url: request.url!, headers: request.headersDistinct, body: '' });
    if (request.url === '/refused') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnone');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4\r\n\r\nhello',
    );
    socket.on('data', (bytes: Buffer) => socket.write(bytes));
    socket.on('end', () => socket.end());
  });
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  way = new ApiWay({ host: '127.0.0.1', port: (api.address() as AddressInfo).port, serviceAccount: folder }, pino({ level: 'silent' }));
  tunnel = createTcpServer((socket) => way.take(socket));
  tunnel.listen(0, '127.0.0.1');
  await once(tunnel, 'listening');
});
afterAll(async () => {
  way.close();
  tunnel.close();
  api.closeAllConnections();
  await new Promise((resolve) => api.close(resolve));
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  seen.length = 0;
  answer = (_, response) => void response.end('answered');
});

const port = (): number => (tunnel.address() as AddressInfo).port;
function ask(
  path: string,
  options: {
    readonly method?: string;
    readonly headers?: Record<string, string | string[]>;
    readonly body?: string;
    readonly agent?: Agent;
  } = {},
): Promise<{ status: number; body: string }> {
  const { method = 'GET', headers = {}, body, agent } = options;
  return new Promise((resolve, reject) => {
    const asked = httpRequest({ host: '127.0.0.1', port: port(), path, method, headers, agent: agent ?? false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode!, body: text }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

test('a request gets the token of the service account, and keeps whom it impersonates, its body and its target', async () => {
  const headers = {
    'impersonate-user': 'ann',
    'impersonate-group': ['a', 'b'],
    authorization: 'Bearer stolen',
    'content-type': 'application/json',
  };
  expect(await ask('/api/v1/pods?limit=2', { method: 'POST', headers, body: '{"a":1}' })).toEqual({ status: 200, body: 'answered' });
  expect(seen).toMatchObject([
    {
      url: '/api/v1/pods?limit=2',
      body: '{"a":1}',
      headers: {
        authorization: ['Bearer first'],
        'impersonate-user': ['ann'],
        'impersonate-group': ['a', 'b'],
        'content-type': ['application/json'],
      },
    },
  ]);
});

test('several requests of one stream are answered in their order, and refusals pass as they are', async () => {
  answer = (request, response) => response.writeHead(request.url === '/b' ? 409 : 200, { 'x-own': 'kept' }).end(request.url);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await Promise.all(['/a', '/b', '/c'].map((path) => ask(path, { agent })))).toEqual([
    { status: 200, body: '/a' },
    { status: 409, body: '/b' },
    { status: 200, body: '/c' },
  ]);
  agent.destroy();
});

test('a watch begins before its first event, and ends at the API server when its client goes', async () => {
  let gone: Promise<unknown> | undefined;
  answer = (request, response) => {
    gone = once(request.socket, 'close');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
  };
  const asked = httpRequest({ host: '127.0.0.1', port: port(), path: '/watch', agent: false });
  asked.on('error', () => undefined);
  asked.end();
  await once(asked, 'response');
  asked.destroy();
  await gone;
});

test('a changed protocol passes both ways until either side ends it; a refusal of one passes as it is', async () => {
  const socket = connect(port(), '127.0.0.1');
  socket.write(
    'POST /exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nImpersonate-User: ann\r\nContent-Length: 0\r\n\r\n',
  );
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  await expect.poll(() => text).toMatch(/^HTTP\/1.1 101 .*X-Stream-Protocol-Version: v4\r\n\r\nhello$/s);
  socket.write('echoed');
  await expect.poll(() => text).toMatch(/helloechoed$/);
  socket.end();
  await once(socket, 'close');
  expect(seen.at(-1)!.headers).toMatchObject({ authorization: ['Bearer first'], 'impersonate-user': ['ann'] });
  const refused = connect(port(), '127.0.0.1');
  refused.write('POST /refused HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n');
  let said = '';
  refused.setEncoding('latin1').on('data', (chunk: string) => (said += chunk));
  await once(refused, 'close');
  expect(said).toMatch(/^HTTP\/1.1 403 Forbidden\r\n.*\r\n\r\nnone$/s);
});

test('what is no request ends its stream, and others go on; a target elsewhere is none', async () => {
  for (const bytes of ['NOT HTTP\r\n\r\n', 'CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n']) {
    const socket = connect(port(), '127.0.0.1');
    socket.on('error', () => undefined).resume();
    socket.write(bytes);
    await once(socket, 'close');
  }
  expect(seen).toEqual([]);
  expect((await ask('/after')).status).toBe(200);
});

test('an API server that is away is a Status', async () => {
  const away = new ApiWay({ host: '127.0.0.1', port: 1, serviceAccount: folder }, pino({ level: 'silent' }));
  const server = createTcpServer((socket) => away.take(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: at } = server.address() as AddressInfo;
  const asked = httpRequest({ host: '127.0.0.1', port: at, path: '/api', agent: false });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  expect([response.statusCode, JSON.parse(text)]).toMatchObject([
    503,
    { kind: 'Status', message: expect.stringMatching(/cannot reach the API server/) as string },
  ]);
  server.close();
  away.close();
});

test('outside of a pod there is no cluster', () => {
  expect(() => clusterAccess({}, folder)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error);
  expect(clusterAccess({ KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' }, folder)).toEqual({
    ...{ host: '10.0.0.1', port: 443, serviceAccount: folder },
  });
});
