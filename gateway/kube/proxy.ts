/**
 * One request to a Kubernetes API, from its head to the last byte of its answer.
 *
 *     head ──understood, allowed──► access registered ──► upstream ──► answer streams ──► over: one row of events
 *        └──refused──► Status, audit row                     └──lock, roles, limits: both sides are cut off
 *
 * The request is written anew from what was understood of it: the parsed target, headers of a list, a body framed by this
 * gateway. Nothing a client smuggles into the framing or the headers of its own connection reaches the API server. Bodies
 * stream with back-pressure and are never buffered. Tested in proxy.test.ts, with the real kubectl and a real Kubernetes in
 * test/kube/.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { interactive, parseKubeTarget } from '#schemas/kube/request-line.js';
import type { KubeTarget } from '#schemas/kube/request-line.js';
import type { Recorder } from '../recorder/recorder.js';
import { asStenoError } from '../sessions/refusal.js';
import type { SessionRegistry } from '../sessions/registry.js';
import { NO_LIMITS, authorizeKube } from './authorization.js';
import type { KubeAuthorized } from './authorization.js';
import { assertUnexpired } from './client-certificate.js';
import type { CertifiedUser } from './client-certificate.js';
import { answeredHeaders, forwardedHeaders, framingOf, identityHeaders } from './headers.js';
import { requestEvent } from './request-event.js';
import type { RequestCounts } from './request-event.js';
import type { Entered, Understood } from './request.js';
import { answerRefusal } from './status.js';
import type { Upstream, Upstreams } from './upstreams.js';

export interface ProxyDeps {
  readonly registry: SessionRegistry;
  /** Nothing begins any more. */
  draining(): boolean;
  readonly upstreams: Upstreams;
  readonly recorder: Pick<Recorder, 'event' | 'eventsFull'>;
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
}

/** The API server answers requests that are no watches within 60 s by itself. */
const ANSWER_MS = 90_000;
const CLIENT_GONE = 'the client is gone';

/** Connections that end with the answer they are getting: what follows on them is not answered, whoever sends it. */
const ending = new WeakSet<Socket>();

/** Throws KUBE_REQUEST_REFUSED. `url`: as it stands in the request line, `/CLUSTER/…`. */
export function understand(method: string, url: string): Understood {
  const [, cluster, rest] = /^\/([a-z0-9-]{1,63})(\/.*)$/s.exec(url) ?? [];
  const target = rest === undefined ? null : parseKubeTarget(method, rest);
  if (cluster === undefined || target === null) throw new StenoError('KUBE_REQUEST_REFUSED', `${method} ${url.slice(0, 200)}`);
  return { cluster, target };
}

/**
 * Decides, and registers the access so that snapshots reach it from here on. Throws the refusal, which is audited. `end`: cuts
 * the request off.
 */
export function enter(
  deps: Pick<ProxyDeps, 'registry' | 'recorder' | 'snapshot' | 'now' | 'draining'>,
  user: CertifiedUser,
  source: string,
  understood: Understood,
  end: (error: StenoError) => void,
): Entered {
  const { cluster, target } = understood;
  const asked = { cluster, request: target.kind === 'resource' ? target.request : null };
  const access = deps.registry.admit(
    { identity: user.identity, target: { kind: 'kube', ...asked }, source },
    { reauthorize: (snapshot, now) => limitsOf(authorizeKube(snapshot, user, asked, now)), end },
  );
  try {
    const snapshot = deps.snapshot();
    if (snapshot === null) throw new StenoError('AUTHORITY_UNREACHABLE');
    if (deps.draining()) throw new StenoError('DRAINING');
    assertUnexpired(user, deps.now());
    const authorized = authorizeKube(snapshot, user, asked, deps.now());
    // Recording impossible means request impossible, as for sessions.
    if (authorized.terms?.recording.mode === 'strict' && deps.recorder.eventsFull) throw new StenoError('SPOOL_FULL', 'events of requests');
    deps.registry.register(access, { limits: limitsOf(authorized) });
    return { ...understood, authorized, access, auditId: randomUUID() };
  } catch (error) {
    const known = asStenoError(error);
    access.audit('kube.refused', known);
    throw known;
  }
}

export async function proxyRequest(
  deps: ProxyDeps,
  user: CertifiedUser,
  source: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (ending.has(request.socket)) return void request.socket.destroy();
  // Set once the API server was asked: from then on both sides end together.
  let abort: ((error: StenoError) => void) | undefined;
  let ended: StenoError | undefined;
  let entered: Entered | undefined;
  let understood: Understood | undefined;
  let refusal: StenoError | undefined;
  const counts = new Counts();
  try {
    understood = understand(request.method ?? '', request.url ?? '');
    entered = enter(deps, user, source, understood, (error) => {
      ended = error;
      abort?.(error);
    });
    const { target, access } = entered;
    if (target.kind === 'resource' && interactive.has(target.request.subresource ?? ''))
      throw new StenoError('KUBE_REQUEST_REFUSED', `${target.request.subresource} without an upgrade to WebSocket`);
    const [headers, framing] = [forwardedHeaders(request), framingOf(request)];
    const upstream = await deps.upstreams.of(entered.authorized.cluster);
    if (ended !== undefined) throw ended;
    if (response.destroyed) throw new StenoError('KUBE_UNREACHABLE', CLIENT_GONE);
    await exchange(upstream, entered, headers, framing, request, response, counts, (cut) => {
      abort = cut;
    });
    access.leave();
  } catch (error) {
    entered?.access.leave();
    refusal = ended ?? asStenoError(error);
    // What has begun cannot become a refusal; the client sees that it was cut off.
    ending.add(request.socket);
    if (response.headersSent) response.destroy();
    else answerRefusal(response, refusal, understood?.target.kind === 'discovery');
  }
  const { method = '', headers } = request;
  deps.recorder.event(
    requestEvent({ user, source, method, userAgent: headers['user-agent'] ?? '', understood, entered, error: refusal }, counts.now()),
  );
}

/** Resolves when the answer has ended, or with an error when one side broke off. */
function exchange(
  upstream: Upstream,
  entered: Entered,
  headers: OutgoingHttpHeaders,
  framing: OutgoingHttpHeaders | null,
  request: IncomingMessage,
  response: ServerResponse,
  counts: Counts,
  onCut: (cut: (error: StenoError) => void) => void,
): Promise<void> {
  const { access, authorized, auditId, target } = entered;
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      upstreamRequest(upstream, target, request.method!, {
        ...headers,
        ...identityHeaders(authorized.impersonate, authorized.groups, auditId),
        ...framing,
      }),
    );
    const cut = (error: StenoError): void => {
      outgoing.destroy();
      reject(error);
    };
    onCut(cut);
    const silence = setTimeout(() => cut(new StenoError('KUBE_UNREACHABLE', 'no answer in time')), ANSWER_MS);
    outgoing.on('error', (error) => {
      clearTimeout(silence);
      reject(new StenoError('KUBE_UNREACHABLE', (error as NodeJS.ErrnoException).code ?? error.message, { cause: error }));
    });
    // A server that changes the protocol where nobody asked for it.
    outgoing.on('upgrade', (_, socket) => {
      socket.destroy();
      cut(new StenoError('KUBE_UNREACHABLE', 'it changed the protocol'));
    });
    outgoing.on('response', (answer) => {
      clearTimeout(silence);
      access.active();
      counts.answered(answer.statusCode!);
      answer.on('data', (chunk: Buffer) => {
        access.active();
        counts.bytesOut += chunk.length;
      });
      response.writeHead(answer.statusCode!, answeredHeaders(answer));
      // A watch begins with its head, long before its first event.
      response.flushHeaders();
      pipeline(answer, response, (error) => {
        outgoing.destroy();
        if (error === undefined || error === null) resolve();
        else reject(error);
      });
    });
    response.on('close', () => {
      if (!response.writableFinished) cut(new StenoError('KUBE_UNREACHABLE', CLIENT_GONE));
    });
    request.on('data', (chunk: Buffer) => (counts.bytesIn += chunk.length));
    if (framing === null) outgoing.end();
    else
      pipeline(request, outgoing, (error) => {
        if (error !== undefined && error !== null) outgoing.destroy();
      });
  });
}

/** What passes while a request runs. */
export class Counts {
  readonly #began = performance.now();
  #code: number | null = null;
  #latencyMs: number | null = null;
  bytesIn = 0;
  bytesOut = 0;

  answered(code: number): void {
    this.#code = code;
    this.#latencyMs = this.#elapsed();
  }

  now(): RequestCounts {
    return { code: this.#code, latencyMs: this.#latencyMs, durationMs: this.#elapsed(), bytesIn: this.bytesIn, bytesOut: this.bytesOut };
  }

  #elapsed(): number {
    return Math.round(performance.now() - this.#began);
  }
}

/** For the API server: its own address, the target below its base path, the gateway's credential. */
export function upstreamRequest(
  { base, agent, headers: credential }: Upstream,
  { path, query }: Pick<KubeTarget, 'path' | 'query'>,
  method: string,
  headers: RequestOptions['headers'],
): RequestOptions {
  return {
    agent,
    host: base.hostname.replace(/^\[|\]$/g, ''),
    port: base.port === '' ? 443 : Number(base.port),
    method,
    path: `${base.pathname === '/' ? '' : base.pathname}${path}${query === '' ? '' : `?${query}`}`,
    headers: { ...headers, ...credential },
  };
}

function limitsOf({ terms }: KubeAuthorized): typeof NO_LIMITS {
  return terms?.limits ?? NO_LIMITS;
}
