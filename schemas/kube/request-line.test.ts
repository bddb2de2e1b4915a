import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseKubeTarget, parseQuery } from './request-line.js';
import { requestInfo } from './testing/request-info.js';

const about = (method: string, target: string): string | null => {
  const parsed = parseKubeTarget(method, target);
  if (parsed === null || parsed.kind === 'discovery') return parsed?.kind ?? null;
  const { verb, group, resource, subresource, namespace, name } = parsed.request;
  return [
    verb,
    `${resource}${group === '' ? '' : `.${group}`}${subresource === null ? '' : `/${subresource}`}`,
    namespace ?? '-',
    name ?? '-',
  ].join(' ');
};

test.each([
  ['GET', '/api/v1/pods', 'list pods - -'],
  ['GET', '/api/v1/pods?watch=true&resourceVersion=12', 'watch pods - -'],
  ['GET', '/api/v1/pods?watch=0', 'list pods - -'],
  // The spelling of Python's client.
  ['GET', '/api/v1/pods?watch=True', 'watch pods - -'],
  ['GET', '/api/v1/pods?watch=False', 'list pods - -'],
  ['GET', '/api/v1/namespaces/shop/pods/web-1', 'get pods shop web-1'],
  ['HEAD', '/api/v1/namespaces/shop/pods/web-1', 'get pods shop web-1'],
  ['GET', '/api/v1/namespaces/shop/pods/web-1?watch=true', 'get pods shop web-1'],
  ['POST', '/api/v1/namespaces/shop/pods', 'create pods shop -'],
  ['PUT', '/apis/apps/v1/namespaces/shop/deployments/web/scale', 'update deployments.apps/scale shop web'],
  ['PATCH', '/apis/apps/v1/namespaces/shop/deployments/web', 'patch deployments.apps shop web'],
  ['DELETE', '/api/v1/namespaces/shop/pods/web-1', 'delete pods shop web-1'],
  ['DELETE', '/api/v1/namespaces/shop/pods', 'deletecollection pods shop -'],
  ['GET', '/api/v1/namespaces', 'list namespaces - -'],
  ['GET', '/api/v1/namespaces/shop', 'get namespaces shop shop'],
  ['PUT', '/api/v1/namespaces/shop/finalize', 'update namespaces/finalize shop shop'],
  ['GET', '/api/v1/nodes/node1', 'get nodes - node1'],
  ['GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node', 'get clusterroles.rbac.authorization.k8s.io - system:node'],
  // Streams run something, whatever the method of the request.
  ['GET', '/api/v1/namespaces/shop/pods/web-1/exec?command=sh', 'create pods/exec shop web-1'],
  ['POST', '/api/v1/namespaces/shop/pods/web-1/exec?command=sh', 'create pods/exec shop web-1'],
  ['POST', '/api/v1/namespaces/shop/pods/web-1/attach', 'create pods/attach shop web-1'],
  ['GET', '/api', 'discovery'],
  ['GET', '/apis', 'discovery'],
  ['GET', '/api/v1', 'discovery'],
  ['GET', '/apis/apps', 'discovery'],
  ['GET', '/apis/apps/v1?timeout=32s', 'discovery'],
  ['GET', '/openapi/v3/apis/apps/v1?hash=AB', 'discovery'],
  ['GET', '/version', 'discovery'],
  ['GET', '/livez/ping', 'discovery'],
  // The form of generated clients.
  ['GET', '/version/', 'discovery'],
  ['GET', '/api/', 'discovery'],
  ['GET', '/api/v1/', 'discovery'],
  ['GET', '/apis/', 'discovery'],
  ['GET', '/apis/apps/', 'discovery'],
  ['GET', '/apis/rbac.authorization.k8s.io/v1beta1/', 'discovery'],
])('%s %s is %s', (method, target, meaning) => expect(about(method, target)).toBe(meaning));

describe('refused', () => {
  test.each([
    ['another method', 'OPTIONS', '/api/v1/pods'],
    ['a method in another case', 'get', '/api/v1/pods'],
    ['an empty segment', 'GET', '/api/v1//pods'],
    ['a slash at the end', 'GET', '/api/v1/pods/'],
    ['two slashes in front', 'GET', '//api/v1/pods'],
    ['two slashes at the end of discovery', 'GET', '/apis//'],
    ['a slash at the end of health', 'GET', '/readyz/'],
    ['writing to discovery with a slash', 'POST', '/apis/apps/v1/'],
    ['a dot segment', 'GET', '/api/v1/namespaces/shop/pods/..'],
    ['a dot segment in the middle', 'GET', '/api/v1/namespaces/../pods'],
    ['a single dot', 'GET', '/api/v1/./pods'],
    ['an escaped slash', 'GET', '/api/v1/namespaces/shop%2fpods/web'],
    ['an escape of nothing special', 'GET', '/api/v1/p%6fds'],
    ['a backslash', 'GET', '/api/v1\\pods'],
    ['a fragment', 'GET', '/api/v1/pods#x'],
    ['an absolute form', 'GET', 'https://api/api/v1/pods'],
    ['upper case in a resource', 'GET', '/api/v1/Pods'],
    ['an unknown root', 'GET', '/logs/'],
    ['metrics', 'GET', '/metrics'],
    ['the root', 'GET', '/'],
    ['the obsolete watch prefix', 'GET', '/api/v1/watch/namespaces/shop/pods'],
    ['the obsolete proxy prefix', 'GET', '/api/v1/proxy/namespaces/shop/pods/web'],
    ['a path below a subresource', 'GET', '/api/v1/nodes/node1/proxy/exec/ns/pod/c'],
    ['deleting by exec', 'DELETE', '/api/v1/namespaces/shop/pods/web/exec'],
    ['a resource named namespaces in a group', 'GET', '/apis/apps/v1/namespaces/shop'],
    ['a status of such a resource', 'GET', '/apis/apps/v1/namespaces/shop/status'],
    ['a repeated watch', 'GET', '/api/v1/pods?watch=false&watch=true'],
    ['a watch in another case', 'GET', '/api/v1/pods?Watch=true'],
    ['a watch with an escaped name', 'GET', '/api/v1/pods?w%61tch=true'],
    ['a watch that parsers of booleans interpret differently', 'GET', '/api/v1/pods?watch=yes'],
    ['a watch without a value', 'GET', '/api/v1/pods?watch'],
    ['a semicolon in the query', 'GET', '/api/v1/pods?a=1;watch=true'],
    ['a broken escape in the query', 'GET', '/api/v1/pods?a=%4'],
    ['a line break', 'GET', '/api/v1/pods?a=\r\nImpersonate-User: x'],
    ['writing to discovery', 'POST', '/apis'],
    ['an update without a name', 'PUT', '/api/v1/namespaces/shop/pods'],
  ])('%s', (_claim, method, target) => expect(parseKubeTarget(method, target)).toBeNull());
});

describe('for any input', () => {
  const segment = fc.constantFrom(
    'api',
    'apis',
    'v1',
    'v1beta1',
    'apps',
    'namespaces',
    'shop',
    'pods',
    'exec',
    'status',
    'finalize',
    'watch',
    'proxy',
    'x',
    '..',
    '',
    'a%2fb',
    'A',
  );
  const target = fc
    .tuple(
      fc.array(segment, { maxLength: 9 }),
      fc.constantFrom('', '?watch=true', '?watch=True', '?watch=1', '?watch=false', '?watch=FALSE', '?x=1', '?watch='),
    )
    .map(([segments, query]) => `/${segments.join('/')}${query}`);
  const method = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE');

  test('a parsed request means the same to the API server, except that streams count as create', () => {
    fc.assert(
      fc.property(method, target, (verb, path) => {
        const parsed = parseKubeTarget(verb, path);
        if (parsed === null) return;
        const theirs = requestInfo(verb, path);
        if (parsed.kind === 'discovery') {
          expect(theirs).toBeNull();
          return;
        }
        const { request } = parsed;
        const stream = request.subresource !== null && ['exec', 'attach', 'portforward'].includes(request.subresource);
        expect(stream ? { ...request, verb: theirs?.verb } : request).toEqual(theirs);
      }),
      { numRuns: 20_000 },
    );
  });

  test('parsing never throws, and the target is passed on unchanged', () => {
    fc.assert(
      fc.property(method, fc.oneof(target, fc.string({ unit: 'binary' }), fc.webPath()), (verb, text) => {
        const parsed = parseKubeTarget(verb, text);
        if (parsed !== null) expect(`${parsed.path}${text.includes('?') ? '?' : ''}${parsed.query}`).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });

  test('a query is parsed as it was written', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text), { maxLength: 5 }), (pairs) => {
        const query = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
        if (query !== '') expect(parseQuery(query)).toEqual(pairs);
      }),
    );
  });
});
