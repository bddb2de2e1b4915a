/**
 * The event row that every request to a Kubernetes API leaves when it is over, including refused requests: user, target, outcome,
 * duration and sizes. Queries are omitted, because they contain the arguments of commands; bodies are included if roles say so
 * (recorded-body.ts). Tested in ../proxy.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { FreeEvent } from '#runtime/uplink/free-event-rows.js';
import { printable } from '../../sessions/refusal.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';
import type { RecordedBody } from './recorded-body.js';
import type { Entered, Understood } from './request.js';

/** Figures about a finished request. */
export interface RequestCounts {
  /** Status code of the API server; null if it was not asked or did not answer. */
  readonly code: number | null;
  /** Time until the answer began; null in the same cases. */
  readonly latencyMs: number | null;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Objects removed from a list or watch; null: not filtered. */
  readonly hidden: number | null;
}

/** Counts while a request runs. */
export class Counts {
  readonly #began = performance.now();
  #code: number | null = null;
  #latencyMs: number | null = null;
  bytesIn = 0;
  bytesOut = 0;
  hidden: number | null = null;

  answered(code: number): void {
    this.#code = code;
    this.#latencyMs = this.#elapsed();
  }

  now(): RequestCounts {
    return {
      code: this.#code,
      latencyMs: this.#latencyMs,
      durationMs: this.#elapsed(),
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      hidden: this.hidden,
    };
  }

  #elapsed(): number {
    return Math.round(performance.now() - this.#began);
  }
}

export interface RequestFacts {
  readonly user: CertifiedUser;
  readonly source: string;
  readonly method: string;
  readonly userAgent: string;
  readonly understood: Understood | undefined;
  readonly entered: Pick<Entered, 'authorized' | 'auditId'> | undefined;
  /** The device whose second factor confirmed this request; undefined: no role requires one. */
  readonly mfa: string | undefined;
  /** Present if roles say that bodies are recorded. */
  readonly body?: RecordedBody | undefined;
  /** The reason why the request was refused or aborted. */
  readonly error: StenoError | undefined;
  /** For a stream to a container: the session of its recording. */
  readonly session?: string;
}

export function requestEvent(
  { user, source, method, userAgent, understood, entered, mfa, body, error, session }: RequestFacts,
  counts: RequestCounts,
): FreeEvent {
  const target = understood?.target;
  const request = target?.kind === 'resource' ? target.request : null;
  const resource =
    request === null
      ? ''
      : `${request.resource}${request.group === '' ? '' : `.${request.group}`}${request.subresource === null ? '' : `/${request.subresource}`}`;
  const failed = error !== undefined || (counts.code !== null && counts.code >= 400);
  return {
    kind: 'kube',
    user: user.identity.user,
    login: entered?.authorized.impersonate ?? '',
    cluster: understood?.cluster ?? '',
    namespace: cut(request?.namespace ?? '', 255),
    pod: request?.resource === 'pods' && request.group === '' ? cut(request.name ?? '', 255) : '',
    path: cut(target?.path ?? '', 4096),
    size: counts.bytesOut,
    address: source,
    name: cut(request === null ? method.toLowerCase() : `${request.verb} ${resource}`, 4096),
    reason: error?.code ?? '',
    outcome: failed ? 'failure' : 'success',
    data: JSON.stringify({
      method: cut(method, 16),
      ...(request === null
        ? {}
        : { verb: request.verb, group: request.group, resource: request.resource, subresource: request.subresource, object: request.name }),
      code: counts.code,
      latency_ms: counts.latencyMs,
      duration_ms: counts.durationMs,
      bytes_in: counts.bytesIn,
      ...(counts.hidden === null ? {} : { hidden: counts.hidden }),
      ...(entered?.authorized.hidesValues === true ? { values: 'hidden' } : {}),
      user_agent: printable(userAgent, 256),
      ...(entered === undefined ? {} : { audit_id: entered.auditId, groups: entered.authorized.groups }),
      ...(mfa === undefined ? {} : { mfa }),
      ...(body === undefined ? {} : { body }),
      ...(session === undefined ? {} : { session }),
      ...(user.identity.requests.length === 0 ? {} : { requests: user.identity.requests }),
    }),
  };
}

function cut(text: string, most: number): string {
  return text.slice(0, most);
}
