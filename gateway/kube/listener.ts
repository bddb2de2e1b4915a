/**
 * The Kubernetes listener: HTTP/1.1 over TLS 1.3 with Steno's user certificates.
 *
 *     https://HOST:PORT/CLUSTER/api/v1/…      as kubeconfigs name it; the rest of the path is that of the Kubernetes API
 *
 * It shows the gateway's service certificate, whose DNS name `gateway.steno` no other service has. TLS sessions are not resumed, so every
 * connection shows a user certificate. Limits: slots for strangers (runtime/http/stranger-slots.ts), 10 s for TLS and for each head of at
 * most 64 KiB, 60 s for a body. Tested in proxy.test.ts.
 */
import { constants, X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import { peerAddress } from '#schemas/base/ip-address.js';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { SlotSource } from '#runtime/http/stranger-slots.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { feed } from '../edge/arrivals.js';
import type { Arrivals } from '../edge/arrivals.js';
import { asStenoError } from '../sessions/refusal.js';
import { certifiedUser } from '#runtime/http/x509-user.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';
import { proxyRequest } from './proxy.js';
import { MAX_HEADER_LINES } from './requests/headers.js';
import { answerRefusal, refuseUpgrade } from './requests/status.js';
import { streamRequest } from './streaming.js';
import type { StreamingDeps } from './attempt.js';

export interface KubeListenerDeps extends StreamingDeps {
  readonly identity: Pick<ServiceIdentity, 'tlsServerOptions' | 'onRenewed' | 'renew'>;
  onChange(callback: () => void): () => void;
  readonly log: Log;
  /** Connections that another process accepts and counts; absent: this process listens. */
  readonly arrivals?: Arrivals | undefined;
}

export interface KubeListener {
  /** `host:port` */
  readonly address: string;
  /** Accepts no more connections. */
  stop(): void;
  /** Accepts no more connections and ends the existing ones. */
  close(): Promise<void>;
}

const MAX_HEADERS = 65_536;
const HEAD_MS = 10_000;
const BODY_MS = 60_000;
const IDLE_MS = 90_000;

/** Rejects PORT_TAKEN. */
export async function listenForKubernetes(deps: KubeListenerDeps, at: HostPort): Promise<KubeListener> {
  const { identity, log } = deps;
  // The certificate was issued before gateways had this name.
  if (!namesGateway(identity)) await identity.renew();
  const sockets = new Set<Socket>();
  const users = new WeakMap<Socket, CertifiedUser>();
  const slots = new StrangerSlots(defaultSlots, { log });
  const contextNow = (): SecureContextOptions => contextOf(identity, deps.snapshot()?.x509_user_ca ?? []);
  const server = createServer(
    {
      ...contextNow(),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HEAD_MS,
      ALPNProtocols: ['http/1.1'],
      maxHeaderSize: MAX_HEADERS,
      headersTimeout: HEAD_MS,
      requestTimeout: BODY_MS,
      keepAliveTimeout: IDLE_MS,
      connectionsCheckingInterval: 2_000,
    },
    (request, response) => {
      const socket = request.socket as TLSSocket;
      const user = users.get(socket);
      if (user === undefined) return answerRefusal(response, new StenoError('CERT_REQUIRED'), false);
      void proxyRequest(deps, user, peerAddress(socket), request, response);
    },
  );
  server.maxHeadersCount = MAX_HEADER_LINES;
  const strangers = new StrangerGuard<SlotSource>(server, deps.arrivals?.slots ?? slots);
  server.on('connection', (socket: Socket) => {
    if (socket.destroyed) return;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    try {
      if (!socket.authorized || socket.isSessionReused()) throw new StenoError('CERT_REQUIRED');
      users.set(socket, certifiedUser(socket.getPeerCertificate(false).raw));
      strangers.admitted(socket);
    } catch (error) {
      log.info({ source: peerAddress(socket), code: asStenoError(error).code }, 'a Kubernetes client was refused');
      socket.destroy();
    }
  });
  server.on('tlsClientError', (error, socket) =>
    log.debug({ source: peerAddress(socket), err: error }, 'TLS of a Kubernetes client failed'),
  );
  // A head that Node cannot parse, or (since Node 22) one with more lines than `maxHeadersCount`.
  server.on('clientError', (_, socket) => {
    if (!socket.writable) return void socket.destroy();
    const limit = setTimeout(() => socket.destroy(), HEAD_MS);
    socket.once('close', () => clearTimeout(limit));
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const user = users.get(request.socket);
    if (user === undefined) return refuseUpgrade(socket, new StenoError('CERT_REQUIRED'));
    void streamRequest(deps, user, peerAddress(request.socket), request, socket, head);
  });
  server.on('connect', (_, socket) => void socket.destroy());

  let trusted = JSON.stringify(deps.snapshot()?.x509_user_ca);
  const stopRenewed = identity.onRenewed(() => server.setSecureContext(contextNow()));
  const stopWatching = deps.onChange(() => {
    const snapshot = deps.snapshot();
    deps.upstreams.retain(snapshot?.kube_clusters ?? []);
    const now = JSON.stringify(snapshot?.x509_user_ca);
    if (now !== trusted) server.setSecureContext(contextNow());
    trusted = now;
  });
  const failed = (error: Error): void => log.error({ err: error }, 'the Kubernetes listener failed');
  const address = deps.arrivals === undefined ? formatHostPort(await listenAt(server, at, failed)) : feed(server, deps.arrivals);
  return {
    address,
    stop() {
      deps.arrivals?.stop();
      if (server.listening) server.close();
    },
    async close() {
      stopWatching();
      stopRenewed();
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      deps.arrivals?.stop();
      for (const socket of sockets) socket.destroy();
      await closed;
      slots.close();
      deps.upstreams.close();
    },
  };
}

/** Key and certificate of the gateway, and the CAs of users. */
function contextOf(identity: KubeListenerDeps['identity'], userCas: readonly string[]): SecureContextOptions {
  return {
    ...identity.tlsServerOptions(),
    ca: [...userCas],
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function namesGateway(identity: KubeListenerDeps['identity']): boolean {
  return new X509Certificate(String(identity.tlsServerOptions().cert)).checkHost(KUBE_SERVER_NAME) !== undefined;
}
