import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { healthOf } from './kube-health.js';
import type { KubeGateway } from './kube-health.js';

/** A stand-in for a gateway: what it answers is up to the test. */
let folder: string;
let server: Server;
let gateway: KubeGateway;
let answer: RequestListener;
const seen: IncomingMessage[] = [];
const names: unknown[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'steno-kube-health-'));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const subject = ['-subj', '/CN=gateway', '-addext', 'subjectAltName=DNS:gateway.steno'];
  const words = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...words, ...subject], { stdio: 'ignore' });
  const pair = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  server = createServer({ ...pair, ca: pair.cert, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    seen.push(request);
    names.push((request.socket as TLSSocket).servername);
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  gateway = { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, ca: pair.cert, ...pair };
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  seen.length = 0;
  names.length = 0;
});

const now = (): number => 1_000;
const serves =
  (version: string, readyz = 200): RequestListener =>
  ({ url = '' }, response) =>
    url.endsWith('/version') ? void response.end(version) : void response.writeHead(readyz).end('said');

test('a cluster that answers is ready with its version, asked for by the name of gateways', async () => {
  answer = serves('{"gitVersion":"v1.34.4+k3s1"}');
  expect(await healthOf(gateway, ['east'], now)).toEqual([{ state: 'ready', version: 'v1.34.4+k3s1', reason: null, last_seen_at: 1_000 }]);
  expect(seen.map(({ url }) => url)).toEqual(['/east/version', '/east/readyz']);
  expect(names).toEqual(['gateway.steno', 'gateway.steno']);
});

test('one that says it is not ready is not ready', async () => {
  answer = serves('{"gitVersion":"v1.20.2"}', 500);
  expect(await healthOf(gateway, ['east'], now)).toMatchObject([{ state: 'not ready', version: 'v1.20.2', last_seen_at: 1_000 }]);
});

test('an agent that answers for an API server that is away has not seen it', async () => {
  answer = (_, response) => void response.writeHead(503).end('{"kind":"Status"}');
  expect(await healthOf(gateway, ['east'], now)).toEqual([{ state: 'not ready', version: null, reason: null, last_seen_at: null }]);
});

test.each([
  ['steers a terminal', '{"gitVersion":"v1\\u001b[2J"}'],
  ['is no string', '{"gitVersion":7}'],
  ['is long', JSON.stringify({ gitVersion: `v1.${'0'.repeat(65)}` })],
  ['is no JSON', 'v1.34.4'],
  ['is null', 'null'],
])('a version that %s is none', async (_claim, body) => {
  answer = serves(body);
  expect(await healthOf(gateway, ['east'], now)).toMatchObject([{ state: 'ready', version: null }]);
});

test.each([
  ['KUBE_UNREACHABLE', { 'steno-last-heard': '900' }, { state: 'unreachable', last_seen_at: 900 }],
  ['NODE_UNREACHABLE', {}, { state: 'unreachable', last_seen_at: null }],
  ['LOCKED', {}, { state: 'refused', last_seen_at: null }],
  ['KUBE_UNREACHABLE', { 'steno-last-heard': 'soon' }, { state: 'unreachable', last_seen_at: null }],
])("the gateway's own %s is told as it is", async (code, headers, expected) => {
  answer = (_, response) => void response.writeHead(502, { 'steno-refusal': code, ...headers }).end('words');
  expect(await healthOf(gateway, ['east'], now)).toEqual([{ version: null, reason: code, ...expected }]);
  expect(seen.length).toBe(1);
});

test('a gateway that is away, one that never ends, and one that says too much: unknown, and the others are asked', async () => {
  const unknown = { state: 'unknown', version: null, reason: null, last_seen_at: null };
  expect(await healthOf({ ...gateway, address: '127.0.0.1:1' }, ['east'], now)).toEqual([unknown]);
  answer = (request, response) => {
    if (request.url!.startsWith('/slow/')) response.writeHead(200).write('{');
    else if (request.url!.startsWith('/large/')) response.end('x'.repeat(70_000));
    else serves('{"gitVersion":"v1.34.4"}')(request, response);
  };
  const states = await healthOf(gateway, ['slow', 'large', 'east'], now, 500);
  expect(states.map(({ state }) => state)).toEqual(['unknown', 'unknown', 'ready']);
});

test('a server that is no gateway is told nothing', async () => {
  answer = serves('{}');
  const other = { ...gateway, ca: readFileSync(join(folder, 'cert'), 'utf8').replace(/[A-Za-z0-9+/]{64}/, 'A'.repeat(64)) };
  expect(await healthOf(other, ['east'], now)).toMatchObject([{ state: 'unknown' }]);
  expect(seen).toEqual([]);
});

test('many clusters are asked eight at a time, and told in their order', async () => {
  let [under, most] = [0, 0];
  answer = (request, response) => {
    most = Math.max(most, ++under);
    setImmediate(() => {
      under -= 1;
      serves(`{"gitVersion":"v1.${/\d+/.exec(request.url!)![0]}"}`)(request, response);
    });
  };
  const clusters = Array.from({ length: 30 }, (_, index) => `c${index}`);
  const health = await healthOf(gateway, clusters, now);
  expect(health.map(({ version }) => version)).toEqual(clusters.map((_, index) => `v1.${index}`));
  expect(most).toBeLessThanOrEqual(8);
});
