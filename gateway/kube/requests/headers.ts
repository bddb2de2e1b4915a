/**
 * Headers on their way through the gateway. Both directions pass on what is on a list and nothing else: whatever is not on
 * it (Impersonate-*, Authorization, X-Remote-*, Forwarded, Cookie, hop-by-hop headers and what `Connection` names) ends here,
 * in any spelling. Of what passes, each may occur once. Tested in ../proxy.test.ts.
 */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { StenoError } from '#schemas/base/errors.js';

const requestHeaders: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'content-encoding',
  'content-type',
  'if-match',
  'if-none-match',
  'kubectl-command',
  'kubectl-session',
  'user-agent',
]);
const responseHeaders: ReadonlySet<string> = new Set([
  'audit-id',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'etag',
  'last-modified',
  'retry-after',
  'vary',
  'warning',
  'x-kubernetes-pf-flowschema-uid',
  'x-kubernetes-pf-prioritylevel-uid',
]);

/** Node drops the headers beyond so many, so a head that has as many is not understood. */
export const MAX_HEADER_LINES = 256;

/** Throws KUBE_REQUEST_REFUSED. */
export function assertWholeHead({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): void {
  if (rawHeaders.length >= 2 * MAX_HEADER_LINES) throw new StenoError('KUBE_REQUEST_REFUSED', `${MAX_HEADER_LINES} headers or more`);
}

/** Throws KUBE_REQUEST_REFUSED for a header that stands there twice. */
export function forwardedHeaders({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): OutgoingHttpHeaders {
  const passed: Record<string, string> = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    if (!requestHeaders.has(name)) continue;
    if (Object.hasOwn(passed, name)) throw new StenoError('KUBE_REQUEST_REFUSED', `header ${name} occurs twice`);
    passed[name] = rawHeaders[at + 1]!;
  }
  return passed;
}

/**
 * How the body is framed towards the API server; null: there is none, and nothing may be written. Node writes the body of a GET or
 * DELETE that has no such header after its head as it is, where the API server would read it as a further request on a connection
 * that carries the gateway's credential. Throws KUBE_REQUEST_REFUSED for a body where none belongs.
 */
export function framingOf({ method, headers }: Pick<IncomingMessage, 'method' | 'headers'>): OutgoingHttpHeaders | null {
  const length = headers['content-length'];
  const chunked = headers['transfer-encoding'];
  if (chunked === undefined && (length === undefined || length === '0')) return length === undefined ? null : { 'content-length': '0' };
  if (method === 'GET' || method === 'HEAD') throw new StenoError('KUBE_REQUEST_REFUSED', `a body of ${method}`);
  if (chunked === undefined) return { 'content-length': length };
  if (chunked.toLowerCase() !== 'chunked') throw new StenoError('KUBE_REQUEST_REFUSED', 'a transfer encoding');
  return { 'transfer-encoding': 'chunked' };
}

/** Who the API server takes the request for, and the id under which it stands in its audit log and in ours. */
export function identityHeaders(impersonate: string, groups: readonly string[], auditId: string): OutgoingHttpHeaders {
  return {
    'impersonate-user': impersonate,
    // An empty list would be an empty header line.
    ...(groups.length === 0 ? {} : { 'impersonate-group': [...groups] }),
    'audit-id': auditId,
  };
}

export function answeredHeaders({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): OutgoingHttpHeaders {
  const passed: Record<string, string | string[]> = {};
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!.toLowerCase();
    if (!responseHeaders.has(name)) continue;
    const before = passed[name];
    const value = rawHeaders[at + 1]!;
    // The API server gives each of several warnings a line of its own.
    passed[name] = before === undefined || name !== 'warning' ? value : [before, value].flat();
  }
  return passed;
}
