/**
 * Requests whose answers roles show only in part: some objects of a list or watch (`shows`), or keys without values (`hidesValues`).
 *
 *     some objects      only GET of a list or watch, requested in one piece
 *     keys alone        any request answered with an object, writes included. Writes that would lose or reveal values are refused: PUT,
 *                       with which a client sends back the object it was shown, and JSON patches, which copy and test values
 *
 * Both are requested as JSON, which filter/ parses. Tested in proxy.test.ts, values.test.ts, and test/kube/.
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

/** Resources whose tables show only names and counts; tables of other resources may show any field. */
const plainTables: ReadonlySet<string> = new Set(['secrets', 'configmaps']);
/** Bodies that list operations on an object, which may copy one field to another. */
const jsonPatch = /^\s*application\/json-patch\+json\s*(?:;|$)/i;

/** Headers and query for the API server. Throws KUBE_UNSUPPORTED, KUBE_REQUEST_REFUSED. `plain`: the headers of an unfiltered request. */
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

/**
 * The filter for an answer; null: the answer passes unchanged. Throws KUBE_UNREACHABLE for an unreadable answer, which is not passed on.
 */
export function partOf({ authorized, decided, target }: Entered, answer: IncomingMessage, counts: Counts): Transform | null {
  const { shows, hidesValues } = authorized;
  const { statusCode = 0 } = answer;
  if (target.kind !== 'resource' || (shows === null && !hidesValues)) return null;
  // Refusals of the API server contain no objects, and 204 has no body.
  if (statusCode < 200 || statusCode >= 300 || statusCode === 204) return null;
  if (!isPlainJson(answer)) throw new StenoError('KUBE_UNREACHABLE', 'its answer is not the JSON it was asked for');
  const hide = hidesValues ? hideValues({ encoded: isSecret(target.request) }) : null;
  if (shows !== null) counts.hidden = 0;
  const rules: FilterRules = {
    // Uses the current roles: a watch outlives changes of roles.
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
