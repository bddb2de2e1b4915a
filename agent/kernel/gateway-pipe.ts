/**
 * To ingest through a gateway, for nodes that reach nothing else: the gateway's HTTPS becomes a pipe, and inside it this
 * node speaks TLS with ingest, so that the gateway passes on what it cannot read. Tested in test/kernel/joined.test.ts.
 */
import { request } from 'node:https';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { INGEST_PIPE, INGEST_PIPE_PATH } from '#schemas/tunnel.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';

const HANDSHAKE_MS = 10_000;

type Connected = (error: Error | null, socket?: TLSSocket) => void;

/** What `ws` takes as TLS options: dials one gateway after the other, the next at each try. */
export function throughGateways(gateways: readonly string[], identity: ServiceIdentity): () => ConnectionOptions {
  let tries = 0;
  return () => {
    const gateway = gateways[tries++ % gateways.length]!;
    const options = { createConnection: (_: unknown, connected: Connected): void => dial(gateway, identity, connected) };
    return options as ConnectionOptions;
  };
}

function dial(gateway: string, identity: ServiceIdentity, connected: Connected): void {
  const colon = gateway.lastIndexOf(':');
  let settled = false;
  const settle: Connected = (error, socket) => {
    if (settled) return void socket?.destroy();
    settled = true;
    connected(error, socket);
  };
  const asked = request({
    host: gateway.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(gateway.slice(colon + 1)),
    path: INGEST_PIPE_PATH,
    method: 'GET',
    agent: false,
    headers: { connection: 'Upgrade', upgrade: INGEST_PIPE },
    timeout: HANDSHAKE_MS,
    ...identity.tlsClientOptions(['gateway']),
    minVersion: 'TLSv1.3',
  });
  asked.on('timeout', () => asked.destroy(new Error('the gateway does not answer')));
  asked.on('error', (error) => settle(error));
  asked.on('response', (response) => {
    response.destroy();
    settle(new Error(`the gateway answered ${response.statusCode ?? 0}`));
  });
  asked.on('upgrade', (_response, pipe, head) => {
    if (head.length > 0) pipe.unshift(head);
    const socket = connect({ socket: pipe, ...identity.tlsClientOptions(['ingest']), minVersion: 'TLSv1.3' });
    socket.once('secureConnect', () => settle(null, socket));
    socket.once('error', (error: Error) => settle(error));
    pipe.on('error', () => socket.destroy());
    pipe.on('close', () => socket.destroy());
  });
  asked.end();
}
