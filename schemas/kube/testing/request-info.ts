/**
 * How the API server parses a request: `RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver 1.34, translated line by line, with
 * the prefixes and words of a stock API server. Tests compare request-line.ts with it; null: not a resource request.
 */
import type { KubeRequest } from '../../policy/kubernetes.js';

const specialVerbs = new Set(['proxy', 'watch']);
const namespaceSubresources = new Set(['status', 'finalize']);

export function requestInfo(method: string, target: string): KubeRequest | null {
  const [path = '', query = ''] = target.split('?');
  // `splitPath` trims slashes at both ends.
  let parts = path.replace(/^\/+|\/+$/g, '').split('/');
  if (parts.length < 3 || (parts[0] !== 'api' && parts[0] !== 'apis')) return null;
  const grouped = parts[0] === 'apis';
  parts = parts.slice(1);
  let group = '';
  if (grouped) {
    if (parts.length < 3) return null;
    group = parts[0]!;
    parts = parts.slice(1);
  }
  parts = parts.slice(1);
  let verb = { POST: 'create', GET: 'get', HEAD: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? '';
  if (specialVerbs.has(parts[0]!)) {
    verb = parts[0]!;
    parts = parts.slice(1);
  }
  let namespace = '';
  if (parts[0] === 'namespaces' && parts.length > 1) {
    namespace = parts[1]!;
    if (parts.length > 2 && !namespaceSubresources.has(parts[2]!)) parts = parts.slice(2);
  }
  const [resource = '', name = '', subresource = ''] = parts;
  if (name === '' && verb === 'get') {
    const [watch] = query.split('&').flatMap((pair) => (/^watch(=|$)/.test(pair) ? [pair.slice(6)] : []));
    // Conversion of a query's first value to a boolean: anything but `false` and `0` means true.
    verb = watch !== undefined && watch.toLowerCase() !== 'false' && watch !== '0' ? 'watch' : 'list';
  }
  if (name === '' && verb === 'delete') verb = 'deletecollection';
  const or = (text: string): string | null => (text === '' ? null : text);
  return { verb, group, resource, subresource: or(subresource), namespace: or(namespace), name: or(name) };
}
