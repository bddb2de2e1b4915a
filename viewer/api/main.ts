/**
 * viewer/api: search, replay, export and live join over HTTP, and the page that shows them.
 *
 * Every request passes the Host check, under /api the identity check, then its handler, which asks access.ts; a WebSocket request also
 * passes the Origin check, and all checks come before the upgrade. Queries are parsed strictly; browsers are told never to store
 * answers. Of a request only method, route and status are logged. Tested in main.test.ts.
 */
import type { FastifyRequest } from 'fastify';
import type { PublicAddresses } from '#schemas/api/front/sign-in.js';
import { MAX_TERMINAL_MESSAGE, openTerminal } from '#schemas/api/front/terminal.js';
import type { IndexProgress, QueueReport } from '#schemas/api/recordings/status.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { openZstd } from '#runtime/zstd.js';
import { RecordingReader } from '#recordings/read/recording-reader.js';
import { openPicturePainter } from '#recordings/render/picture-png.js';
import type { PicturePainter } from '#recordings/render/picture-png.js';
import { Access } from './access/access.js';
import type { Viewer } from './access/access.js';
import { Disclosures } from './access/disclosures.js';
import { Identities, cookieToken } from './access/identity.js';
import type { Identified, IncomingFacts, RequestVerifying, ViewerAuthority } from './access/identity.js';
import { findingAndCaseRoutes } from './cases/routes.js';
import { exportRoutes } from './export/routes.js';
import { frontRoutes } from './front/front.js';
import { patternRoutes } from './patterns/routes.js';
import { ownHosts, sourceAddress } from './http/guard.js';
import { pageRoute } from './http/page-route.js';
import { receivedBody, serving } from './http/serve.js';
import { listen, makeServer } from './http/server.js';
import type { ViewerRoute } from './http/server.js';
import { statusRoutes } from './http/status-routes.js';
import type { Analysis } from '#runtime/service/analysis-metrics.js';
import { huntRoutes } from './hunts/routes.js';
import type { Hunter } from './hunts/routes.js';
import { LIVE_PATH, liveRoute } from './live/live-route.js';
import type { LiveSource } from './live/live-route.js';
import { ScheduledSearches, searchRoutes } from './search/routes.js';
import { sessionRoutes } from './sessions/routes.js';
import { LivePeople, Sessions } from './sessions/sessions.js';
import { terminalRoute } from './terminal/terminal-route.js';
import type { GatewaySource } from './terminal/terminal-route.js';

export interface ViewerConfig {
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
  /** Folder of the built page. */
  readonly webRoot: string;
  readonly version: string;
  /** Other `host:port` values of the Host header at which this server is reached, for example behind a proxy. */
  readonly hosts?: readonly string[];
  /** The addresses at which users and commands reach this Steno; `web` is the base URL of this server as users type it. */
  readonly addresses?: PublicAddresses;
  /** Addresses of proxies whose X-Forwarded-For is trusted. */
  readonly proxies?: readonly string[];
}

export interface ViewerDeps {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  readonly authority: ViewerAuthority;
  readonly requests: RequestVerifying;
  readonly live: LiveSource;
  /** Address of the gateway for browsers' terminals; omitted if there is no gateway. */
  readonly gateways?: GatewaySource;
  /** Public key lines of every recording CA, including retired ones: an exported page checks recordings with them. */
  readonly recordingCas: () => readonly string[];
  /** Background queues of the stages in this process. */
  readonly queues?: () => readonly QueueReport[];
  /** Set when an analyzer runs in the same process. */
  readonly analysis?: () => Analysis | null;
  /** Progress of a rebuild of the event store; null if nothing is missing. */
  readonly rebuilding?: () => IndexProgress | null;
  /** `own_since` of the snapshot, in ms since 1970: older recordings are not treated as the user's own. */
  readonly ownSince: () => Readonly<Record<string, number>>;
  /** Searches stored events for matches of rules; omitted if hunts are not available. */
  readonly hunter?: Hunter;
  /** For tests: checks every answer against its endpoint's declaration. */
  readonly checkAnswers?: boolean;
  /** Whether this viewer runs the scheduled searches that the authority hands out. */
  readonly scheduled?: boolean;
  readonly log: Log;
  /** ms since 1970. */
  readonly clock: () => number;
  /** If omitted, the viewer creates its own. Closed with the viewer. */
  readonly painter?: PicturePainter;
}

export interface RunningViewer extends Running {
  /** The routes it serves. */
  readonly routes: readonly ViewerRoute[];
}

export async function startViewer(config: ViewerConfig, deps: ViewerDeps): Promise<RunningViewer> {
  const { objects, events, authority, log, clock } = deps;
  const zstd = await openZstd();
  const { host, port } = requireHostPort(config.listen);
  const access = new Access(deps.ownSince);
  const identities = new Identities(authority, deps.requests, access, clock, config.addresses?.web.startsWith('https:') ?? false);
  const disclosures = new Disclosures(authority, clock);
  const sessions = new Sessions(events, access, disclosures, new LivePeople(authority, log), clock);
  const reader = new RecordingReader(objects, zstd);
  const queues = deps.queues ?? (() => []);
  let hosts: ReadonlySet<string> = new Set();
  const { app, strangers, slots, routes } = await makeServer({
    log,
    proxies: new Set(config.proxies ?? []),
    hosts: () => hosts,
    sockets: { paths: [LIVE_PATH, openTerminal.path], maxPayload: MAX_TERMINAL_MESSAGE },
  });
  const identify = async (request: FastifyRequest): Promise<Identified> => {
    const identity = await identities.identify(requestFacts(request));
    strangers.admitted(request.raw.socket);
    return identity;
  };
  /** Users who may not see all sessions are not told how many there are. */
  const rebuildingFor = ({ view }: Viewer): IndexProgress | null => {
    const progress = deps.rebuilding?.() ?? null;
    return progress === null || view === 'all' ? progress : { ...progress, done: 0, total: 0 };
  };
  const addresses = (): PublicAddresses => {
    if (config.addresses === undefined) throw new StenoError('NOT_FOUND', 'this server was not told where Steno is reached');
    return config.addresses;
  };

  const serve = serving(app, { identify, checkAnswers: deps.checkAnswers ?? false });
  await frontRoutes(serve, { authority, identities, addresses });
  sessionRoutes(serve, { events, clock, sessions, reader, rebuildingFor });
  searchRoutes(serve, { events, access, disclosures, sessions, log, clock });
  findingAndCaseRoutes(serve, { authority, events, access, sessions, reader, clock });
  patternRoutes(serve, { events, access, disclosures, sessions, clock });
  huntRoutes(serve, { hunter: deps.hunter, events, access, disclosures, log, clock });
  const { webRoot, version } = config;
  const painter = deps.painter ?? openPicturePainter();
  const { recordingCas } = deps;
  exportRoutes(serve, { objects, events, zstd, reader, sessions, painter, log, webRoot, version, recordingCas, clock });
  const relay = liveRoute(app, { sessions, source: deps.live, log, identify, clock });
  const stopRemoved = deps.live.onRemoved?.(() => relay.reconnect());
  const terminals = terminalRoute(app, { gateways: deps.gateways, identify, log, clock });
  statusRoutes(serve, {
    ...{ version: config.version, events, objects, access, queues, rebuildingFor },
    recordingCas: deps.recordingCas,
    turnedAway: () => slots.turnedAway,
    analysis: deps.analysis ?? (() => null),
  });
  await pageRoute(app, webRoot, (cookie) => cookieToken(cookie, identities.secure) !== null);
  const scheduled = new ScheduledSearches({ events, access, send: authority.relaying({ client: '' }), log, clock });
  const stopWatching = authority.onChange(() => {
    identities.forget();
    relay.recheck();
    terminals.recheck();
  });

  await listen(app, host, port);
  if (deps.scheduled === true) scheduled.start();
  const address = app.server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  hosts = ownHosts(host, actual, [
    ...(config.hosts ?? []),
    ...(config.addresses === undefined ? [] : [new URL(config.addresses.web).host]),
  ]);
  return {
    addresses: { web: formatHostPort({ host, port: actual }) },
    routes,
    async close() {
      stopWatching();
      await scheduled.close();
      stopRemoved?.();
      relay.close();
      terminals.close();
      slots.close();
      app.server.closeAllConnections();
      await app.close();
      await painter.close();
    },
  };
}

function requestFacts(request: FastifyRequest): IncomingFacts {
  return {
    method: request.method,
    target: request.url,
    authorization: request.headers.authorization,
    cookie: request.headers.cookie,
    sourceAddress: sourceAddress(request),
    body: receivedBody(request),
  };
}
