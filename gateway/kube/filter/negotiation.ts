/**
 * Requests an answer that is to be filtered as JSON, uncompressed, in one piece. Tested in filter.test.ts.
 *
 * `limit` is removed, since the token for the next piece names the object at which this piece ended, whether the role shows that object or
 * not; clients accept a whole list. `includeObject=None` is removed because table rows would then name no object.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { StenoError } from '#schemas/base/errors.js';
import { parseQuery } from '#schemas/kube/request-line.js';

const forms = new Set(['Table', 'PartialObjectMetadataList', 'PartialObjectMetadata']);

/** `tables`: whether table cells show no hidden values. Throws KUBE_UNSUPPORTED for a client that does not accept JSON. */
export function filteredAccept(accept: string | undefined, tables: boolean): string {
  const kept: string[] = [];
  for (const range of (accept ?? 'application/json').split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const known = new Map(parameters.map((parameter) => parameter.split('=', 2) as [string, string | undefined]));
    const [as, version] = [known.get('as'), known.get('v') ?? ''];
    if (type === '*/*' || type === 'application/*') kept.push('application/json');
    else if (type !== 'application/json') continue;
    else if (as === undefined) kept.push('application/json');
    else if (as === 'Table' && !tables) continue;
    else if (forms.has(as) && known.get('g') === 'meta.k8s.io' && /^v1(?:beta1)?$/.test(version))
      kept.push(`application/json;as=${as};v=${version};g=meta.k8s.io`);
  }
  if (kept.length === 0) throw new StenoError('KUBE_UNSUPPORTED', 'roles show a part of this, which is answered as JSON alone');
  return [...new Set(kept)].join(',');
}

export function filteredHeaders({ accept, 'accept-encoding': _, ...rest }: OutgoingHttpHeaders, tables: boolean): OutgoingHttpHeaders {
  return { ...rest, accept: filteredAccept(typeof accept === 'string' ? accept : undefined, tables), 'accept-encoding': 'identity' };
}

/** Throws KUBE_REQUEST_REFUSED for a query that is not understood. */
export function filteredQuery(query: string): string {
  const pairs = parseQuery(query);
  if (pairs === null) throw new StenoError('KUBE_REQUEST_REFUSED', 'the query');
  return pairs
    .filter(([name]) => name !== 'limit' && name !== 'includeObject')
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join('&');
}
