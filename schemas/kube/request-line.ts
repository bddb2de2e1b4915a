/**
 * Parses method and target of a request to a Kubernetes API as the API server does
 * (`RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver); a target of any other form is refused.
 *
 *     /api/VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUBRESOURCE]]
 *     /apis/GROUP/VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUBRESOURCE]]
 *     /api, /apis, /apis/GROUP, /apis/GROUP/VERSION, /openapi/..., /version, /healthz ...      discovery, read only
 *
 * Names in Kubernetes are path segments without escapes, so a `%`, an empty segment or a dot segment in the path has no
 * legitimate use. Refusing them ensures that a server that decodes or normalizes differently cannot see another resource than the
 * one that was authorized. Also refused, although the API server accepts them: the deprecated `/watch/` and `/proxy/` prefixes, and
 * everything below a subresource, which only proxies use. Tested in request-line.test.ts.
 */
import { interactive } from '../policy/kubernetes.js';
import type { KubeRequest } from '../policy/kubernetes.js';

export type KubeTarget =
  | { readonly kind: 'resource'; readonly path: string; readonly query: string; readonly version: string; readonly request: KubeRequest }
  | { readonly kind: 'discovery'; readonly path: string; readonly query: string };

const MAX_TARGET = 16_384;

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
/** RFC 3986 unreserved characters and the sub-delimiters that occur in names of RBAC objects; never a `%`. */
const segmentPattern = /^[A-Za-z0-9._:@~+=,$-]{1,253}$/;
/** `query` of RFC 3986, without `;`, which Go and browsers interpret differently, and with complete escapes only. */
const queryPattern = /^(?:[A-Za-z0-9._~!$'()*+,/:?@=&-]|%[0-9A-Fa-f]{2})*$/;
const namePattern = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;
const versionPattern = /^v[0-9]{1,3}(?:(?:alpha|beta)[0-9]{1,3})?$/;
const discovery = /^\/(?:api|apis|version|healthz|livez|readyz|openapi\/v2|openapi\/v3)$|^\/(?:healthz|livez|readyz)\/[a-z0-9/-]{1,128}$/;
/** Form used by clients generated from the OpenAPI document, such as Python's and JavaScript's. The API server trims the slash. */
const generatedDiscovery =
  /^\/(?:version|api|apis|api\/v[0-9]{1,3}|apis\/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?:\/v[0-9]{1,3}(?:(?:alpha|beta)[0-9]{1,3})?)?)\/$/;
/** Words that the API server reads as a verb in the position of a resource. */
const verbPrefixes = new Set(['watch', 'proxy']);
/** `namespaces/NAME/status` is about the namespace, not about a resource `status` in it. */
const namespaceSubresources = new Set(['status', 'finalize']);

/** Null: not understood. `target`: path and query as in the request line, without the gateway's own prefix. */
export function parseKubeTarget(method: string, target: string): KubeTarget | null {
  if (!methods.has(method) || target.length > MAX_TARGET) return null;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? '' : target.slice(mark + 1);
  if (!queryPattern.test(query) || !path.startsWith('/')) return null;
  const read = method === 'GET' || method === 'HEAD';
  if (read && generatedDiscovery.test(path)) return { kind: 'discovery', path, query };
  const segments = path.slice(1).split('/');
  if (!segments.every((text) => segmentPattern.test(text) && text !== '.' && text !== '..')) return null;
  if (discovery.test(path)) return read ? { kind: 'discovery', path, query } : null;
  if (segments[0] === 'openapi' && segments[1] === 'v3') return read && segments.length <= 6 ? { kind: 'discovery', path, query } : null;
  const grouped = segments[0] === 'apis';
  if (!grouped && segments[0] !== 'api') return null;
  const group = grouped ? segments[1]! : '';
  if (grouped && !namePattern.test(group)) return null;
  const version = segments[grouped ? 2 : 1];
  const parts = segments.slice(grouped ? 3 : 2);
  if (version === undefined) return read ? { kind: 'discovery', path, query } : null;
  if (!versionPattern.test(version)) return null;
  if (parts.length === 0) return read ? { kind: 'discovery', path, query } : null;
  const request = resourceOf(method, group, parts, query);
  return request === null ? null : { kind: 'resource', path, query, version, request };
}

function resourceOf(method: string, group: string, parts: readonly string[], query: string): KubeRequest | null {
  let namespace: string | null = null;
  let rest = parts;
  // For RBAC, `namespaces/NAME` itself is in that namespace.
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1]!;
    if (parts.length > 2 && !namespaceSubresources.has(parts[2]!)) rest = parts.slice(2);
  }
  if (rest === parts && parts[0] === 'namespaces' && group !== '') return null;
  const [resource, name = null, subresource = null, ...below] = rest as [string, string?, string?, ...string[]];
  if (below.length > 0 || verbPrefixes.has(resource) || !namePattern.test(resource)) return null;
  if (namespace !== null && !namePattern.test(namespace)) return null;
  if (subresource !== null && !/^[a-z][a-z0-9-]{0,62}$/.test(subresource)) return null;
  const verb = verbOf(method, name, subresource, query);
  return verb === null ? null : { verb, group, resource, subresource, namespace, name };
}

function verbOf(method: string, name: string | null, subresource: string | null, query: string): string | null {
  if (subresource !== null && interactive.has(subresource)) return method === 'GET' || method === 'POST' ? 'create' : null;
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return name === null ? null : 'update';
    case 'PATCH':
      return name === null ? null : 'patch';
    case 'DELETE':
      return name === null ? 'deletecollection' : 'delete';
    default: {
      const watch = watchOf(query);
      if (watch === null) return null;
      // The API server reads `watch` of lists only.
      return name !== null ? 'get' : watch ? 'watch' : 'list';
    }
  }
}

/** Null: repeated, or in a spelling that parsers of booleans interpret differently. */
function watchOf(query: string): boolean | null {
  const values = query
    .split('&')
    .map((pair) => pair.split('='))
    .flatMap(([key = '', ...value]) => (decodeURIComponentOrNull(key)?.toLowerCase() === 'watch' ? [[key, value.join('=')] as const] : []));
  if (values.length === 0) return false;
  const [key, value] = values[0]!;
  if (values.length > 1 || key !== 'watch') return null;
  return parseBoolean(value);
}

/**
 * A boolean of a query, in the spellings that every parser interprets in the same way; Python's client writes `True`. Null for anything
 * else, including the empty value: the API server takes it for true (`Convert_Slice_string_To_bool` of k8s.io/apimachinery), while other
 * parsers may not.
 */
export function parseBoolean(value: string): boolean | null {
  if (value === '1' || /^true$/i.test(value)) return true;
  return value === '0' || /^false$/i.test(value) ? false : null;
}

/** A query's parameters in order; null if an escape is not UTF-8. */
export function parseQuery(query: string): readonly (readonly [name: string, value: string])[] | null {
  const pairs: (readonly [string, string])[] = [];
  for (const pair of query === '' ? [] : query.split('&')) {
    const at = pair.indexOf('=');
    const name = decodeURIComponentOrNull(at < 0 ? pair : pair.slice(0, at));
    const value = decodeURIComponentOrNull(at < 0 ? '' : pair.slice(at + 1));
    if (name === null || value === null) return null;
    pairs.push([name, value]);
  }
  return pairs;
}

function decodeURIComponentOrNull(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
