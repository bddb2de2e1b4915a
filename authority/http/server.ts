/**
 * The authority's HTTP: turns a table of routes into two servers, one on the owner's socket and one on TLS.
 *
 * For each request, in this order: limits (256 KiB, 10 s), identification of the caller (owner by socket, service by mutual
 * TLS, user by signed request), whether the route admits the caller, then validation of the body, where unknown fields are
 * errors. Refusals are audited and answered as `ApiError`; unexpected errors are logged and answered as INTERNAL without
 * detail. Tested in ../app.test.ts.
 */
import { createServer } from 'node:http';
import { isIP } from 'node:net';
import { createServer as createTlsServer } from 'node:https';
import type { Server, Socket } from 'node:net';
import type { Server as TlsServer, TLSSocket, TlsOptions } from 'node:tls';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { checkAnswer } from '#schemas/endpoint/answer-check.js';
import { CLIENT_ADDRESS_HEADER } from '#schemas/endpoint/endpoint.js';
import type { Admits, ApiError, Endpoint } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { peerAddress } from '#schemas/base/ip-address.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { administersEverything, mayAdminister } from '#schemas/policy/administration.js';
import type { ResourceKind, ResourceVerb } from '#schemas/policy/role.js';
import type { Log } from '#runtime/log.js';
import type { Caller as UserCaller, RequestVerifier } from '#runtime/http/request-auth.js';
import { peerService } from '#runtime/service/identity.js';
import { channelBinding } from '#runtime/service/pinned-tls.js';
import { StrangerGuard } from '#runtime/http/stranger-guard.js';
import { StrangerSlots, serviceSlots } from '#runtime/http/stranger-slots.js';
import { isStoreFailure } from '#stores/state/transaction.js';
import type { Caller as AuditCaller } from '../records/audit.js';

export const MAX_BODY = 256 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** Time limit for an unauthenticated connection, in ms. */
const STRANGER_MS = 20_000;
const MAX_CONNECTIONS = 4096;

export type Principal =
  /** Not identified: for routes that admit `stranger`, which check the body themselves. */
  | { readonly kind: 'stranger' }
  | { readonly kind: 'owner'; readonly user: string }
  | { readonly kind: 'service'; readonly service: ServiceName }
  | ({ readonly kind: 'user' } & UserCaller);

export interface Context<Body> {
  readonly principal: Principal;
  readonly caller: AuditCaller;
  readonly body: Body;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** For relayed calls: audit rows name the actual caller from here on. */
  readonly behalf: (who: AuditCaller) => AuditCaller;
  /** The TLS connection's exporter value (RFC 9266), base64: a signature over it is valid on no other connection. */
  readonly channel: () => string;
}

/** A declared endpoint with its handler. */
export interface Route extends Pick<Endpoint, 'method' | 'path' | 'admits' | 'event' | 'body' | 'answer' | 'errors'> {
  /** The target of a refused call, if the path does not name it. */
  readonly target?: (body: unknown) => string;
  readonly run: (context: Context<unknown>, params: Readonly<Record<string, string>>) => Promise<unknown>;
}

/**
 * The route of a declared endpoint (schemas/api/README.md). `target`: names what a refused call was aimed at, if the path
 * does not.
 */
export function handle<const Of extends Endpoint>(
  { method, path, admits, event, body, params, answer, errors }: Of,
  run: (context: Context<z.output<Of['body']>>, params: z.output<Of['params']>) => Promise<z.input<Of['answer']>>,
  target?: (body: z.output<Of['body']>) => string,
): Route {
  const started = (context: Context<unknown>, given: Readonly<Record<string, string>>): Promise<unknown> =>
    run(context as Context<z.output<Of['body']>>, parse(params, given, 'path') as z.output<Of['params']>);
  return {
    ...{ method, path, admits, event, body, run: started, answer, errors },
    ...(target === undefined ? {} : { target: target as (body: unknown) => string }),
  };
}

export interface HttpParts {
  readonly log: Log;
  readonly verifier: RequestVerifier;
  /** Whether the other end is a removed service. */
  readonly removed: (socket: TLSSocket) => boolean;
  /** Writes the audit row of a refusal. */
  readonly refused: (caller: AuditCaller, event: string, target: string, error: StenoError) => Promise<void>;
  /** Replaces undeclared answers and error codes by INTERNAL; for tests. */
  readonly checkAnswers: boolean;
}

/** The server of the owner's socket, not listening yet. `refuse`: the reason for not serving a caller that could connect. */
export async function ownerServer(
  routes: readonly Route[],
  owner: string,
  parts: HttpParts,
  refuse: (socket: Socket) => StenoError | null,
): Promise<{ app: FastifyInstance; server: Server }> {
  const server = createServer({
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 2_000,
  });
  const own = routes.filter(({ admits }) => admits.includes('owner'));
  // Checked at connect time: later the process may have passed the connection on and exited.
  const refusals = new WeakMap<Socket, StenoError | null>();
  server.on('connection', (socket: Socket) => refusals.set(socket, refuse(socket)));
  const identify = async (request: FastifyRequest): Promise<Principal> => {
    const refusal = refusals.get(request.raw.socket);
    if (refusal !== null) throw refusal ?? new StenoError('INTERNAL', 'a connection whose caller was not checked');
    return { kind: 'owner', user: owner };
  };
  return { app: await build(server, own, identify, parts), server };
}

/** The server for services and signed requests, not listening yet. */
export async function tlsServer(
  routes: readonly Route[],
  tls: TlsOptions,
  parts: HttpParts,
): Promise<{ app: FastifyInstance; server: TlsServer }> {
  const server = createTlsServer({
    ...tls,
    // Signed requests come without a client certificate; `identify` distinguishes the two.
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 2_000,
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  // Before the server accepts a request, so that a refused connection costs no TLS handshake.
  const strangers = new StrangerGuard(server, new StrangerSlots(serviceSlots, { log: parts.log }), { limitMs: STRANGER_MS });
  const open = routes.filter(({ admits }) => admits.some((who) => who !== 'owner'));
  const identify = async (request: FastifyRequest): Promise<Principal> => {
    const { authorization } = request.headers;
    if (authorization === undefined) {
      const service = peerService(request.raw.socket as TLSSocket);
      if (service === null) throw new StenoError('NOT_SIGNED_IN');
      if (parts.removed(request.raw.socket as TLSSocket)) throw new StenoError('SERVICE_REMOVED', formatServiceName(service));
      strangers.admitted(request.raw.socket);
      return { kind: 'service', service };
    }
    const caller = await parts.verifier.admit({
      method: request.method,
      target: request.raw.url ?? '',
      authorization,
      body: rawBodies.get(request) ?? new Uint8Array(0),
      sourceAddress: sourceOf(request),
    });
    strangers.admitted(request.raw.socket);
    return { kind: 'user', ...caller };
  };
  // Services that open the watch: TLS has checked their certificate.
  server.on('upgrade', (request) => {
    if (peerService(request.socket as TLSSocket) !== null) strangers.admitted(request.socket);
  });
  return { app: await build(server, open, identify, parts), server };
}

/** As received; signatures cover these bytes, not the parsed value. */
const rawBodies = new WeakMap<FastifyRequest, Buffer>();

async function build(
  server: ReturnType<typeof createServer> | ReturnType<typeof createTlsServer>,
  routes: readonly Route[],
  identify: (request: FastifyRequest) => Promise<Principal>,
  parts: HttpParts,
): Promise<FastifyInstance> {
  server.maxConnections = MAX_CONNECTIONS;
  const app = fastify({
    serverFactory: (handler) => server.on('request', handler) as ReturnType<typeof createServer>,
    bodyLimit: MAX_BODY,
    logger: false,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    rawBodies.set(request, body as Buffer);
    done(null, undefined);
  });
  app.setErrorHandler((error, _request, reply) => answerError(reply, error, parts.log));
  app.setNotFoundHandler((_request, reply) => answerError(reply, new StenoError('NOT_FOUND'), parts.log));
  for (const entry of routes) {
    app.route({ method: entry.method, url: entry.path, handler: (request) => serve(entry, request, identify, parts) });
  }
  await app.ready();
  return app;
}

async function serve(
  entry: Route,
  request: FastifyRequest,
  identify: (request: FastifyRequest) => Promise<Principal>,
  parts: HttpParts,
): Promise<unknown> {
  let caller: AuditCaller = { actor: '', source: sourceOf(request) };
  let target = Object.values(request.params as Record<string, string>).join(' ');
  try {
    // The connection stays unauthenticated, with the limits of a stranger.
    const principal: Principal = entry.admits.includes('stranger') ? { kind: 'stranger' } : await identify(request);
    caller = { actor: nameOf(principal), source: clientOf(principal, request) ?? caller.source };
    if (!admitted(entry.admits, principal)) throw new StenoError('ACCESS_DENIED', `${entry.method} ${entry.path}`);
    if ((request.raw.url ?? '').includes('?')) throw new StenoError('BAD_REQUEST', 'this call takes no query');
    const body = parseBody(entry.body, rawBodies.get(request));
    const behalf = (who: AuditCaller): AuditCaller => {
      caller = who;
      return who;
    };
    target = entry.target?.(body) ?? target;
    const context: Context<unknown> = {
      principal,
      caller,
      behalf,
      channel: () => channelBinding(request.raw.socket as TLSSocket),
      body,
      headers: request.headers as Record<string, string | undefined>,
    };
    const run = (): Promise<unknown> => entry.run(context, request.params as Record<string, string>);
    const answer = await (parts.checkAnswers ? checkAnswer(entry, run) : run());
    return answer ?? {};
  } catch (error) {
    if (error instanceof StenoError) {
      await parts.refused(caller, entry.event, target, error);
    }
    // Nothing can be audited while the store is unavailable, and nothing was done.
    if (isStoreFailure(error)) throw new StenoError('STORE_UNAVAILABLE', 'the state store of the authority', { cause: error });
    throw error;
  }
}

function parseBody(schema: z.ZodType, raw: Buffer | undefined): unknown {
  let value: unknown;
  try {
    value = raw === undefined || raw.length === 0 ? undefined : JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(raw));
  } catch {
    throw new StenoError('BAD_REQUEST', 'the body is not JSON');
  }
  return parse(schema, value, 'body');
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new StenoError('BAD_REQUEST', `${issue?.path.join('.') || where}: ${issue?.message ?? 'invalid'}`.slice(0, 512));
}

function admitted(admits: readonly Admits[], principal: Principal): boolean {
  switch (principal.kind) {
    case 'stranger':
      return admits.includes('stranger');
    case 'owner':
      return admits.includes('owner');
    case 'service':
      return admits.includes('service') || admits.includes(principal.service.kind);
    case 'user':
      return admits.some((who) => {
        if (who === 'user') return true;
        if (who === 'administer') return administersEverything(principal.roles);
        const [kind, verb] = who.split(':') as [ResourceKind, ResourceVerb | undefined];
        return verb !== undefined && mayAdminister(principal.roles, kind, verb);
      });
  }
}

export function nameOf(principal: Principal): string {
  switch (principal.kind) {
    case 'stranger':
      return '';
    case 'owner':
      return principal.user;
    case 'service':
      return formatServiceName(principal.service);
    case 'user':
      return principal.identity.user;
  }
}

/** Throws ACCESS_DENIED if the caller is not a service. */
export function serviceOf(principal: Principal): ServiceName {
  if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
  return principal.service;
}

function sourceOf(request: FastifyRequest): string {
  return peerAddress(request.raw.socket) || 'local';
}

/** A viewer acts for a browser or a command and states its address; nobody else is trusted to. */
function clientOf(principal: Principal, request: FastifyRequest): string | undefined {
  const said = request.headers[CLIENT_ADDRESS_HEADER];
  return principal.kind === 'service' && principal.service.kind === 'viewer' && typeof said === 'string' && isIP(said) !== 0
    ? said
    : undefined;
}

/**
 * The reason for a failed login goes to the audit only: an attacker must learn neither which part was wrong nor anything
 * internal.
 */
const unexplained: ReadonlySet<ErrorCode> = new Set(['LOGIN_FAILED', 'SERVICE_JOIN_REFUSED', 'SSO_REFUSED', 'SSO_PROVIDER']);

function answerError(reply: FastifyReply, error: unknown, log: Log): FastifyReply {
  const known = error instanceof StenoError ? error : frameworkError(error);
  if (known === undefined) log.error({ err: error }, 'a request failed');
  const { code, detail: said, entry } = known ?? new StenoError('INTERNAL');
  const detail = unexplained.has(code) ? undefined : said;
  const body: ApiError = { error: { code, message: entry.message, fix: entry.fix, ...(detail === undefined ? {} : { detail }) } };
  return reply.code(entry.status).send(body);
}

/** Errors raised by the framework before a route runs. */
function frameworkError(error: unknown): StenoError | undefined {
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new StenoError('TOO_LARGE', `a body has at most ${MAX_BODY} bytes`);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new StenoError('BAD_REQUEST', 'a body is application/json');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return new StenoError('BAD_REQUEST');
  return undefined;
}
