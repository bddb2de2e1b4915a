/**
 * Headers on their way through the gateway. In both directions only headers on an allowlist pass: all others (Impersonate-*,
 * Authorization, X-Remote-*, Forwarded, Cookie, hop-by-hop headers and headers named by `Connection`) are dropped, in any spelling. A
 * header that passes may occur only once. Tested in ../proxy.test.ts.
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

/** Node drops headers beyond this number, so a head with this many is refused. */
export const MAX_HEADER_LINES = 256;

/** Throws KUBE_REQUEST_REFUSED. */
export function assertWholeHead({ rawHeaders }: Pick<IncomingMessage, 'rawHeaders'>): void {
  if (rawHeaders.length >= 2 * MAX_HEADER_LINES) throw new StenoError('KUBE_REQUEST_REFUSED', `${MAX_HEADER_LINES} headers or more`);
}

/** Throws KUBE_REQUEST_REFUSED for a header that occurs twice. */
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
 * The headers that frame the body towards the API server; null: there is no body, and nothing may be written. If a GET or DELETE has no
 * such header, Node writes its body unframed after the head, and the API server would read it as a further request on a connection that
 * carries the gateway's credential. Throws KUBE_REQUEST_REFUSED for a body that the method does not allow.
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

/** The user and groups to impersonate, and the id of the request in the API server's audit log and in ours. */
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
    // The API server sends each warning on its own header line.
    passed[name] = before === undefined || name !== 'warning' ? value : [before, value].flat();
  }
  return passed;
}
