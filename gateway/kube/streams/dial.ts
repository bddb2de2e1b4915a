/** Requests a stream from an API server, impersonating the user and groups of the role. Tested in ../streaming.test.ts. */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import type { Subprotocol } from '#schemas/kube/remote-command.js';
import { answeredHeaders, identityHeaders } from '../requests/headers.js';
import type { Entered } from '../requests/request.js';
import { upstreamRequest } from '../requests/upstreams.js';
import type { Upstream } from '../requests/upstreams.js';
import { MAX_FRAME } from './peer.js';
import type { Peer } from './peer.js';
import { WebSocketPeer } from './websocket-peer.js';

export const DIAL_MS = 15_000;
/**
 * The key with which a client masks its frames. Masking keeps a page in a browser from writing bytes that an intermediate proxy takes for
 * a request; here only the API server reads the connection, through TLS or the tunnel of its agent. A key of zeros leaves the bytes
 * unchanged, so ws neither copies nor changes them.
 */
const zeroMask = (key: Buffer): void => void key.fill(0);
const MAX_REFUSAL = 65_536;

/** The API server's own answer, as HTTP bytes. */
export interface Refused {
  readonly kind: 'refused';
  readonly code: number;
  readonly answer: Buffer;
  /** The body of the answer. */
  readonly body: Buffer;
}

export type Dialled = { readonly kind: 'accepted'; readonly peer: Peer } | Refused;

/** Rejects KUBE_UNREACHABLE. */
export function dialWebSocket(
  upstream: Upstream,
  { authorized, auditId, target }: Entered,
  query: string,
  protocols: readonly Subprotocol[],
): Promise<Dialled> {
  const identity = identityHeaders(authorized.impersonate, authorized.groups, auditId);
  const { host, port, path, headers } = upstreamRequest(upstream, { path: target.path, query }, 'GET', identity);
  return new Promise((resolve, reject) => {
    const inside = upstream.base.protocol === 'http:';
    const server = new WebSocket(
      `${inside ? 'ws' : 'wss'}://${String(host).includes(':') ? `[${host}]` : host}:${port}${path}`,
      [...protocols],
      {
        ...(inside ? { agent: upstream.agent } : upstream.tls),
        headers: headers as Record<string, string>,
        perMessageDeflate: false,
        generateMask: zeroMask,
        followRedirects: false,
        handshakeTimeout: DIAL_MS,
        maxPayload: MAX_FRAME,
      },
    );
    server.on('unexpected-response', (_, answer) => readRefusal(answer, resolve, reject));
    server.on('error', (error) => reject(unreachable(error)));
    server.on('open', () => {
      const protocol = protocols.find((known) => known === server.protocol);
      if (protocol !== undefined) return resolve({ kind: 'accepted', peer: new WebSocketPeer(server, protocol) });
      server.terminate();
      reject(new StenoError('KUBE_UNREACHABLE', 'it speaks no protocol that was offered'));
    });
  });
}

/** `protocol`: the Kubernetes protocol inside SPDY/3.1. Rejects KUBE_UNREACHABLE. */
export function dialSpdy(
  upstream: Upstream,
  { authorized, auditId, target }: Entered,
  query: string,
  protocol: string,
): Promise<{ readonly kind: 'accepted'; readonly socket: Duplex; readonly head: Buffer } | Refused> {
  const headers = {
    ...identityHeaders(authorized.impersonate, authorized.groups, auditId),
    connection: 'Upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': protocol,
    'content-length': '0',
  };
  return new Promise((resolve, reject) => {
    const asked = upstream.request({ ...upstreamRequest(upstream, { path: target.path, query }, 'POST', headers) });
    const silence = setTimeout(() => asked.destroy(new Error('no answer in time')), DIAL_MS);
    asked.on('close', () => clearTimeout(silence));
    asked.on('error', (error) => reject(unreachable(error)));
    asked.on('response', (answer) => readRefusal(answer, resolve, reject));
    asked.on('upgrade', (answer, socket, head) => {
      clearTimeout(silence);
      // An error after the upgrade ends the connection, which its new owner notices.
      socket.on('error', () => socket.destroy());
      if (answer.headers.upgrade?.toLowerCase() === 'spdy/3.1' && answer.headers['x-stream-protocol-version'] === protocol)
        return resolve({ kind: 'accepted', socket, head });
      socket.destroy();
      reject(new StenoError('KUBE_UNREACHABLE', 'it speaks no protocol that was offered'));
    });
    asked.end();
  });
}

function unreachable(error: Error): StenoError {
  return new StenoError('KUBE_UNREACHABLE', (error as NodeJS.ErrnoException).code ?? error.message, { cause: error });
}

function readRefusal(answer: IncomingMessage, resolve: (refused: Refused) => void, reject: (error: StenoError) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  answer.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_REFUSAL) chunks.push(chunk);
  });
  answer.on('error', () => reject(new StenoError('KUBE_UNREACHABLE', 'it broke off')));
  answer.on('end', () => {
    const { statusCode = 502 } = answer;
    const body = Buffer.concat(chunks);
    // Python clients show the head as well. Node allows no line break in a value.
    const passed = { ...answeredHeaders(answer), 'content-length': body.length, connection: 'close' };
    const lines = Object.entries(passed).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
    const head = `HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode] ?? ''}\r\n${lines.join('')}\r\n`;
    resolve({ kind: 'refused', code: statusCode, answer: Buffer.concat([Buffer.from(head, 'latin1'), body]), body });
  });
}
