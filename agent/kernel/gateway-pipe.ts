/**
 * Connects to a gateway that signs rows, and, for nodes that can reach nothing else, to ingest through a gateway: the HTTPS
 * connection to the gateway becomes a pipe in which this node speaks TLS with ingest, so the gateway cannot read what it
 * forwards. Tested in test/kernel/joined.test.ts.
 */
import { request } from 'node:https';
import { connect } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { INGEST_PIPE, INGEST_PIPE_PATH, gatewayServerName } from '#schemas/tunnel.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';

const HANDSHAKE_MS = 10_000;

type Connected = (error: Error | null, socket?: TLSSocket) => void;

/** TLS options in the form that `ws` takes; each attempt dials the next gateway. */
export function throughGateways(gateways: readonly string[], identity: ServiceIdentity): () => ConnectionOptions {
  let tries = 0;
  return () => {
    const gateway = gateways[tries++ % gateways.length]!;
    const options = { createConnection: (_: unknown, connected: Connected): void => dial(gateway, identity, connected) };
    return options as ConnectionOptions;
  };
}

/** TLS options of a connection that only this gateway can answer. */
export function toGateway(gateway: string, identity: ServiceIdentity): ConnectionOptions {
  const options = identity.tlsClientOptions(['gateway']);
  return {
    ...options,
    servername: gatewayServerName(gateway),
    checkServerIdentity: (host, certificate) =>
      options.checkServerIdentity?.(host, certificate) ??
      (certificate.subject.CN === `gateway/${gateway}` ? undefined : new Error(`this is not gateway ${gateway}`)),
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
