/**
 * Requests of whose answers roles show a part: certain objects of a list or watch (`shows`), or keys without values (`hidesValues`).
 *
 *     some objects      GET of a list or watch alone, asked for as one piece
 *     keys alone        whatever answers with an object, writes too. Refused are the writes by which values would be lost or told: PUT, for
 *                       which a client sends back what it was shown, and JSON patches, which copy and test values
 *
 * Either is asked for as JSON, which filter/ reads. Tested in proxy.test.ts, values.test.ts, and test/kube/.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Transform } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { resourceName } from '#schemas/policy/kubernetes.js';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';
import { ListFilter, ObjectFilter, WatchFilter } from './filter/answer-filter.js';
import type { FilterRules } from './filter/answer-filter.js';
import { filteredHeaders, filteredQuery } from './filter/negotiation.js';
import { hideValues } from './filter/values.js';
import type { Counts } from './requests/request-event.js';
import type { Entered } from './requests/request.js';

/** Resources whose tables show names and counts; columns of others are anything that their objects hold. */
const plainTables: ReadonlySet<string> = new Set(['secrets', 'configmaps']);
/** Bodies that name what is done to an object, and may copy one field of it to another. */
const jsonPatch = /^\s*application\/json-patch\+json\s*(?:;|$)/i;

/** How the API server is asked. Throws KUBE_UNSUPPORTED, KUBE_REQUEST_REFUSED. `plain`: headers as they pass otherwise. */
export function askedInPart(
  { authorized, target }: Pick<Entered, 'authorized' | 'target'>,
  { method = '' }: Pick<IncomingMessage, 'method'>,
  plain: OutgoingHttpHeaders,
): { readonly headers: OutgoingHttpHeaders; readonly query: string } {
  const { shows, hidesValues } = authorized;
  const whole = { headers: plain, query: target.query };
  if (target.kind !== 'resource' || (shows === null && !hidesValues)) return whole;
  if (shows !== null && method !== 'GET') throw new StenoError('KUBE_UNSUPPORTED', `${method} of a list that roles show a part of`);
  const resource = resourceName({ ...target.request, subresource: null });
  if (hidesValues) assertKeepsValues(method, plain, resource);
  return {
    headers: filteredHeaders(plain, !hidesValues || plainTables.has(resource)),
    query: shows === null ? target.query : filteredQuery(target.query),
  };
}

function assertKeepsValues(method: string, { 'content-type': type }: OutgoingHttpHeaders, resource: string): void {
  const refuse = (what: string): never => {
    throw new StenoError('KUBE_UNSUPPORTED', `${what} of ${resource}, whose values roles hide`);
  };
  if (method === 'HEAD') refuse('HEAD');
  if (method === 'PUT') refuse('PUT');
  if (method === 'PATCH' && (typeof type !== 'string' || jsonPatch.test(type))) refuse('a JSON patch');
}

/** Null: the answer passes as it is. Throws KUBE_UNREACHABLE for one that cannot be read, of which nothing passes. */
export function partOf({ authorized, decided, target }: Entered, answer: IncomingMessage, counts: Counts): Transform | null {
  const { shows, hidesValues } = authorized;
  const { statusCode = 0 } = answer;
  if (target.kind !== 'resource' || (shows === null && !hidesValues)) return null;
  // Refusals of the API server hold no objects, and 204 holds nothing.
  if (statusCode < 200 || statusCode >= 300 || statusCode === 204) return null;
  if (!isPlainJson(answer)) throw new StenoError('KUBE_UNREACHABLE', 'its answer is not the JSON it was asked for');
  const hide = hidesValues ? hideValues({ encoded: isSecret(target.request) }) : null;
  if (shows !== null) counts.hidden = 0;
  const rules: FilterRules = {
    // By the roles of now: a watch outlives changes of them.
    shows: shows === null ? null : (object) => decided().shows?.(object) ?? true,
    hide,
    hid: () => (counts.hidden = (counts.hidden ?? 0) + 1),
  };
  switch (target.request.verb) {
    case 'watch':
      return new WatchFilter(rules);
    case 'list':
      return new ListFilter(rules);
    default:
      return hide === null ? null : new ObjectFilter(hide);
  }
}

function isSecret({ group, resource }: KubeRequest): boolean {
  return group === '' && resource === 'secrets';
}

function isPlainJson({ headers }: IncomingMessage): boolean {
  return /^application\/json(?:;|$)/.test(headers['content-type'] ?? '') && (headers['content-encoding'] ?? 'identity') === 'identity';
}
