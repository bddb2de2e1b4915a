/**
 * The tunnel port (TLS 1.3), where agents connect their tunnels and machines join.
 *
 *     no certificate ──POST /v1/join/challenge, /v1/join──► relayed to the authority (schemas/join.ts)
 *     an expired one ──POST /v1/join/renew──► relayed as well: the signature of the node's key decides
 *     agent/NAME     ──WebSocket /v1/tunnel──► node known, by this key? ──► held (tunnels.ts)
 *     agent/NAME     ──upgrade /v1/ingest──► likewise ──► forwarded to ingest (ingest-pipe.ts)
 *     agent/NAME     ──WebSocket /v1/events──► node known ──► its kernel events, to be signed (event-intake.ts)
 *     gateway/NAME   ──WebSocket /v1/session-relay──► a participant for a session here (../ssh/server/relayed-join.ts)
 *     viewer/NAME    ──upgrade /v1/ssh──► an SSH connection of a browser (ssh-relay.ts)
 *
 * The certificate chain sent ends with the service CA, so that a machine which knows only the CA's pin can check it. A join
 * is valid only on the connection it was signed for: its `channel` is compared with this connection's exporter value.
 * Limits: slots for connections without a tunnel (runtime/http/stranger-slots.ts), 10 s each; bodies of 64 KiB; joins per
 * minute (refusals.ts). Tested in test/agent/tunnel.test.ts.
 */
import { X509Certificate, createHash, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { ApiError } from '#schemas/endpoint/endpoint.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { WebSocket } from 'ws';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import { joinRequest, signedJoin, signedNodeRequest } from '#schemas/join.js';
import type { SignedTrust } from '#schemas/join.js';
import {
  INGEST_PIPE_PATH,
  MAX_TUNNEL_FRAME,
  SSH_RELAY_PATH,
  TUNNEL_PATH,
  TUNNEL_PROTOCOL,
  TUNNEL_VERSION,
  agentMessage,
  parseTunnelJson,
} from '#schemas/tunnel.js';
import { EVENTS_PATH } from '#schemas/kernel/orders.js';
import { MAX_RELAY_MESSAGE, SESSION_RELAY_PATH, SESSION_RELAY_PROTOCOL } from '#schemas/ssh/session-relay.js';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL } from '#schemas/uplink.js';
import { nodeIn } from '#schemas/watch.js';
import type { NodeCalls } from '#runtime/service/authority-client.js';
import type { Log } from '#runtime/log.js';
import { peerAddress } from '#schemas/base/ip-address.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { SlotSource } from '#runtime/http/stranger-slots.js';
import { peerService } from '#runtime/service/identity.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { Mux } from '#runtime/tunnel/mux.js';
import { feed } from '../edge/arrivals.js';
import type { Arrivals } from '../edge/arrivals.js';
import type { AuditEntry } from '../recorder/recorder.js';
import { EventIntake } from './event-intake.js';
import type { EventIntakeParts } from './event-intake.js';
import { IngestPipes } from './ingest-pipe.js';
import { Refusals } from './refusals.js';
import { SshRelays } from './ssh-relay.js';
import type { SshRelayDeps } from './ssh-relay.js';
import { Tunnels } from './tunnels.js';

const MAX_BODY = 64 << 10;
const IDLE_LIMIT_MS = 10_000;
/** How long a node that has just joined may be unknown here. */
const NEWS_MS = 2_000;
const MAX_TUNNELS = 20_000;
/** Pending requests to the authority per agent. */
const MAX_PENDING = 8;

export interface TunnelListenerDeps {
  readonly name: string;
  readonly identity: ServiceIdentity;
  readonly calls: Omit<NodeCalls, 'held'>;
  /** Called when a node starts or stops holding a tunnel here. */
  readonly held: (node: string, held: boolean) => void;
  readonly snapshot: () => Snapshot | null;
  readonly onChange: (callback: () => void) => () => void;
  readonly audit: (entry: AuditEntry) => void;
  readonly log: Log;
  /** `wss://host:port` of the ingests to which kernel events of nodes are forwarded. */
  readonly ingest: readonly string[];
  readonly eventLogs: EventIntakeParts['logs'];
  /** Takes a participant that another gateway relays. */
  readonly relayed: (socket: WebSocket, gateway: string) => void;
  /** Takes SSH connections that viewers bring for browsers. */
  readonly ssh: Pick<SshRelayDeps, 'taking' | 'accept'>;
  /** ms since 1970. */
  readonly now: () => number;
  /** Connections that another process accepts and counts; absent: this process listens. */
  readonly arrivals?: Arrivals | undefined;
}

export interface TunnelListener {
  readonly address: string;
  /** The address given to agents. */
  readonly agentAddress: string;
  readonly tunnels: Tunnels;
  /** The addresses at which agents reach gateways, according to the authority; nodes are told when they change. */
  gateways(list: readonly string[]): void;
  close(): Promise<void>;
}

/** `address`: given to agents in place of the listening address, if a proxy or NAT is in between. */
export async function listenForTunnels(
  listen: { readonly host: string; readonly port: number; readonly address?: string | undefined },
  deps: TunnelListenerDeps,
): Promise<TunnelListener> {
  const { identity, log, snapshot } = deps;
  const refusals = new Refusals(deps.audit, deps.now);
  const trusted = new Trusted(deps);
  const tunnels = new Tunnels({ held: deps.held, log });
  const publish = (): void => {
    trusted.changed().then(
      (trust) => {
        if (trust !== null) tunnels.control({ kind: 'trust', trust });
      },
      (error: unknown) => log.warn({ err: error }, 'failed to get the signed trust list for nodes'),
    );
  };
  const options = (): object => {
    const { key, cert, ca } = identity.tlsServerOptions();
    return { key, cert: `${String(cert)}\n${issuerOf(String(cert), String(ca))}`, ca, minVersion: 'TLSv1.3' };
  };
  const server = createServer({
    ...options(),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: IDLE_LIMIT_MS,
    requestTimeout: IDLE_LIMIT_MS,
    headersTimeout: IDLE_LIMIT_MS,
    connectionsCheckingInterval: 2_000,
    maxHeaderSize: 8 << 10,
  });
  // Nodes send kernel events on a connection next to the tunnel.
  server.maxConnections = 2 * MAX_TUNNELS + defaultSlots.full + defaultSlots.reserve;
  const stopRenewed = identity.onRenewed(() => server.setSecureContext(options()));

  const slots = new StrangerSlots(defaultSlots, {
    log,
    report: (counts) =>
      deps.audit({
        event: 'strangers.turned_away',
        outcome: 'failure',
        code: 'TOO_MANY',
        target: `gateway/${deps.name}`,
        data: JSON.stringify({ ...counts, port: 'tunnel' }),
      }),
  });
  const strangers = new StrangerGuard<SlotSource>(server, deps.arrivals?.slots ?? slots, { limitMs: IDLE_LIMIT_MS });
  /** Source of each connection, for use after it has closed. */
  const sources = new WeakMap<object, string>();
  server.on('connection', (socket: Socket) => sources.set(socket, peerAddress(socket)));
  server.on('tlsClientError', (error, socket) => {
    const source = sources.get((socket as unknown as { _parent?: object })._parent ?? socket) ?? peerAddress(socket as unknown as Socket);
    refusals.refused(
      'tunnel.refused',
      source,
      new StenoError('TUNNEL_MALFORMED', `no TLS: ${(error as NodeJS.ErrnoException).code ?? 'error'}`),
    );
    socket.destroy();
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('request', (request, response) => {
    serveJoin(request, response, deps, refusals).catch((error: unknown) => {
      const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
      if (!(error instanceof StenoError)) log.error({ err: error }, 'a join failed');
      refusals.refused(request.url === '/v1/join/renew' ? 'node.renew' : 'node.join', sourceOf(request), known);
      answer(response, known);
    });
  });

  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_TUNNEL_FRAME,
    perMessageDeflate: false,
    handleProtocols: () => TUNNEL_PROTOCOL,
  });
  const pipes = new IngestPipes(deps.ingest, log);
  const browsers = new SshRelays(deps.name, { removed: (socket) => identity.removed.refuses(socket), ...deps.ssh });
  const intakes = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_UPLINK_FRAME,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(UPLINK_PROTOCOL) ? UPLINK_PROTOCOL : false),
  });
  const relays = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_RELAY_MESSAGE,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(SESSION_RELAY_PROTOCOL) ? SESSION_RELAY_PROTOCOL : false),
  });
  const relaying = new Map<WebSocket, TLSSocket>();
  const stopRemoved = identity.removed.onChange((kinds) => {
    if (kinds.has('gateway')) for (const [ws, below] of relaying) if (identity.removed.refuses(below)) ws.terminate();
  });
  /** One per node: a second ends the first. */
  const taking = new Map<string, WebSocket>();
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    if (request.url === SESSION_RELAY_PATH) {
      const peer = peerService(request.socket as TLSSocket);
      if (peer?.kind === 'gateway' && !identity.removed.refuses(request.socket as TLSSocket))
        return relays.handleUpgrade(request, socket, head, (ws) => {
          strangers.admitted(request.socket);
          relaying.set(ws, request.socket as TLSSocket);
          ws.on('close', () => relaying.delete(ws));
          deps.relayed(ws, peer.name);
        });
      const refusal = new StenoError('CERT_UNKNOWN_CA', 'only gateways bring participants');
      refusals.refused('tunnel.refused', sourceOf(request), refusal, peer?.name ?? '');
      return refuseUpgrade(socket, refusal);
    }
    if (request.url === SSH_RELAY_PATH) {
      try {
        const admitted = browsers.admit(request);
        strangers.admitted(request.socket);
        browsers.take(socket, head, admitted);
      } catch (error) {
        const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
        // The terminal belongs to another gateway; viewers ask every gateway.
        if (known.code !== 'RECONNECT_ELSEWHERE') refusals.refused('terminal.refused', sourceOf(request), known);
        refuseUpgrade(socket, known);
      }
      return;
    }
    if (request.url === INGEST_PIPE_PATH) {
      admit(request, deps).then(
        ({ node }) => {
          strangers.admitted(request.socket);
          pipes.take(node, socket, head);
        },
        (error: unknown) => {
          refusals.refused('tunnel.refused', sourceOf(request), error instanceof StenoError ? error : new StenoError('INTERNAL'));
          socket.destroy();
        },
      );
      return;
    }
    if (request.url === EVENTS_PATH) {
      admit(request, deps).then(
        ({ node }) =>
          intakes.handleUpgrade(request, socket, head, (ws) => {
            strangers.admitted(request.socket);
            taking.get(node)?.terminate();
            taking.set(node, ws);
            ws.on('close', () => taking.get(node) === ws && taking.delete(node));
            new EventIntake(ws, node, { logs: deps.eventLogs, gateway: deps.name, audit: deps.audit, log });
          }),
        (error: unknown) => {
          const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
          refusals.refused('tunnel.refused', sourceOf(request), known);
          refuseUpgrade(socket, known);
        },
      );
      return;
    }
    Promise.all([admit(request, deps), trusted.current()]).then(
      ([{ node, key }, trust]) =>
        sockets.handleUpgrade(request, socket, head, (ws) => {
          strangers.admitted(request.socket);
          if (tunnels.count >= MAX_TUNNELS) return ws.terminate();
          const source = sourceOf(request);
          let pending = 0;
          const mux: Mux = new Mux(ws, {
            side: 'gateway',
            onControl: (payload) => {
              const { id, signed } = parseTunnelJson(agentMessage, payload);
              if (pending >= MAX_PENDING) throw new StenoError('TOO_MANY', 'requests of an agent');
              pending += 1;
              deps.calls
                .signed(signed)
                .then(
                  (result) => mux.control({ kind: 'answer', id, answer: result }),
                  (error: unknown) => {
                    const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
                    mux.control({ kind: 'refusal', id, code: known.code, detail: (known.detail ?? '').slice(0, 1000) });
                  },
                )
                .finally(() => {
                  pending -= 1;
                });
            },
            onClose: (reason) => {
              tunnels.remove(node, mux);
              log.info({ node, reason }, 'a tunnel ended');
              deps.audit({
                event: 'tunnel.close',
                outcome: 'success',
                actor: `agent/${node}`,
                target: deps.name,
                node,
                source_address: source,
                reason: reason.replace(/[^ -~]/g, '?').slice(0, 256),
              });
            },
          });
          mux.control({ kind: 'welcome', version: TUNNEL_VERSION, gateway: deps.name, trust });
          tunnels.add(node, key, mux);
          log.info({ node, source }, 'a tunnel was accepted');
          deps.audit({ event: 'tunnel.open', outcome: 'success', actor: `agent/${node}`, target: deps.name, node, source_address: source });
        }),
      (error: unknown) => {
        const known = error instanceof StenoError ? error : new StenoError('INTERNAL');
        refusals.refused('tunnel.refused', sourceOf(request), known, peerService(request.socket as TLSSocket)?.name ?? '');
        refuseUpgrade(socket, known);
      },
    );
  });

  const stopWatching = deps.onChange(() => {
    const latest = snapshot();
    if (latest === null) return;
    tunnels.recheck(latest);
    browsers.recheck();
    publish();
  });

  const failed = (error: Error): void => log.error({ err: error }, 'the tunnel listener failed');
  const own = deps.arrivals === undefined ? formatHostPort(await listenAt(server, listen, failed)) : feed(server, deps.arrivals);
  return {
    address: own,
    agentAddress: listen.address ?? own,
    tunnels,
    gateways(list) {
      if (trusted.gateways(list)) publish();
    },
    async close() {
      deps.arrivals?.stop();
      stopWatching();
      stopRenewed();
      stopRemoved();
      for (const ws of relaying.keys()) ws.terminate();
      pipes.close();
      browsers.close();
      tunnels.control({ kind: 'leaving' });
      tunnels.close();
      slots.close();
      sockets.close();
      for (const ws of taking.values()) ws.terminate();
      intakes.close();
      relays.close();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

/** The trust list for nodes, signed by an authority: requested once for each change of the CAs or gateways. */
class Trusted {
  readonly #deps: Pick<TunnelListenerDeps, 'calls' | 'snapshot'>;
  #of = '';
  #gateways = '';
  #signed: Promise<SignedTrust> | undefined;

  constructor(deps: Pick<TunnelListenerDeps, 'calls' | 'snapshot'>) {
    this.#deps = deps;
  }

  /** Updates the list of gateways; returns whether it changed. Nodes are told only the list that the authority signs. */
  gateways(list: readonly string[]): boolean {
    const before = this.#gateways;
    this.#gateways = list.join(',');
    return this.#gateways !== before;
  }

  async current(): Promise<SignedTrust> {
    await this.changed();
    return this.#signed!;
  }

  /** Null if nothing changed. */
  async changed(): Promise<SignedTrust | null> {
    const snapshot = this.#deps.snapshot();
    const of = JSON.stringify([snapshot?.ssh_user_ca, snapshot?.service_ca, snapshot?.signing, this.#gateways]);
    if (this.#signed !== undefined && of === this.#of) return null;
    this.#of = of;
    const asked = this.#deps.calls.trust();
    this.#signed = asked;
    try {
      return await asked;
    } catch (error) {
      if (this.#signed === asked) this.#signed = undefined;
      throw error;
    }
  }
}

/** Which node opens a tunnel. A node that joined a moment ago may appear only in the next snapshot. */
async function admit(request: IncomingMessage, deps: TunnelListenerDeps): Promise<{ readonly node: string; readonly key: string }> {
  if (request.url !== TUNNEL_PATH && request.url !== INGEST_PIPE_PATH && request.url !== EVENTS_PATH)
    throw new StenoError('NOT_FOUND', 'the tunnel has another path');
  const socket = request.socket as TLSSocket;
  const service = peerService(socket);
  if (service === null || service.kind !== 'agent') throw new StenoError('CERT_UNKNOWN_CA', 'a tunnel needs the certificate of an agent');
  const key = keyOf(socket);
  const judge = (): boolean => {
    const node = nodeIn(deps.snapshot()?.nodes ?? [], service.name);
    // A node that the gateway dials has no tunnel and therefore no key to recognize it by; there the certificate alone
    // decides.
    return node !== undefined && (node.tunnel_key === key || (request.url === EVENTS_PATH && node.tunnel_key === undefined));
  };
  if (!judge()) {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, NEWS_MS);
      const stop = deps.onChange(() => {
        if (judge()) done();
      });
    });
  }
  if (!judge()) throw new StenoError('NODE_UNKNOWN', `${service.name}, or it has joined anew`);
  return { node: service.name, key };
}

/** In the form of a node's `tunnel_key`: SHA-256 of the SPKI. */
function keyOf(socket: TLSSocket): string {
  const { raw } = socket.getPeerCertificate();
  return createHash('sha256')
    .update(new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

async function serveJoin(request: IncomingMessage, response: ServerResponse, deps: TunnelListenerDeps, refusals: Refusals): Promise<void> {
  const source = sourceOf(request);
  const wanted = request.method === 'POST' ? request.url : undefined;
  if (wanted !== '/v1/join/challenge' && wanted !== '/v1/join' && wanted !== '/v1/join/renew')
    throw new StenoError('NOT_FOUND', 'this port serves only tunnels and joining');
  if (!refusals.mayAsk(source)) throw new StenoError('TOO_MANY', 'joins');
  const body = await read(request);
  if (wanted === '/v1/join/challenge') return send(response, 200, await deps.calls.challenge());
  if (wanted === '/v1/join/renew') {
    const renewal = signedNodeRequest.safeParse(parse(body));
    if (!renewal.success) throw new StenoError('BAD_REQUEST', 'the renewal is malformed');
    return send(response, 200, await deps.calls.signed(renewal.data));
  }
  const signed = signedJoin.safeParse(parse(body));
  if (!signed.success) throw new StenoError('BAD_REQUEST', 'the join is malformed');
  const claims = joinRequest.safeParse(parse(signed.data.request));
  if (!claims.success)
    throw new StenoError(
      'BAD_REQUEST',
      `${claims.error.issues[0]?.path.join('.') ?? ''}: ${claims.error.issues[0]?.message ?? 'invalid'}`.slice(0, 256),
    );
  const channel = (request.socket as TLSSocket).exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
  const claimed = Buffer.from(claims.data.channel, 'base64');
  if (claimed.length !== channel.length || !timingSafeEqual(claimed, channel)) {
    refusals.refused(
      'node.join',
      source,
      new StenoError('JOIN_REFUSED', 'the request was signed for another connection'),
      claims.data.name,
    );
    return answer(response, new StenoError('JOIN_REFUSED'));
  }
  const result = await deps.calls.join(signed.data, source);
  // The authority has already written an audit row for the refusal.
  if (result.kind === 'refused')
    return answer(
      response,
      new StenoError(isErrorCode(result.code) ? result.code : 'INTERNAL', result.detail === '' ? undefined : result.detail),
    );
  send(response, 200, result);
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY) throw new StenoError('TOO_LARGE', `the body exceeds ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new StenoError('BAD_REQUEST', 'the body is not JSON');
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}

function answer(response: ServerResponse, { code, detail, entry }: StenoError): void {
  if (response.headersSent) return void response.destroy();
  const body: ApiError = { error: { code, message: entry.message, fix: entry.fix, ...(detail === undefined ? {} : { detail }) } };
  response.setHeader('connection', 'close');
  send(response, entry.status, body);
}

function refuseUpgrade(socket: Duplex, { code, entry }: StenoError): void {
  socket.end(`HTTP/1.1 ${entry.status} Refused\r\nConnection: close\r\nX-Steno-Error: ${code}\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}

/** The CA in the bundle that signed the certificate: the bundle holds more than one during a CA rotation. */
function issuerOf(certificate: string, bundle: string): string {
  const leaf = new X509Certificate(certificate);
  const cas = [...bundle.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([pem]) => pem);
  return cas.find((pem) => leaf.verify(new X509Certificate(pem).publicKey)) ?? '';
}

function sourceOf(request: IncomingMessage): string {
  return peerAddress(request.socket);
}
