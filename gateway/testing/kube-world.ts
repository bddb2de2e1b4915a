/**
 * The Kubernetes listener for tests: CAs, an API server that records requests, certificates for users, and clients that send given
 * bytes unchanged. Everything listens on 127.0.0.1.
 */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Duplex } from 'node:stream';
import { createServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { JsonGeneralName, X509Certificate } from '@peculiar/x509';
import pino from 'pino';
import { WebSocket, WebSocketServer, createWebSocketStream } from 'ws';
import type { ClientOptions } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import { x509UserNames } from '#schemas/kube/user-certificate.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { emptySnapshot } from '#schemas/testing/snapshots.js';
import { listenForKubernetes } from '../kube/listener.js';
import type { KubeListener } from '../kube/listener.js';
import { Confirmations } from '../kube/requests/confirmations.js';
import type { AskConfirmation } from '../kube/requests/confirmations.js';
import { Upstreams } from '../kube/requests/upstreams.js';
import type { PodWatching } from '../kube/streams/pod-watch.js';
import { LiveSessions } from '../live/live-sessions.js';
import type { AuditEntry } from '../recorder/recorder.js';
import type { LiveSession } from '../sessions/live-session.js';
import { SessionRegistry } from '../sessions/registry.js';
import { SessionSlots } from '../sessions/slots.js';
import { observeStream } from '../streams/protocols.js';
import { LineRecorder } from './line-recorder.js';
import { SpdyEnd, spdyKey, upgradeToSpdy } from './spdy-client.js';

cryptoProvider.set(webcrypto as never);
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface Pair {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

export class TestCa {
  readonly pem: string;
  readonly #certificate: X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  static async open(name: string): Promise<TestCa> {
    const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: `CN=${name}`,
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 86_400_000),
      extensions: [new BasicConstraintsExtension(true, 0, true)],
    });
    return new TestCa(certificate, keys);
  }

  private constructor(certificate: X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
    this.pem = `${certificate.toString('pem')}\n`;
  }

  async issue(
    subject: readonly Record<string, string[]>[],
    names: readonly JsonGeneralName[],
    { seconds = 3_600, usages = [ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth] as string[] } = {},
  ): Promise<Pair> {
    const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
    const certificate = await X509CertificateGenerator.create({
      subject: [...subject],
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 120_000),
      notAfter: new Date(Date.now() + seconds * 1000),
      extensions: [new ExtendedKeyUsageExtension(usages), new SubjectAlternativeNameExtension([...names])],
    });
    const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
    return { certificate: `${certificate.toString('pem')}\n`, key: `${key}\n` };
  }
}

export type UserFacts = Partial<Pick<UserIdentity, 'traits' | 'mfa' | 'requests'>> & {
  readonly user?: string;
  readonly roles?: readonly string[];
};

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headersDistinct'];
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

export interface KubeWorld {
  readonly listener: KubeListener;
  readonly registry: SessionRegistry;
  readonly audits: AuditEntry[];
  readonly recorder: LineRecorder;
  readonly live: LiveSessions;
  /** The live session that began last. */
  session(): LiveSession | undefined;
  readonly seen: Seen[];
  readonly userCa: TestCa;
  readonly serviceCa: TestCa;
  snapshot: Snapshot;
  /** The original snapshot. */
  readonly fresh: Snapshot;
  /** The authority's answers about second factors. */
  confirmation: AskConfirmation;
  /** The API server's answer from now on. */
  answer: RequestListener;
  /** The API server's side of a stream to a container. */
  stream: (server: WebSocket, url: string) => void;
  /** The conversation with the agent of a Kubernetes node. */
  openPod: PodWatching['open'];
  /** The API server's side of a stream over SPDY/3.1. */
  spdy: (server: SpdyEnd, url: string) => void;
  /** Resolves when every recording so far is closed. */
  recorded(): Promise<void>;
  /** kubectl's side of a stream; rejects with the body of a refusal. */
  connect(who: Pair, path: string, protocols?: readonly string[]): Promise<WebSocket>;
  /** The same over SPDY/3.1, as used by kubectl before 1.31. */
  connectSpdy(who: Pair, path: string, protocol?: string, headers?: Record<string, string>): Promise<SpdyEnd>;
  /** A byte stream inside a WebSocket, with a protocol name that ws itself refuses. */
  connectTunnel(who: Pair, path: string, protocol: string): Promise<Duplex>;
  /** Publishes the current snapshot. */
  changed(): void;
  /** For the next test: snapshot and answer as they were at first, and nothing seen, audited or recorded. */
  renew(): void;
  user(facts?: UserFacts, ca?: TestCa, more?: Parameters<TestCa['issue']>[2]): Promise<Pair>;
  ask(
    who: Pair,
    path: string,
    options?: { readonly method?: string; readonly headers?: Record<string, string | string[]>; readonly body?: string },
  ): Promise<Answer>;
  /** A connection on which a test writes raw bytes. */
  raw(who: Pair): Promise<TLSSocket>;
  close(): Promise<void>;
}

export const kubeRole = (name: string, rules: readonly object[], more: object = {}): Role =>
  roleSchema.parse({ kind: 'role', name, allow: { kubernetes: rules }, ...more });

export async function openKubeWorld(): Promise<KubeWorld> {
  const [userCa, serviceCa, clusterCa] = await Promise.all(['users', 'services', 'cluster'].map((name) => TestCa.open(name)));
  const seen: Seen[] = [];
  const server = await clusterCa!.issue([{ CN: ['kube-apiserver'] }], [{ type: 'ip', value: '127.0.0.1' }]);
  const upstream = createServer({ cert: server.certificate, key: server.key }, (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({ method: request.method!, url: request.url!, headers: request.headersDistinct, body });
      world.answer(request, response);
    });
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const { port } = upstream.address() as AddressInfo;
  const own = await serviceCa!.issue([{ CN: ['gateway/gw'] }], [{ type: 'dns', value: KUBE_SERVER_NAME }]);
  const streams = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  upstream.on('upgrade', (request, socket, head) => {
    seen.push({ method: request.method!, url: request.url!, headers: request.headersDistinct, body: '' });
    if (request.url!.includes('/absent/'))
      return void socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\nContent-Type: text/plain\r\n\r\npods "absent" not found\n');
    if (request.headers.upgrade === 'SPDY/3.1') {
      const [protocol] = request.headersDistinct['x-stream-protocol-version'] ?? [];
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
      );
      return world.spdy(new SpdyEnd(socket, 'server', head, spdyKey), request.url!);
    }
    streams.handleUpgrade(request, socket, head, (server) => world.stream(server, request.url!));
  });
  const folder = mkdtempSync(join(tmpdir(), 'steno-kube-'));
  const recorder = new LineRecorder(folder);
  const closing: Promise<void>[] = [];
  const callbacks = new Set<() => void>();
  const audits: AuditEntry[] = [];
  const sessions = new Set<LiveSession>();
  const registry = new SessionRegistry({
    name: 'gw',
    now: Date.now,
    onSession: (session, begins) => void (begins ? sessions.add(session) : sessions.delete(session)),
    audit: (entry) => void audits.push(entry),
  });
  const identity = {
    tlsServerOptions: () => ({ cert: own.certificate, key: own.key, ca: serviceCa!.pem, requestCert: true, rejectUnauthorized: true }),
    onRenewed: () => () => undefined,
    renew: () => Promise.reject(new Error('its certificate has the name')),
  };
  const upstreams = new Upstreams(async () => ({
    revision: 1,
    upstream: { url: `https://127.0.0.1:${port}`, ca: clusterCa!.pem, credential: { kind: 'token', token: 'upstream-secret' } },
  }));
  const fresh: Snapshot = {
    ...emptySnapshot,
    version: 1,
    x509_user_ca: [userCa!.pem],
    roles: [kubeRole('dev', [{ groups: ['devs'] }])],
    kube_clusters: [{ name: 'east', labels: { env: 'dev' }, revision: 1 }],
  };
  const answer: RequestListener = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{"kind":"PodList"}');
  };
  const world: KubeWorld = {
    listener: undefined as never,
    registry,
    recorder,
    live: new LiveSessions({ audit: (entry) => void audits.push(entry), changed: () => undefined, now: Date.now }),
    session: () => [...sessions].at(-1),
    audits,
    seen,
    userCa: userCa!,
    serviceCa: serviceCa!,
    snapshot: fresh,
    fresh,
    confirmation: () => Promise.reject(new StenoError('AUTHORITY_UNREACHABLE')),
    answer,
    stream: (server) => server.close(),
    spdy: (server) => server.connection.destroy(),
    openPod: ({ name }) => {
      throw new StenoError('NODE_UNREACHABLE', name);
    },
    async recorded() {
      await Promise.all(closing);
    },
    connect: (who, path, protocols = ['v5.channel.k8s.io']) =>
      new Promise((resolve, reject) => {
        const { host, port: at, ...tls } = connection(world, who);
        const client = new WebSocket(`wss://${host}:${at}${path}`, [...protocols], { ...tls, perMessageDeflate: false });
        client.on('open', () => resolve(client));
        client.on('error', reject);
        client.on('unexpected-response', (_, response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () => reject(new Error(`${response.statusCode} ${text}`)));
        });
      }),
    async connectSpdy(who, path, protocol = 'v4.channel.k8s.io', headers = {}) {
      const { socket, head } = await upgradeToSpdy({ ...connection(world, who), path, headers }, protocol);
      return new SpdyEnd(socket, 'client', head, spdyKey);
    },
    async connectTunnel(who, path, protocol) {
      const request = httpsRequest({
        ...connection(world, who),
        path,
        agent: false,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': randomBytes(16).toString('base64'),
          'sec-websocket-protocol': protocol,
        },
      });
      request.end();
      const [response, socket, head] = (await once(request, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
      if (response.headers['sec-websocket-protocol'] !== protocol) throw new Error('another protocol was agreed to');
      const client = new WebSocket(null as never, undefined, { autoPong: true, closeTimeout: 2_000 } as ClientOptions);
      Object.assign(client, { _isServer: false });
      (client as unknown as { setSocket(socket: Duplex, head: Buffer, options: object): void }).setSocket(socket, head, {
        maxPayload: 1 << 22,
        allowSynchronousEvents: true,
        maxBufferedChunks: 1 << 20,
        maxFragments: 1 << 17,
      });
      return createWebSocketStream(client);
    },
    changed() {
      world.snapshot = { ...world.snapshot, version: world.snapshot.version + 1 };
      registry.recheck(world.snapshot);
      for (const callback of callbacks) callback();
    },
    renew() {
      world.snapshot = { ...fresh, version: world.snapshot.version };
      world.answer = answer;
      world.changed();
      recorder.full = false;
      seen.length = audits.length = recorder.events.length = 0;
    },
    user: (
      { user = 'ann', roles = ['dev'], traits = {}, mfa = null, requests = [] } = {},
      ca = userCa!,
      more = { usages: [ExtendedKeyUsage.clientAuth] },
    ) =>
      ca.issue(
        [...roles.map((role) => ({ O: [role] })), { CN: [user] }],
        x509UserNames({ traits, mfa, requests }).map((value) => ({ type: 'url', value })),
        more,
      ),
    ask: (who, path, { method = 'GET', headers = {}, body } = {}) =>
      new Promise((resolve, reject) => {
        const request = httpsRequest({ ...connection(world, who), path, method, headers, agent: false }, (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          response.on('end', () => resolve({ status: response.statusCode!, body: text, headers: response.headers }));
          response.on('error', reject);
        });
        request.on('error', reject);
        request.end(body);
      }),
    async raw(who) {
      const socket = connect({ ...connection(world, who) });
      await once(socket, 'secureConnect');
      return socket;
    },
    async close() {
      await world.listener.close();
      upstream.closeAllConnections();
      await new Promise<void>((resolve) => upstream.close(() => resolve()));
      await world.recorded();
      rmSync(folder, { recursive: true });
    },
  };
  Object.assign(world, {
    listener: await listenForKubernetes(
      {
        identity,
        upstreams,
        confirmations: new Confirmations({ ask: (request) => world.confirmation(request), snapshot: () => world.snapshot, now: Date.now }),
        registry,
        recorder,
        slots: new SessionSlots(
          { takePlace: async () => true, tellPlaces: async () => true },
          { run: '0123456789abcdef', snapshot: () => world.snapshot, log: pino({ level: 'silent' }) },
        ),
        observe: observeStream,
        live: world.live,
        pods: { open: (node) => world.openPod(node), events: { gateway: 'gw', address: '127.0.0.1:1' } },
        track: (recording) => void closing.push(recording),
        snapshot: () => world.snapshot,
        draining: () => false,
        onChange: (callback) => {
          callbacks.add(callback);
          return () => callbacks.delete(callback);
        },
        log: pino({ level: 'silent' }),
        now: Date.now,
      },
      { host: '127.0.0.1', port: 0 },
    ),
  });
  return world;
}

function connection({ listener, serviceCa }: Pick<KubeWorld, 'listener' | 'serviceCa'>, who: Pair) {
  const [host, port] = listener.address.split(':') as [string, string];
  return { host, port: Number(port), ca: serviceCa.pem, servername: KUBE_SERVER_NAME, cert: who.certificate, key: who.key };
}
