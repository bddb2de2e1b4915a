/**
 * viewer/api: search, replay, export and live join over HTTP, and the page that shows them.
 *
 * Every request passes Host, then for /api identity, then the handler, which asks access.ts; a socket passes Origin too, and all
 * of them before it is upgraded. Queries are parsed strictly, answers are never stored by browsers.
 * Nothing of a request but method, route and status is logged. Tested in main.test.ts.
 */
import { Readable } from 'node:stream';
import rateLimit from '@fastify/rate-limit';
import websocket from '@fastify/websocket';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { SignedStatement } from '#schemas/documents/cluster.js';
import type { ApiError, IndexProgress, Me, PublicAddresses, QueueReport, RecordingCa, SegmentIndex, SessionList } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import { encodeOpening, firstSegment } from '#schemas/opening.js';
import type { SessionOpening } from '#schemas/opening.js';
import type { SessionAction } from '#schemas/policy/role.js';
import { Access, meOf } from './access/access.js';
import { Disclosures } from './access/disclosures.js';
import { parseEndpoint } from './http/endpoint.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { SlotLimits } from '#runtime/http/stranger-slots.js';
import { openZstd } from '#runtime/zstd.js';
import { beginExport, exportRecording, exportTypes } from './export/export.js';
import { PERMISSIONS_POLICY, checkHost, checkOrigin, limited, ownHosts, securityHeaders, sourceAddress } from './http/guard.js';
import { Identities, clearedCookie, cookieToken } from './access/identity.js';
import type { Identified, IncomingFacts, RequestVerifying, ViewerAuthority } from './access/identity.js';
import { LIVE_PATH, liveRoute, liveSocket } from './live/live-route.js';
import { LiveRelay } from './live/relay.js';
import { loginRoutes } from './front/login.js';
import { connectorOf, providerLogout, samlMetadataRoute } from './front/sso.js';
import { HOOK_PATH, requestRoutes } from './front/requests.js';
import type { LoginRelay } from './front/login.js';
import type { LiveSource } from './live/relay.js';
import {
  auditQuery,
  exportQuery,
  kernelEventsQuery,
  noQuery,
  openingQuery,
  parseInput,
  parseSessionId,
  searchQuery,
  sessionsQuery,
  signInBody,
} from './http/query.js';
import { RecordingReader } from '#recordings/read/recording-reader.js';
import { search } from './search/search.js';
import { Sessions } from './sessions/sessions.js';
import type { Asking } from './sessions/sessions.js';
import { findFile, loadPage, openingOf } from './http/static.js';
import { accessUse } from './access/access-use.js';
import { METRICS_TYPE, isLocalScrape, metricsText } from './http/metrics.js';
import { statusReport } from './http/status.js';

export interface ViewerConfig {
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
  /** Folder of the built page. */
  readonly webRoot: string;
  readonly version: string;
  /** Other `host:port` values of the Host header this server is reached by, behind a proxy for instance. */
  readonly hosts?: readonly string[];
  /** How people and commands reach this Steno; `web` is the base URL of this server as they type it. */
  readonly addresses?: PublicAddresses;
  /** Addresses of proxies whose X-Forwarded-For counts. */
  readonly proxies?: readonly string[];
}

export interface ViewerDeps {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly authority: ViewerAuthority & LoginRelay;
  readonly requests: RequestVerifying;
  readonly live: LiveSource;
  /** Public key lines of every recording CA that ever counted: what a page checks recordings with. */
  readonly recordingCas: () => readonly string[];
  /** What waits in the background of the stages that this process holds. */
  readonly queues?: () => readonly QueueReport[];
  /** How far a rebuild of the event store is; null when nothing is missing. */
  readonly rebuilding?: () => IndexProgress | null;
  /** Those there are now. */
  /** `own_since` of the snapshot: what is older is not shown to them as their own; ms since 1970. */
  readonly ownSince: () => Readonly<Record<string, number>>;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
}

/** A minute. */
const SIGN_INS = { address: 20, all: 300 };
const STATEMENTS_PER_MINUTE = 20;
const EXPORTS_AT_A_TIME = 8;
/** Session time in ms of the line before the segment, as in the index it belongs to. */
const SEGMENT_START = 'x-steno-segment-start';
const sessionPath = '/api/sessions/:id';
const CLUSTER_NODES_PATH = '/cluster/nodes';
/** A user and their roles, in JSON in JSON, with signatures. */
const MAX_QUESTION = 128 * 1024;
const QUESTIONS_PER_MINUTE = 1_200;

/** A browser opens six connections at once, and a whole office may come from one address. */
const slots: SlotLimits = { ...defaultSlots, start: 200, full: 600, perSource: 100, reserve: 200 };
const MAX_CONNECTIONS = 4096;
/** For a whole request to arrive, which is at most 4 KiB of body. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface ViewerRoute {
  readonly method: string;
  readonly path: string;
}

export interface RunningViewer extends Running {
  /** What it answers. */
  readonly routes: readonly ViewerRoute[];
}

export async function startViewer(config: ViewerConfig, deps: ViewerDeps): Promise<RunningViewer> {
  const { objects, events, log, clock } = deps;
  const [zstd, page] = await Promise.all([openZstd(), loadPage(config.webRoot)]);
  const { host, port } = parseEndpoint(config.listen);
  const proxies = new Set(config.proxies ?? []);
  const access = new Access(deps.ownSince);
  const identities = new Identities(deps.authority, deps.requests, access, clock, config.addresses?.web.startsWith('https:') ?? false);
  const disclosures = new Disclosures(deps.authority, clock);
  const sessions = new Sessions(events, access, disclosures, clock);
  const reader = new RecordingReader(objects, zstd);
  const relay = new LiveRelay(deps.live, log);
  const stopRemoved = deps.live.onRemoved?.(() => relay.reconnect());
  let hosts: ReadonlySet<string> = new Set();
  const stopWatching = deps.authority.onChange(() => {
    identities.forget();
    relay.recheck();
  });
  const queues = deps.queues ?? (() => []);
  let exporting = 0;

  const app = fastify({
    bodyLimit: 4096,
    routerOptions: { maxParamLength: 64 },
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: 0,
    // Strangers that say nothing or too slowly are gone within twelve seconds; answers and sockets take what they take.
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 2_000 },
    trustProxy: [...proxies],
    exposeHeadRoutes: false,
  });
  const routes: ViewerRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push({ method: each, path: url });
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  // A stranger is a connection that has sent no whole request head yet; behind a proxy of ours there are none.
  const strangers = new StrangerGuard(app.server, new StrangerSlots(slots, { log }), { exempt: proxies });
  // Only JSON is understood, so no form of another site can be posted here.
  app.removeContentTypeParser('text/plain');

  await app.register(rateLimit, { global: false });
  await app.register(websocket, { options: liveSocket });
  app.addHook('onRequest', (request, reply, done) => securityHeaders(request.raw, reply.raw, () => done()));
  app.addHook('onRequest', async (request, reply) => {
    strangers.passed(request.raw.socket);
    reply.header('permissions-policy', PERMISSIONS_POLICY);
    checkHost(hosts, request.headers.host);
    if (request.ws && request.routeOptions.url !== LIVE_PATH) throw new StenoError('NOT_FOUND');
    if (request.ws && request.headers.authorization === undefined) checkOrigin(request.headers.host, request.headers.origin);
    // A provider of single sign-on sends its answer by a form of its own; what it may do is in login/routes.ts.
    const fromProvider = request.routeOptions.url === '/api/login/callback/:name';
    // What a webhook answers carries no cookie; its signature is all that counts, and the authority checks it.
    const fromWebhook = request.routeOptions.url === HOOK_PATH;
    // Nor does a question of another cluster.
    const fromCluster = request.routeOptions.url === CLUSTER_NODES_PATH;
    if (request.method !== 'GET' && request.method !== 'HEAD' && !fromProvider && !fromWebhook && !fromCluster)
      checkOrigin(request.headers.host, request.headers.origin);
    if (request.url.startsWith('/api/')) reply.header('cache-control', 'no-store');
  });
  app.setErrorHandler((error, request, reply) => void sendError(reply, toStenoError(error, log, request)));
  app.setNotFoundHandler((_, reply) => void sendError(reply, new StenoError('NOT_FOUND')));

  /** Who may not see all sessions is not told how many there are. */
  const rebuildingFor = ({ view }: Identified): IndexProgress | null => {
    const progress = deps.rebuilding?.() ?? null;
    return progress === null || view === 'all' ? progress : { ...progress, done: 0, total: 0 };
  };
  const identify = async (request: FastifyRequest): Promise<Identified> => {
    const identity = await identities.identify(requestFacts(request));
    strangers.admitted(request.raw.socket);
    return identity;
  };

  // For whoever trusts this cluster: public keys and addresses, signed. No identity is asked, the other side has none here.
  app.get(
    '/cluster',
    { onRequest: limited(app, { address: STATEMENTS_PER_MINUTE }) },
    async (_request, reply): Promise<SignedStatement> => {
      void reply.header('cache-control', 'no-store');
      return deps.authority.clusterStatement();
    },
  );

  // Another cluster asks for one of its users; what it may know is for the authority, by the signature.
  app.post(CLUSTER_NODES_PATH, { bodyLimit: MAX_QUESTION, onRequest: limited(app, { all: QUESTIONS_PER_MINUTE }) }, (request) =>
    deps.authority.relay({
      method: 'POST',
      target: '/v1/cluster-nodes',
      body: request.body ?? {},
      client: sourceAddress(request),
    }),
  );

  app.post('/api/sign-in', { onRequest: limited(app, SIGN_INS) }, async (request, reply): Promise<Me> => {
    const { identity, cookie } = await identities.signIn(parseInput(signInBody, request.body).token, sourceAddress(request));
    void reply.header('set-cookie', cookie);
    return meOf(identity);
  });
  app.post('/api/sign-out', async (request, reply) => {
    const client = sourceAddress(request);
    const via = await connectorOf(deps.authority, request.headers.cookie, identities.secure);
    await identities.signOut(request.headers.cookie, client);
    void reply.header('set-cookie', clearedCookie(identities.secure));
    return { next: via === null ? null : await providerLogout(deps.authority, via, client) };
  });
  samlMetadataRoute(app, deps.authority);
  requestRoutes(app, { authority: deps.authority, secure: identities.secure });
  loginRoutes(app, {
    authority: deps.authority,
    identities,
    addresses: () => {
      if (config.addresses === undefined) throw new StenoError('NOT_FOUND', 'this server was not told where Steno is reached');
      return config.addresses;
    },
  });
  app.get('/api/me', async (request): Promise<Me> => {
    return meOf(await identify(request));
  });
  app.get('/api/recording-ca', async (request): Promise<RecordingCa> => {
    parseInput(noQuery, request.query);
    await identify(request);
    return { keys: deps.recordingCas() };
  });
  app.get('/api/sessions', async (request): Promise<SessionList> => {
    const viewer = await identify(request);
    const list = await sessions.list(viewer, parseInput(sessionsQuery, request.query));
    const incomplete = rebuildingFor(viewer);
    return incomplete === null ? list : { ...list, incomplete };
  });
  app.get('/api/search', async (request) => {
    const [viewer, query] = [await identify(request), parseInput(searchQuery, request.query)];
    return disclosures.ofSearch(viewer, sourceAddress(request), query, () => search({ events, access }, viewer, query));
  });
  app.get('/api/audit', async (request) => {
    const { rows, next } = await sessions.audit(await identify(request), parseInput(auditQuery, request.query));
    return { rows, next };
  });
  app.get('/api/access-use', async (request) => accessUse(events, await identify(request), parseInput(noQuery, request.query)));
  app.get('/api/status', async (request) => {
    const viewer = await identify(request);
    return statusReport(config.version, viewer, events, objects, {
      visible: access.visible(viewer, 'list'),
      queues: queues(),
      rebuilding: rebuildingFor(viewer),
    });
  });
  app.get('/metrics', async (request, reply) => {
    parseInput(noQuery, request.query);
    if (!isLocalScrape(request.raw)) throw new StenoError('NOT_FOUND');
    return reply.type(METRICS_TYPE).send(metricsText(queues(), strangers.slots.turnedAway));
  });

  const asking = async (request: FastifyRequest, action: SessionAction, format?: string): Promise<Asking> => ({
    viewer: await identify(request),
    action,
    source: sourceAddress(request),
    ...(format === undefined ? {} : { format }),
  });
  const sessionOf = async (request: FastifyRequest, action: SessionAction, format?: string) =>
    sessions.row(await asking(request, action, format), parseSessionId((request.params as { id: string }).id));
  app.get(sessionPath, async (request) => {
    parseInput(noQuery, request.query);
    return sessions.info(await sessionOf(request, 'list'));
  });
  app.get(`${sessionPath}/opening`, async (request, reply) => {
    const { at } = parseInput(openingQuery, request.query);
    const viewer = await identify(request);
    const row = await sessions.opened({ viewer, source: sourceAddress(request) }, parseSessionId((request.params as { id: string }).id));
    const { index, n, lines } = await reader.opening(row.session, row.started_at, ({ segments }) =>
      firstSegment(segments, row.state === 'live', at ?? null),
    );
    const opening: SessionOpening = { me: meOf(viewer), session: sessions.info(row), index: sessions.segments(row, index), first: n };
    return reply.type('text/plain; charset=utf-8').send(asBuffer(encodeOpening(opening, lines)));
  });
  app.get(`${sessionPath}/segments`, async (request): Promise<SegmentIndex> => {
    parseInput(noQuery, request.query);
    const row = await sessionOf(request, 'view');
    return sessions.segmentIndex(row, await reader.index(row.session, row.started_at));
  });
  app.get(`${sessionPath}/segments/:n`, async (request, reply) => {
    const { id, n } = request.params as { id: string; n: string };
    const row = await sessions.place(await asking(request, 'view'), parseSessionId(id));
    if (!/^\d{1,7}$/.test(n)) throw new StenoError('NOT_FOUND');
    const { start, lines } = await reader.segment(row.session, row.started_at, Number(n));
    // Sealing numbers segments anew: who holds an older index sees it by the start.
    return reply.header(SEGMENT_START, start).type('text/plain; charset=utf-8').send(asBuffer(lines));
  });
  app.get(`${sessionPath}/facts`, async (request) => {
    parseInput(noQuery, request.query);
    return sessions.facts((await sessionOf(request, 'view')).session);
  });
  app.get(`${sessionPath}/events`, async (request) => {
    const query = parseInput(kernelEventsQuery, request.query);
    return sessions.kernelEvents((await sessionOf(request, 'view')).session, query);
  });
  app.get(`${sessionPath}/export`, async (request, reply) => {
    const { format } = parseInput(exportQuery, request.query);
    const row = await sessionOf(request, 'export', format);
    if (exporting >= EXPORTS_AT_A_TIME) throw new StenoError('TOO_MANY', 'exports at a time');
    exporting += 1;
    const ended = (): void => void (exporting -= 1);
    const source = await beginExport(async () => {
      const index = await reader.index(row.session, row.started_at);
      if (index === null) throw new StenoError('NOT_FOUND', 'nothing of this recording is stored yet');
      return exportRecording({ objects, events, zstd, reader, sessions }, row, index, format);
    }).catch((error: unknown) => {
      ended();
      throw error;
    });
    const stream = Readable.from(source, { objectMode: false });
    stream.once('close', ended);
    stream.once('error', (error) => log.error({ err: error, session: row.session }, 'export failed'));
    return reply.header('content-disposition', `attachment; filename="${row.session}.${format}"`).type(exportTypes[format]).send(stream);
  });
  liveRoute(app, { sessions, relay, identify, clock });
  app.get('/*', (request, reply) => {
    const file = request.url.startsWith('/api') ? undefined : findFile(page, request.url.split('?', 1)[0]!);
    if (file === undefined) throw new StenoError('NOT_FOUND');
    const ahead = cookieToken(request.headers.cookie, identities.secure) === null ? null : openingOf(request.url);
    if (ahead !== null) void reply.header('link', `<${ahead}>; rel=preload; as=fetch; crossorigin=anonymous`);
    void reply.type(file.type).header('cache-control', file.cacheControl).header('etag', file.etag).header('vary', 'accept-encoding');
    if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
    if (file.gzip !== null && /\bgzip\b/.test(request.headers['accept-encoding'] ?? ''))
      return reply.header('content-encoding', 'gzip').send(file.gzip);
    return reply.send(file.bytes);
  });

  await listen(app, host, port);
  const address = app.server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  hosts = ownHosts(host, actual, [
    ...(config.hosts ?? []),
    ...(config.addresses === undefined ? [] : [new URL(config.addresses.web).host]),
  ]);
  return {
    addresses: { web: `${host.includes(':') ? `[${host}]` : host}:${actual}` },
    routes,
    async close() {
      stopWatching();
      stopRemoved?.();
      relay.close();
      strangers.slots.close();
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** The same bytes, as what fastify sends. */
function asBuffer({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new StenoError('PORT_TAKEN', `${host}:${port}`, { cause: error });
    throw error;
  }
}

function requestFacts(request: FastifyRequest): IncomingFacts {
  return {
    method: request.method,
    target: request.url,
    authorization: request.headers.authorization,
    cookie: request.headers.cookie,
    sourceAddress: sourceAddress(request),
  };
}

function toStenoError(error: unknown, log: Log, request: FastifyRequest): StenoError {
  if (error instanceof StenoError) {
    if (error.entry.status >= 500) log.warn({ err: error, route: request.routeOptions.url }, 'request failed');
    return error;
  }
  const status = (error as { statusCode?: unknown }).statusCode;
  if (status === 413) return new StenoError('TOO_LARGE');
  if (typeof status === 'number' && status >= 400 && status < 500) return new StenoError('BAD_REQUEST');
  log.error({ err: error, route: request.routeOptions.url }, 'request failed unexpectedly');
  return new StenoError('INTERNAL');
}

function bodyOf({ code, detail, entry }: StenoError): ApiError {
  return { error: { code, message: entry.message, fix: entry.fix, ...(detail === undefined ? {} : { detail }) } };
}

function sendError(reply: FastifyReply, error: StenoError): FastifyReply {
  return reply.code(error.entry.status).type('application/json; charset=utf-8').header('cache-control', 'no-store').send(bodyOf(error));
}
