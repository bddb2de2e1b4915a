/**
 * One request to a Kubernetes API, from its head to the last byte of its answer.
 *
 *     head ──understood, allowed──► access registered ──► upstream ──► answer streams ──► over: one row of events
 *        └──refused──► Status, audit row                     └──lock, roles, limits: both sides are cut off
 *
 * The request is rebuilt from its parsed parts: the target, headers from an allowlist, and a body framed by this gateway. Nothing that a
 * client smuggles into the framing or the headers of its own connection reaches the API server. Bodies stream with back-pressure and are
 * never buffered. Tested in proxy.test.ts, with the real kubectl and a real Kubernetes in test/kube/.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { parseKubeTarget } from '#schemas/kube/request-line.js';
import { interactive } from '#schemas/policy/kubernetes.js';
import type { Recorder } from '../recorder/recorder.js';
import { asStenoError, printable } from '../sessions/refusal.js';
import type { SessionRegistry } from '../sessions/registry.js';
import { FormError } from './filter/members.js';
import { askedInPart, partOf } from './partial-answer.js';
import type { Confirmations } from './requests/confirmations.js';
import { NO_LIMITS, authorizeKube } from './requests/authorization.js';
import type { KubeAuthorized } from './requests/authorization.js';
import { assertUnexpired } from '#runtime/http/x509-user.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';
import { answeredHeaders, assertWholeHead, forwardedHeaders, framingOf, identityHeaders } from './requests/headers.js';
import { Counts, requestEvent } from './requests/request-event.js';
import type { Entered, Understood } from './requests/request.js';
import { BodyCopy } from './requests/recorded-body.js';
import type { RecordedBody } from './requests/recorded-body.js';
import { answerRefusal } from './requests/status.js';
import { upstreamRequest } from './requests/upstreams.js';
import type { Upstream, Upstreams } from './requests/upstreams.js';

export interface ProxyDeps {
  readonly registry: SessionRegistry;
  /** Whether the gateway is draining and starts nothing new. */
  draining(): boolean;
  readonly upstreams: Upstreams;
  readonly confirmations: Confirmations;
  readonly recorder: Pick<Recorder, 'event' | 'eventsFull'>;
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
}

/** The API server itself limits requests other than watches to 60 s. */
const ANSWER_MS = 90_000;
export const CLIENT_GONE = 'the client is gone';

/** Connections that end with the current answer: further requests on them are not answered. */
const ending = new WeakSet<Socket>();

/** Throws KUBE_REQUEST_REFUSED. `url`: from the request line, `/CLUSTER/…`. */
export function understand(method: string, url: string): Understood {
  const [, cluster, rest] = /^\/([a-z0-9-]{1,63})(\/.*)$/s.exec(url) ?? [];
  const target = rest === undefined ? null : parseKubeTarget(method, rest);
  if (cluster === undefined || target === null) throw new StenoError('KUBE_REQUEST_REFUSED', `${method} ${url.slice(0, 200)}`);
  return { cluster, target };
}

/**
 * Decides, and registers the access so that snapshots apply to it from now on. Throws the refusal, which is audited. `end`: aborts the
 * request.
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
  let decided: KubeAuthorized | undefined;
  const streams = { whole: false, withValues: false };
  const told: (() => void)[] = [];
  const access = deps.registry.admit(
    { identity: user.identity, target: { kind: 'kube', ...asked }, source },
    {
      reauthorize(snapshot, now) {
        decided = authorizeKube(snapshot, user, asked, now);
        // An answer that began unfiltered cannot be filtered from the middle on.
        if ((streams.whole && decided.shows !== null) || (streams.withValues && decided.hidesValues))
          throw new StenoError('ACCESS_DENIED', 'roles now show a part of what is asked for: ask again');
        for (const tell of told) tell();
        return limitsOf(decided);
      },
      end,
    },
  );
  try {
    const snapshot = deps.snapshot();
    if (snapshot === null) throw new StenoError('AUTHORITY_UNREACHABLE');
    if (deps.draining()) throw new StenoError('DRAINING');
    assertUnexpired(user, deps.now());
    const authorized = authorizeKube(snapshot, user, asked, deps.now());
    [streams.whole, streams.withValues] = [authorized.shows === null, !authorized.hidesValues];
    // If recording is impossible, the request is refused, as for sessions.
    if (authorized.terms?.recording.mode === 'strict' && deps.recorder.eventsFull) throw new StenoError('SPOOL_FULL', 'events of requests');
    deps.registry.register(access, { limits: limitsOf(authorized) });
    return {
      ...{ ...understood, authorized, access, auditId: randomUUID() },
      decided: () => decided ?? authorized,
      onDecided: (tell) => void told.push(tell),
    };
  } catch (error) {
    const known = asStenoError(error);
    access.audit('kube.refused', known);
    throw known;
  }
}

/**
 * Asks for a second factor if a role requires one. Resolves with the device that confirmed; undefined: none is required. Rejects with the
 * refusal, which is audited.
 */
export async function confirmed(
  { confirmations }: Pick<ProxyDeps, 'confirmations'>,
  user: CertifiedUser,
  source: string,
  { authorized, cluster, access }: Entered,
): Promise<string | undefined> {
  if (!authorized.confirm) return undefined;
  try {
    return await confirmations.assertConfirmed(user, cluster, source);
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
  // Set once the request was sent to the API server: from then on both sides end together.
  let abort: ((error: StenoError) => void) | undefined;
  let ended: StenoError | undefined;
  let entered: Entered | undefined;
  let understood: Understood | undefined;
  let refusal: StenoError | undefined;
  let mfa: string | undefined;
  let copy: BodyCopy | undefined;
  let upstream: Upstream | undefined;
  const counts = new Counts();
  try {
    assertWholeHead(request);
    understood = understand(request.method ?? '', request.url ?? '');
    entered = enter(deps, user, source, understood, (error) => {
      ended = error;
      abort?.(error);
    });
    const { target, access } = entered;
    if (target.kind === 'resource' && interactive.has(target.request.subresource ?? ''))
      throw new StenoError('KUBE_REQUEST_REFUSED', `${target.request.subresource} without a change of protocol`);
    const framing = framingOf(request);
    const { headers, query } = askedInPart(entered, request, forwardedHeaders(request));
    // Refusals before this point happen in the turn in which the head was read, so no further request on the connection has been parsed.
    mfa = await confirmed(deps, user, source, entered);
    upstream = await deps.upstreams.of(entered.authorized.cluster);
    if (ended !== undefined) throw ended;
    if (response.destroyed) throw new StenoError('KUBE_UNREACHABLE', CLIENT_GONE);
    if (entered.authorized.bodies !== null && framing !== null) copy = copyOf(request);
    await exchange(upstream, { ...entered, target: { ...target, query } }, headers, framing, request, response, counts, (cut) => {
      abort = cut;
    });
    access.leave();
  } catch (error) {
    entered?.access.leave();
    refusal = ended ?? asStenoError(error);
    // An answer that has begun cannot become a refusal; the client sees that the answer was cut off.
    ending.add(request.socket);
    if (response.headersSent) response.destroy();
    else answerRefusal(response, refusal, understood?.target.kind === 'discovery', upstream?.heardAt());
  }
  const { method = '', headers } = request;
  const body = copy === undefined ? undefined : recordedBody(copy, entered!, request);
  deps.recorder.event(
    requestEvent(
      { user, source, method, userAgent: headers['user-agent'] ?? '', understood, entered, mfa, body, error: refusal },
      counts.now(),
    ),
  );
}

/** Copies the body as it passes. */
function copyOf(request: IncomingMessage): BodyCopy {
  const copy = new BodyCopy();
  request.on('data', (chunk: Buffer) => copy.add(chunk));
  return copy;
}

function recordedBody(copy: BodyCopy, { target, authorized }: Entered, { headers, complete }: IncomingMessage): RecordedBody | undefined {
  if (target.kind !== 'resource' || authorized.bodies === null) return undefined;
  const { 'content-type': type = '', 'content-encoding': encoding } = headers;
  return copy.recorded(target.request, { type: printable(type, 128), encoding, whole: complete }, authorized.bodies.redact);
}

/** Resolves when the answer has ended; rejects if one side broke off. */
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
    const outgoing = upstream.request(
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
    // The server changed the protocol without being asked.
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
      const over = (error: Error | null | undefined): void => {
        outgoing.destroy();
        if (error === undefined || error === null) resolve();
        else
          reject(
            error instanceof FormError ? new StenoError('KUBE_UNREACHABLE', `its answer is of another form: ${error.message}`) : error,
          );
      };
      let filter;
      try {
        filter = partOf(entered, answer, counts);
      } catch (error) {
        return cut(asStenoError(error));
      }
      const { 'content-length': length, etag, ...head } = answeredHeaders(answer);
      response.writeHead(answer.statusCode!, filter === null ? { ...head, ...given({ 'content-length': length, etag }) } : head);
      // Send the head of a watch now: its first event may come much later.
      response.flushHeaders();
      if (filter === null) pipeline(answer, response, over);
      else pipeline(answer, filter, response, over);
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

function given(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}

function limitsOf({ terms }: KubeAuthorized): typeof NO_LIMITS {
  return terms?.limits ?? NO_LIMITS;
}
