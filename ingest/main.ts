/**
 * Ingest: accepts uplinks, writes to the stores, acknowledges, and passes live sessions on to viewers.
 *
 *   wss /uplink                        peers of kind gateway (sessions and events), authority (events), agent (kernel events)
 *   wss /live?session=ID&after=BLOCK   peers of kind viewer
 *   wss /rows                          peers of kind analyzer
 *
 * All state is in the stores or in a spool, so the process can be killed at any moment. Tested in main.test.ts.
 */
import { createServer } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Server, TLSSocket, TlsOptions } from 'node:tls';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Snapshot } from '#schemas/snapshot.js';
import type { QueueReport } from '#schemas/api/recordings/status.js';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import { FEED_PATH, feedCloses, parseFeedRequest } from '#schemas/feed.js';
import { ROW_FEED_PATH, parseRowsWanted } from '#schemas/row-feed.js';
import type { ServiceKind } from '#schemas/base/identity.js';
import { MAX_UPLINK_FRAME, UPLINK_PROTOCOL } from '#schemas/uplink.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { peerService } from '#runtime/service/identity.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { StrangerSlots, serviceSlots } from '#runtime/http/stranger-slots.js';
import { openZstd } from '#runtime/zstd.js';
import type { EventStore } from '#stores/events/contract.js';
import type { Alone } from '#stores/leases/keeper.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { Backlog } from './writing/backlog.js';
import { KernelEvents } from './uplink/kernel-events.js';
import { follow } from './feed/follower.js';
import { RowFeed } from './feed/row-feed.js';
import { RowBatch } from './writing/row-batch.js';
import { Sealer } from './sealing/sealer.js';
import type { Compress } from './sealing/sealer.js';
import { StoreRetry } from '#stores/store-retry.js';
import { UplinkConnection, WriterTable } from './uplink/connection.js';
import type { UplinkParts } from './uplink/connection.js';

export interface IngestConfig {
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
  /** Whether sealed sessions are repacked; false for buckets under Object Lock. */
  readonly repack?: boolean;
}

export interface IngestParts {
  /** `ServiceIdentity.tlsServerOptions()`: must demand and check client certificates. */
  readonly tls: TlsOptions;
  /** `ServiceIdentity.guard`: rejects other kinds of services early and keeps the server's certificate fresh. */
  readonly guard: (server: Server, kinds: readonly ServiceKind[]) => void;
  readonly objects: ObjectStore;
  readonly events: EventStore;
  /** Only the public keys of the recording CA are read. */
  readonly snapshot: () => Pick<Snapshot, 'recording_ca' | 'recording_ca_retired'>;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  /** For sealing; without it, frames are compressed in this thread, up to 3 s each. */
  readonly compress?: Compress;
  /** Where several ingests share the stores: seals each session under a lease (`stores/leases/keeper.ts`). */
  readonly alone?: Alone;
  /** Delays between two attempts at a store, in ms. */
  readonly retry?: { readonly firstWait: number; readonly longestWait: number };
  /** Delay between the starts of two inserts of rows, in ms; `BATCH_INTERVAL_MS` if omitted. */
  readonly batchInterval?: number;
}

const KINDS: readonly ServiceKind[] = ['gateway', 'authority', 'viewer', 'analyzer', 'agent'];
const PING_MS = 20_000;
const SLEEP_MS = 30_000;
/** Output becomes searchable within this time plus one insert. */
const BATCH_INTERVAL_MS = 150;
const MAX_CONNECTIONS = 1_000;
/** Time limit for a connection to show a service certificate. */
const STRANGER_MS = 15_000;

/** Beyond what every stage reports: the state shown by `steno status`, the page and metrics. */
export interface RunningIngest extends Running {
  queues(): readonly QueueReport[];
}

export async function startIngest(config: IngestConfig, parts: IngestParts): Promise<RunningIngest> {
  const { log, clock } = parts;
  const zstd = await openZstd();
  const outage = (store: string): StoreRetry =>
    new StoreRetry({
      firstWait: 50,
      longestWait: 5_000,
      ...parts.retry,
      onOutage: (error) => {
        log.error({ store, err: error }, 'the store does not answer; nothing is acknowledged until it does');
        const id = `store ${store} ${clock()}`;
        void batch
          .add({
            id,
            audit: [
              {
                id,
                at: clock(),
                event: 'store.unavailable',
                actor: 'ingest',
                target: store,
                outcome: 'failure',
                code: 'STORE_UNAVAILABLE',
                reason: '',
                source_address: '',
                session: '',
                node: '',
                login: '',
                data: '{}',
              },
            ],
          })
          .catch(() => undefined);
      },
      onRecovery: () => log.info({ store }, 'the store answers again'),
    });
  const eventRetry = outage('events');
  const objectRetry = outage('objects');
  const backlogs = {
    sealing: new Backlog('sealing', 'sessions', clock),
    indexing: new Backlog('indexing', 'bytes', clock),
    storing: new Backlog('storing', 'bytes', clock),
    rows: new Backlog('rows', 'rows', clock),
    kernel: new Backlog('kernel', 'batches', clock),
  };
  const connections = new Set<UplinkConnection>();
  const rowFeed = new RowFeed(undefined, (on) => {
    for (const connection of connections) connection.followed(on);
  });
  const batch: RowBatch = new RowBatch(parts.events, eventRetry, parts.batchInterval ?? BATCH_INTERVAL_MS, backlogs.rows, (rows) =>
    rowFeed.publish(rows),
  );
  // Recordings signed before their CA key was retired are still checked and sealed.
  const trusted = (): readonly string[] => [...parts.snapshot().recording_ca, ...parts.snapshot().recording_ca_retired];
  const sealer = new Sealer({
    objects: parts.objects,
    events: parts.events,
    zstd,
    batch,
    objectRetry,
    eventRetry,
    log,
    clock,
    repack: config.repack ?? true,
    backlog: backlogs.sealing,
    ...(parts.alone === undefined ? {} : { alone: parts.alone }),
    compress: parts.compress ?? ((content, level) => Promise.resolve(zstd.compress(content, level))),
    trusted,
  });
  const writers = new WriterTable();
  const kernel = new KernelEvents({
    events: parts.events,
    objects: parts.objects,
    logged: (session) => writers.hasEventLog(session),
    batch,
    clock,
  });
  const uplinkParts: UplinkParts = {
    kernel,
    objects: parts.objects,
    events: parts.events,
    zstd,
    batch,
    objectRetry,
    eventRetry,
    log,
    clock,
    writers,
    indexing: backlogs.indexing,
    storing: backlogs.storing,
    kernelBacklog: backlogs.kernel,
    trusted,
    admits: () => parts.snapshot().recording_ca,
    onClosed: (session) => sealer.add(session),
    followed: () => rowFeed.followed,
    onDraft: (events) => rowFeed.publish({ events, screen: [], sessions: [] }),
  };
  const followers = new Set<WebSocket>();

  const server = createServer({
    ...parts.tls,
    handshakeTimeout: 10_000,
    headersTimeout: 5_000,
    requestTimeout: 5_000,
    connectionsCheckingInterval: 2_000,
  });
  const slots = new StrangerSlots(serviceSlots, { log });
  const strangers = new StrangerGuard(server, slots, { limitMs: STRANGER_MS });
  server.maxConnections = MAX_CONNECTIONS + serviceSlots.full + serviceSlots.reserve;
  parts.guard(server, KINDS);
  server.on('request', (_request, response) => response.writeHead(426).end());
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_UPLINK_FRAME,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(UPLINK_PROTOCOL) ? UPLINK_PROTOCOL : false),
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const peer = peerService(request.socket as TLSSocket);
    const url = new URL(request.url ?? '/', 'https://ingest');
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    const refuse = (status: string): void => {
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    };
    if (peer === null) return refuse('401 Unauthorized');
    strangers.admitted(request.socket);
    if (!offered.includes(UPLINK_PROTOCOL)) return refuse('400 Bad Request');
    if (url.pathname === '/uplink' && (peer.kind === 'gateway' || peer.kind === 'authority' || peer.kind === 'agent')) {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        keepAlive(ws);
        const connection = new UplinkConnection(ws, peer, uplinkParts);
        connections.add(connection);
        void connection.done.then(() => connections.delete(connection));
      });
      return;
    }
    if (url.pathname === ROW_FEED_PATH && peer.kind === 'analyzer') {
      const wanted = parseRowsWanted(url);
      if (wanted === null) return refuse('400 Bad Request');
      sockets.handleUpgrade(request, socket, head, (ws) => {
        keepAlive(ws);
        rowFeed.add(ws, batch.pending(), wanted);
      });
      return;
    }
    if (url.pathname !== FEED_PATH || peer.kind !== 'viewer') return refuse('403 Forbidden');
    const feed = parseFeedRequest(url.searchParams);
    if (feed === null) return refuse('400 Bad Request');
    sockets.handleUpgrade(request, socket, head, (ws) => {
      keepAlive(ws);
      followers.add(ws);
      ws.on('close', () => followers.delete(ws));
      ws.on('error', () => undefined);
      // Followers may only listen.
      ws.on('message', () => ws.close(feedCloses.misuse));
      const writer = writers.get(feed.session);
      if (writer === null) return ws.close(feedCloses.away);
      follow(ws, uplinkParts, writer, feed).catch((error: unknown) => {
        log.warn({ session: feed.session, err: error }, 'a live feed failed');
        ws.close(feedCloses.away);
      });
    });
  });

  const addresses = await listen(server, config.listen, log);
  const sleeper = setInterval(() => {
    for (const writer of writers.all()) if (performance.now() - writer.touched > SLEEP_MS) writer.sleep();
  }, SLEEP_MS / 2);
  sleeper.unref();
  sealer.resume();

  return {
    addresses: { uplink: addresses },
    queues: () => Object.values(backlogs).map((backlog) => backlog.report()),
    async close() {
      clearInterval(sleeper);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const ws of followers) ws.close(feedCloses.away);
      rowFeed.close();
      const gone = Promise.all([...connections].map((connection) => connection.done));
      for (const connection of connections) connection.close();
      slots.close();
      kernel.close();
      eventRetry.close();
      objectRetry.close();
      await gone;
      for (const ws of followers) ws.terminate();
      await sealer.close();
      await batch.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Resolves with the configured host, because the server's certificate names it, and the port that was bound. */
async function listen(server: Server, address: string, log: Log): Promise<string> {
  const at = requireHostPort(address);
  const { port } = await listenAt(server, at, (error) => log.error({ err: error }, 'the listener failed'));
  return formatHostPort({ host: at.host, port });
}

/** Half-open connections end after two pings without an answer. */
function keepAlive(ws: WebSocket): void {
  let answered = true;
  const timer = setInterval(() => {
    if (!answered) return ws.terminate();
    answered = false;
    ws.ping();
  }, PING_MS);
  timer.unref();
  ws.on('pong', () => {
    answered = true;
  });
  // A paused socket does not read pongs; frames count as a sign of life too.
  ws.on('message', () => {
    answered = true;
  });
  ws.on('close', () => clearInterval(timer));
}
