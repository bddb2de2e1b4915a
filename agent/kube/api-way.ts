/**
 * Relays gateways to the API server of the cluster in which the agent runs: HTTP/1.1 arrives on a tunnel's streams, gets the credential
 * of the agent's service account, and is sent on over TLS.
 *
 *     gateway ══tunnel, agent/NAME══► agent ──TLS, bearer token of the service account──► API server
 *
 * The account may impersonate and nothing else (deploy/kubernetes/), and the gateway says whom to impersonate. The credential never
 * leaves the cluster, and the agent connects only to this address, whatever a request names. The token is reread, since the kubelet
 * renews it. Bodies, watches and protocol upgrades are relayed with back-pressure. Tested in api-way.test.ts, and in
 * test/kube/agent.test.ts with a real cluster.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { AgentOptions, RequestOptions } from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { Log } from '#runtime/log.js';

export interface ClusterAccess {
  readonly host: string;
  readonly port: number;
  /** The folder with `token` and `ca.crt`, as mounted by a kubelet. */
  readonly serviceAccount: string;
}

export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The gateway's limit for client requests, plus room for the groups of roles. */
const MAX_HEADERS = 131_072;
const TOKEN_MS = 10_000;
const MAX_TOKEN = 16_384;

/** The API server's address as given to a pod. Throws USAGE outside of a pod. */
export function clusterAccess(env: NodeJS.ProcessEnv, serviceAccount: string): ClusterAccess {
  const [host, port] = [env['KUBERNETES_SERVICE_HOST'], Number(env['KUBERNETES_SERVICE_PORT'])];
  if (host === undefined || !Number.isInteger(port) || port < 1 || port > 65_535)
    throw new StenoError('USAGE', '--ssh kubernetes is for pods: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set');
  return { host, port, serviceAccount };
}

export class ApiWay {
  readonly #access: ClusterAccess;
  readonly #log: Log;
  readonly #server: Server;
  readonly #tls: AgentOptions;
  readonly #agent: Agent;
  readonly #open = new Set<Duplex>();
  #token = { text: '', readAt: -Infinity };

  /** Throws if the CA cannot be read. */
  constructor(access: ClusterAccess, log: Log) {
    this.#access = access;
    this.#log = log;
    const ca = readFileSync(join(access.serviceAccount, 'ca.crt'), 'utf8');
    this.#tls = { ca, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] };
    this.#agent = new Agent({ ...this.#tls, keepAlive: true, maxFreeSockets: 64 });
    this.#server = createServer({ maxHeaderSize: MAX_HEADERS, requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) =>
      this.#pass(request, response),
    );
    this.#server.on('upgrade', (request, stream, head) => this.#change(request, stream, head));
    this.#server.on('connect', (_, stream) => void stream.destroy());
    this.#server.on('clientError', (_, stream) => void stream.destroy());
  }

  /** Takes one stream of a tunnel. */
  take(stream: Duplex): void {
    this.#open.add(stream);
    stream.on('error', () => stream.destroy());
    stream.on('close', () => this.#open.delete(stream));
    this.#server.emit('connection', stream);
  }

  close(): void {
    for (const stream of this.#open) stream.destroy();
    this.#server.close();
    this.#agent.destroy();
  }

  #pass(request: IncomingMessage, response: ServerResponse): void {
    const asked = this.#ask(request, false);
    asked.on('error', (error) => (response.headersSent ? response.destroy() : this.#refuse(response, error)));
    asked.on('upgrade', (_, socket) => {
      socket.destroy();
      response.destroy();
    });
    asked.on('response', (answer) => {
      response.writeHead(answer.statusCode!, passed(answer.rawHeaders).flat());
      response.flushHeaders();
      pipeline(answer, response, () => asked.destroy());
    });
    response.on('close', () => !response.writableFinished && asked.destroy());
    if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) asked.end();
    else pipeline(request, asked, (error) => error && asked.destroy());
  }

  #change(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    const asked = this.#ask(request, true);
    asked.on('error', () => stream.destroy());
    asked.on('upgrade', (answer, socket, first) => {
      const end = (): void => {
        socket.destroy();
        stream.destroy();
      };
      socket.on('error', end).on('close', () => void stream.end());
      stream.on('error', end).on('close', end);
      stream.write(headOf(answer));
      if (first.length > 0) stream.write(first);
      if (head.length > 0) socket.write(head);
      socket.pipe(stream).pipe(socket);
    });
    // A refusal ends the connection.
    asked.on('response', (answer) => {
      stream.write(headOf(answer, true));
      pipeline(answer, stream, () => asked.destroy());
    });
    stream.on('close', () => asked.destroy());
    asked.end();
  }

  #ask(request: IncomingMessage, change: boolean): ReturnType<typeof httpsRequest> {
    const { host, port } = this.#access;
    const headers: [string, string][] = passed(request.rawHeaders, change ? ['connection', 'upgrade'] : []);
    headers.push(['Host', formatHostPort({ host, port })], ['Authorization', `Bearer ${this.#bearer()}`]);
    const options: RequestOptions = { host, port, method: request.method!, path: request.url!, headers: headers.flat() as never };
    return httpsRequest({ ...options, ...this.#tls, agent: change ? false : this.#agent });
  }

  #bearer(): string {
    const now = performance.now();
    if (now - this.#token.readAt < TOKEN_MS) return this.#token.text;
    try {
      const text = readFileSync(join(this.#access.serviceAccount, 'token'), 'utf8').trim();
      if (/^[A-Za-z0-9._~+/=-]+$/.test(text) && text.length <= MAX_TOKEN) this.#token = { text, readAt: now };
      else this.#log.warn('the token of the service account is none');
    } catch (error) {
      // The previous token may still be valid.
      this.#log.warn({ err: error }, 'the token of the service account cannot be read');
    }
    return this.#token.text;
  }

  #refuse(response: ServerResponse, error: Error): void {
    this.#log.warn({ err: error }, 'the API server cannot be reached');
    const why = (error as NodeJS.ErrnoException).code ?? error.message;
    const body = JSON.stringify({
      ...{ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason: 'ServiceUnavailable', code: 503 },
      message: `steno: the agent in the cluster cannot reach the API server: ${why}`,
    });
    response.writeHead(503, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), connection: 'close' });
    response.end(body);
  }
}

const dropped: ReadonlySet<string> = new Set([
  'authorization',
  'connection',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
]);

/** The headers of one connection that also apply to the other, in order. */
function passed(raw: readonly string[], kept: readonly string[] = []): [string, string][] {
  const headers: [string, string][] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    if (!dropped.has(name) || kept.includes(name)) headers.push([raw[at]!, raw[at + 1]!]);
  }
  return headers;
}

/** The head of a response as bytes. `last`: the following body ends with the connection. */
function headOf({ statusCode, statusMessage, rawHeaders }: IncomingMessage, last = false): string {
  const headers = last
    ? passed(rawHeaders).filter(([name]) => name.toLowerCase() !== 'transfer-encoding')
    : passed(rawHeaders, ['connection', 'upgrade']);
  const lines = [...headers, ...(last ? [['Connection', 'close']] : [])].map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${statusCode!} ${statusMessage ?? ''}\r\n${lines.join('')}\r\n`;
}
