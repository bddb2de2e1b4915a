/**
 * The server common to all routes: limits, security headers, Host and Origin checks, and the form of refusals. Tested in
 * viewer/api/main.test.ts.
 */
import rateLimit from '@fastify/rate-limit';
import websocket from '@fastify/websocket';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { StenoError } from '#schemas/base/errors.js';
import type { ApiError } from '#schemas/endpoint/endpoint.js';
import type { Log } from '#runtime/log.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { SlotLimits } from '#runtime/http/stranger-slots.js';
import { PERMISSIONS_POLICY, checkHost, checkOrigin, securityHeaders } from './guard.js';

/** A browser opens six connections at once, and a whole office may come from one address. */
const slots: SlotLimits = { ...defaultSlots, start: 200, full: 600, perSource: 100, reserve: 200 };
const MAX_CONNECTIONS = 4096;
/** Time limit for receiving a complete request with a body of at most 4 KiB. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface ViewerRoute {
  readonly method: string;
  readonly path: string;
}

export interface ServerParts {
  readonly log: Log;
  readonly proxies: ReadonlySet<string>;
  /** The accepted values of `Host`. */
  readonly hosts: () => ReadonlySet<string>;
  /** The paths of WebSocket routes, and the size in bytes of the largest message that one of them accepts. */
  readonly sockets: { readonly paths: readonly string[]; readonly maxPayload: number };
}

export interface ViewerServer {
  readonly app: FastifyInstance;
  readonly strangers: StrangerGuard;
  readonly slots: StrangerSlots;
  /** The routes it serves. */
  readonly routes: readonly ViewerRoute[];
}

export async function makeServer({ log, proxies, hosts, sockets }: ServerParts): Promise<ViewerServer> {
  const app = fastify({
    bodyLimit: 4096,
    routerOptions: { maxParamLength: 64 },
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: 0,
    // Silent or slow strangers are disconnected within twelve seconds; responses and WebSockets have no time limit.
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 2_000 },
    trustProxy: [...proxies],
    exposeHeadRoutes: false,
  });
  const routes: ViewerRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push({ method: each, path: url });
  });
  app.server.maxConnections = MAX_CONNECTIONS;
  // A stranger is a connection that has not sent a complete request header yet; behind our own proxy there are none.
  const strangerSlots = new StrangerSlots(slots, { log });
  const strangers = new StrangerGuard(app.server, strangerSlots, { exempt: proxies });
  // Only JSON is accepted, so a form of another site cannot be posted here.
  app.removeContentTypeParser('text/plain');

  await app.register(rateLimit, { global: false });
  await app.register(websocket, { options: { maxPayload: sockets.maxPayload, perMessageDeflate: false } });
  app.addHook('onRequest', (request, reply, done) => securityHeaders(request.raw, reply.raw, () => done()));
  app.addHook('onRequest', async (request, reply) => {
    strangers.passed(request.raw.socket);
    reply.header('permissions-policy', PERMISSIONS_POLICY);
    checkHost(hosts(), request.headers.host);
    if (request.ws && !sockets.paths.includes(request.routeOptions.url ?? '')) throw new StenoError('NOT_FOUND');
    if (request.ws && request.headers.authorization === undefined) checkOrigin(request.headers.host, request.headers.origin);
    if (request.method !== 'GET' && request.method !== 'HEAD' && request.routeOptions.config.fromOtherSites !== true)
      checkOrigin(request.headers.host, request.headers.origin);
    if (request.url.startsWith('/api/')) reply.header('cache-control', 'no-store');
  });
  app.setErrorHandler((error, request, reply) => void sendError(reply, toStenoError(error, log, request)));
  app.setNotFoundHandler((_, reply) => void sendError(reply, new StenoError('NOT_FOUND')));
  return { app, strangers, slots: strangerSlots, routes };
}

export async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') throw new StenoError('PORT_TAKEN', `${host}:${port}`, { cause: error });
    throw error;
  }
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
