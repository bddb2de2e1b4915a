import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freeEvent } from '#schemas/events/free-rows.js';
import type { FreeRow } from '#schemas/events/free-rows.js';
import { freeEventRows } from '#runtime/uplink/free-event-rows.js';
import { TestCa, kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterAll(() => world.close());
beforeEach(() => world.renew());

const LIST = '/east/api/v1/pods';
const message = (body: string): string => (JSON.parse(body) as { message: string }).message;

/** Everything received until the other side ends. */
async function rest(socket: TLSSocket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  if (!socket.closed) await once(socket, 'close').catch(() => undefined);
  return text;
}

describe('a permitted request', () => {
  it("reaches the API server as the user and groups of the roles, with the gateway's credential and an audit id", async () => {
    const { status, body } = await world.ask(ann, `${LIST}?limit=500`, {
      headers: { 'user-agent': 'kubectl/v1.34', accept: 'application/json' },
    });
    expect([status, body]).toEqual([200, '{"kind":"PodList"}']);
    const [{ url, headers }] = world.seen as [KubeWorld['seen'][number]];
    expect(url).toBe('/api/v1/pods?limit=500');
    expect(headers).toMatchObject({
      'impersonate-user': ['steno:ann'],
      'impersonate-group': ['devs'],
      authorization: ['Bearer upstream-secret'],
      'user-agent': ['kubectl/v1.34'],
      accept: ['application/json'],
      'audit-id': [expect.stringMatching(/^[0-9a-f-]{36}$/)],
    });
  });

  it('passes its body on unchanged', async () => {
    await world.ask(ann, '/east/api/v1/namespaces/x/configmaps', {
      method: 'POST',
      body: '{"data":{"a":"ü"}}',
      headers: { 'content-type': 'application/json' },
    });
    expect(world.seen[0]).toMatchObject({ method: 'POST', body: '{"data":{"a":"ü"}}' });
  });

  it('answers discovery without any group', async () => {
    await world.ask(ann, '/east/apis');
    expect(world.seen[0]!.headers).toMatchObject({ 'impersonate-user': ['steno:ann'] });
    expect(world.seen[0]!.headers['impersonate-group']).toBeUndefined();
  });
});

describe('the API server never sees these parts of a request', () => {
  it.each([
    ['impersonation', { 'Impersonate-User': 'system:admin', 'Impersonate-Group': ['system:masters', 'x'], 'Impersonate-Uid': '0' }],
    [
      'impersonation in other cases',
      { 'IMPERSONATE-USER': 'system:admin', 'impersonate-extra-scopes': 'view', 'ImPersonate-Extra-A%2fB': 'x' },
    ],
    ['credentials', { Authorization: 'Bearer stolen', 'Proxy-Authorization': 'Basic eA==', Cookie: 'a=b' }],
    ['request headers of a front proxy', { 'X-Remote-User': 'admin', 'X-Remote-Group': 'system:masters', 'X-Remote-Extra-Scopes': 'x' }],
    ['forwarding', { Forwarded: 'for=1.2.3.4', 'X-Forwarded-For': '1.2.3.4', Via: '1.1 x' }],
    [
      'hop-by-hop headers and the headers that they name',
      { Connection: 'keep-alive, Impersonate-User', 'Keep-Alive': 'timeout=5', TE: 'trailers' },
    ],
    ['an audit id from the client', { 'Audit-ID': 'chosen' }],
    ['a name with an underscore', { Impersonate_User: 'system:admin' }],
  ])('%s', async (_claim, headers) => {
    await world.ask(ann, LIST, { headers });
    const { headers: came } = world.seen[0]!;
    expect(Object.keys(came).sort()).toEqual(['audit-id', 'authorization', 'connection', 'host', 'impersonate-group', 'impersonate-user']);
    expect([came['impersonate-user'], came['impersonate-group'], came['authorization']]).toEqual([
      ['steno:ann'],
      ['devs'],
      ['Bearer upstream-secret'],
    ]);
    expect(came['audit-id']).not.toEqual(['chosen']);
  });
});

describe('a list of which roles permit a part', () => {
  const PODS = JSON.stringify({
    kind: 'PodList',
    metadata: { resourceVersion: '5', continue: 'eyJ9', remainingItemCount: 9 },
    items: ['shop/web', 'bank/safe'].map((one) => ({ metadata: { namespace: one.split('/')[0], name: one.split('/')[1] } })),
  });
  const answering = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }, status = 200): void => {
    world.answer = (_, response) => {
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
      response.end(body);
    };
  };
  beforeEach(() => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'], namespaces: ['shop'] }])] };
    world.changed();
  });

  it('is requested whole and as JSON, and shows that part', async () => {
    answering(PODS);
    const accept = 'application/vnd.kubernetes.protobuf, application/json';
    const { status, body, headers } = await world.ask(ann, `${LIST}?limit=500`, { headers: { accept, 'accept-encoding': 'gzip' } });
    expect([status, JSON.parse(body)]).toEqual([
      200,
      { kind: 'PodList', metadata: { resourceVersion: '5' }, items: [{ metadata: { namespace: 'shop', name: 'web' } }] },
    ]);
    expect(headers['content-length']).toBeUndefined();
    expect(world.seen[0]).toMatchObject({
      url: '/api/v1/pods',
      headers: { accept: ['application/json'], 'accept-encoding': ['identity'] },
    });
    expect(JSON.parse(world.recorder.events[0]!.data!)).toMatchObject({ hidden: 1 });
  });

  it('keeps refusals of the API server unchanged', async () => {
    answering('{"kind":"Status","code":403}', { 'content-type': 'application/json' }, 403);
    expect(await world.ask(ann, LIST)).toMatchObject({ status: 403, body: '{"kind":"Status","code":403}' });
  });

  it.each([
    ['in another form', 'k8s\0', { 'content-type': 'application/vnd.kubernetes.protobuf' }],
    ['compressed', PODS, { 'content-type': 'application/json', 'content-encoding': 'gzip' }],
  ])('that comes %s is not passed on', async (_claim, body, headers) => {
    answering(body, headers);
    expect(await world.ask(ann, LIST)).toMatchObject({ status: 502, body: expect.stringContaining('KUBE_UNREACHABLE') as string });
  });

  it('that breaks off in the middle breaks off for the client', async () => {
    answering(PODS.slice(0, -10));
    await expect(world.ask(ann, LIST)).rejects.toThrow();
  });

  it('is refused if the client accepts only protobuf, and for HEAD', async () => {
    expect((await world.ask(ann, LIST, { headers: { accept: 'application/vnd.kubernetes.protobuf' } })).body).toMatch(/KUBE_UNSUPPORTED/);
    expect((await world.ask(ann, LIST, { method: 'HEAD' })).status).toBe(403);
    expect(world.seen).toEqual([]);
  });

  it.each([
    ['objects', (one: object) => one],
    [
      'tables',
      (object: object) => ({ kind: 'Table', apiVersion: 'meta.k8s.io/v1', columnDefinitions: [], rows: [{ cells: ['a'], object }] }),
    ],
  ])('streamed as a watch of %s begins with that part and the bookmark that ends it', async (_claim, form) => {
    const [web, safe] = ['shop/web', 'bank/safe'].map((one) => ({ metadata: { namespace: one.split('/')[0], name: one.split('/')[1] } }));
    const end = { kind: 'Pod', metadata: { resourceVersion: '9', annotations: { 'k8s.io/initial-events-end': 'true' } } };
    const events = [
      { type: 'ADDED', object: form(web!) },
      { type: 'ADDED', object: form(safe!) },
      { type: 'BOOKMARK', object: end },
      { type: 'MODIFIED', object: form(safe!) },
      { type: 'MODIFIED', object: form(web!) },
    ].map((event) => `${JSON.stringify(event)}\n`);
    answering(events.join(''));
    const query = 'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    const { body } = await world.ask(ann, `${LIST}?${query}&limit=500`);
    expect(body).toBe([events[0], events[2], events[4]].join(''));
    expect(world.seen[0]!.url).toBe(`/api/v1/pods?${query}`);
  });

  it('a watch shows events by the current roles, and one that began whole ends when roles permit only a part', async () => {
    let send!: (text: string) => void;
    const begun = () =>
      new Promise<void>((resolve) => {
        world.answer = (_, response) => {
          response.writeHead(200, { 'content-type': 'application/json' });
          response.flushHeaders();
          send = (text) => void response.write(`${text}\n`);
          resolve();
        };
      });
    const event = (namespace: string, name: string): string => JSON.stringify({ type: 'ADDED', object: { metadata: { namespace, name } } });
    const open = async () => {
      const started = begun();
      const socket = await world.raw(ann);
      let text = '';
      socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
      socket.on('error', () => undefined);
      socket.write(`GET ${LIST}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n`);
      await started;
      const until = async (part: string): Promise<string> => {
        while (!text.includes(part)) await once(socket, 'data');
        return text;
      };
      return { socket, until };
    };
    const watch = await open();
    for (const one of [event('bank', 'safe'), event('shop', 'one')]) send(one);
    await watch.until('"one"');
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'], namespaces: ['bank'] }])] };
    world.changed();
    for (const one of [event('shop', 'two'), event('bank', 'three')]) send(one);
    const text = await watch.until('"three"');
    expect([text.includes('safe'), text.includes('two')]).toEqual([false, false]);
    watch.socket.destroy();
    world.snapshot = world.fresh;
    world.changed();
    const whole = await open();
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'], namespaces: ['bank'] }])] };
    const ended = once(whole.socket, 'close');
    world.changed();
    await ended;
  });
});

describe('a request never leaves the gateway if it is refused', () => {
  const refused = async (who: Pair, path: string, code: RegExp, options: Parameters<KubeWorld['ask']>[2] = {}): Promise<void> => {
    const { status, body } = await world.ask(who, path, options);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body).toMatch(code);
    expect(world.seen).toEqual([]);
  };

  it('by roles: the Status names the role and what it lacks', async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'], resources: ['secrets'] }])] };
    const { status, body } = await world.ask(ann, LIST);
    expect([status, JSON.parse(body)]).toMatchObject([403, { kind: 'Status', status: 'Failure', reason: 'Forbidden', code: 403 }]);
    expect(message(body)).toContain('no role of ann allows list pods on east');
    expect(world.audits).toMatchObject([
      { event: 'kube.refused', outcome: 'failure', code: 'ACCESS_DENIED', actor: 'ann', target: 'kube/east/pods' },
    ]);
    expect(world.seen).toEqual([]);
  });

  it.each([
    ['an unknown cluster', '/west/api/v1/pods', /KUBE_CLUSTER_UNKNOWN/],
    ['no cluster', '/api/v1/pods', /KUBE_REQUEST_REFUSED|KUBE_CLUSTER_UNKNOWN/],
    ['dot segments', '/east/api/v1/../../west/api/v1/pods', /KUBE_REQUEST_REFUSED/],
    ['an escaped slash', '/east/api/v1/namespaces/a%2fb/pods', /KUBE_REQUEST_REFUSED/],
    ['two slashes', '/east//api/v1/pods', /KUBE_REQUEST_REFUSED/],
    ['a proxy of a node', '/east/api/v1/nodes/n/proxy', /KUBE_UNSUPPORTED/],
    ['a proxy of a service', '/east/api/v1/namespaces/x/services/s/proxy', /KUBE_UNSUPPORTED/],
    ['a forwarded port', '/east/api/v1/namespaces/x/pods/p/portforward', /KUBE_REQUEST_REFUSED/],
  ])('by its path: %s', (_claim, path, code) => refused(ann, path, code));

  it('for a header that occurs twice', async () => {
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\ncontent-type: b\r\nConnection: close\r\n\r\n`);
    expect(await rest(socket)).toMatch(/^HTTP\/1.1 400 .*content-type occurs twice/s);
    expect(world.seen).toEqual([]);
  });

  it('for a lock on the user or the cluster, or for a role that no longer exists', async () => {
    world.snapshot = { ...world.fresh, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'incident', expires_at: null }] };
    await refused(ann, LIST, /LOCKED/);
    world.snapshot = {
      ...world.fresh,
      locks: [{ id: 'l', target_kind: 'kube-cluster', target: 'east', reason: 'incident', expires_at: null }],
    };
    await refused(ann, LIST, /LOCKED/);
    await refused(ann, '/east/api', /LOCKED/);
    world.snapshot = {
      ...world.fresh,
      locks: [{ id: 'l', target_kind: 'kube-cluster', target: 'west', reason: 'incident', expires_at: null }],
    };
    expect((await world.ask(ann, LIST)).status).toBe(200);
    world.seen.length = 0;
    world.snapshot = { ...world.fresh, roles: [] };
    await refused(ann, LIST, /ACCESS_DENIED/);
  });

  it('for a certificate that carries an expired access request', async () => {
    await refused(await world.user({ requests: ['r-1'] }), LIST, /REQUEST_OVER/);
  });

  it('because the CA of its certificate is no longer trusted, on a connection that stays open', async () => {
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'data');
    world.snapshot = { ...world.snapshot, x509_user_ca: [(await TestCa.open('newer')).pem] };
    world.seen.length = 0;
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(await rest(socket)).toContain('CERT_UNKNOWN_CA');
    expect(world.seen).toEqual([]);
  });
});

it('a certificate of an earlier user of the same name is refused, and the requests it began are ended', async () => {
  world.snapshot = { ...world.fresh, names_since: { ann: Date.now() + 3_600_000, bob: Date.now() + 3_600_000 } };
  expect(await world.ask(ann, LIST)).toMatchObject({
    status: 403,
    body: expect.stringContaining('earlier user named ann') as string,
  });
  world.snapshot = { ...world.fresh, names_since: { ann: Date.now() - 120_000, bob: Date.now() + 3_600_000 } };
  expect((await world.ask(ann, LIST)).status).toBe(200);
});

describe('smuggling through the framing of HTTP/1.1', () => {
  const hidden = `GET /east/api/v1/secrets HTTP/1.1\r\nHost: x\r\nImpersonate-User: admin\r\n\r\n`;
  it.each([
    [
      'a length and chunks',
      `POST ${LIST} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ['two lengths', `POST ${LIST} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n${hidden}`],
    ['chunks under another name', `POST ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n${hidden}`],
    ['a space before the colon', `POST ${LIST} HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\n${hidden}`],
    ['a folded header', `GET ${LIST} HTTP/1.1\r\nHost: x\r\nAccept: a\r\n Impersonate-User: admin\r\n\r\n`],
    ['a bare line feed', `GET ${LIST} HTTP/1.1\r\nHost: x\nImpersonate-User: admin\r\n\r\n`],
    [
      'a GET with a chunked body, which would be passed on as it is',
      `GET ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    ],
    ['a GET with a body and a length', `GET ${LIST} HTTP/1.1\r\nHost: x\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`],
    [
      'a HEAD with a body',
      `HEAD ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    ],
    [
      'a DELETE with a chunked body',
      `DELETE ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    ],
    ['two transfer encodings', `POST ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['a chunk of a wrong length', `POST ${LIST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n${hidden}`],
  ])('%s: nothing but what the roles allow comes out, and no request that was hidden', async (_claim, bytes) => {
    const socket = await world.raw(ann);
    socket.end(bytes);
    await rest(socket);
    for (const { url, headers } of world.seen) {
      expect(url).not.toContain('secrets');
      expect([headers['impersonate-user'], headers['impersonate-group']]).toEqual([['steno:ann'], ['devs']]);
    }
  });

  it('the body of a DELETE reaches the API server as a body, and the next request on the connection as a request', async () => {
    const socket = await world.raw(ann);
    const body = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`;
    socket.write(`DELETE /east/api/v1/namespaces/x/pods/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    await once(socket, 'data');
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await rest(socket);
    expect(world.seen.map(({ method, url, body: came }) => [method, url, came])).toEqual([
      ['DELETE', '/api/v1/namespaces/x/pods/a', hidden],
      ['GET', '/api/v1/pods', ''],
    ]);
  });

  it('heads over the limit end the connection', async () => {
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nAccept: ${'a'.repeat(70_000)}\r\n\r\n`);
    await rest(socket);
    expect(world.seen).toEqual([]);
  });

  it('an upgrade to something other than a stream is refused', async () => {
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`);
    expect(await rest(socket)).toContain('KUBE_REQUEST_REFUSED');
    expect(world.seen).toEqual([]);
  });
});

describe('the answer', () => {
  it('begins before its body does, and ends at once when the user is locked', async () => {
    let gone: Promise<unknown> | undefined;
    world.answer = (request, response) => {
      gone = once(request.socket, 'close');
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      response.write('{"type":"ADDED"}\n');
    };
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST}?watch=true HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'data');
    const ended = rest(socket);
    world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: '', expires_at: null }] };
    world.changed();
    await ended;
    await gone;
    expect(world.audits.map(({ event, code }) => [event, code])).toEqual([
      ['session.ended', 'LOCKED'],
      ['lock.enforced', undefined],
    ]);
  });

  it('of an API server that breaks off is not taken for a complete one', async () => {
    world.answer = (request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{');
      setImmediate(() => request.socket.destroy());
    };
    await expect(world.ask(ann, LIST)).rejects.toThrow();
  });

  it('is not requested again when the client leaves: the API server sees the connection close', async () => {
    const began = new Promise<{ readonly gone: Promise<unknown> }>((resolve) => {
      world.answer = (request, response) => {
        response.writeHead(200);
        response.flushHeaders();
        resolve({ gone: once(request.socket, 'close') });
      };
    });
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n`);
    const { gone } = await began;
    socket.destroy();
    await gone;
  });

  it('has none of the headers that are between the gateway and the API server', async () => {
    world.answer = (_, response) => {
      response.writeHead(200, ['set-cookie', 'a=b', 'x-internal', '1', 'audit-id', 'id-1', 'warning', '299 - "a"', 'warning', '299 - "b"']);
      response.end('{}');
    };
    const { headers } = await world.ask(ann, LIST);
    expect(headers).toMatchObject({ 'audit-id': 'id-1', warning: '299 - "a", 299 - "b"' });
    expect([headers['set-cookie'], headers['x-internal']]).toEqual([undefined, undefined]);
  });

  it('of 64 MiB is not held in memory when the client stops reading', async () => {
    const total = 64 << 20;
    let sent = 0;
    world.answer = (_, response) => {
      response.writeHead(200, { 'content-length': String(total) });
      const more = (): void => {
        while (sent < total) {
          sent += 1 << 20;
          if (!response.write(Buffer.alloc(1 << 20))) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    };
    const socket = await world.raw(ann);
    socket.write(`GET ${LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await once(socket, 'readable');
    // Nothing is read, so data fills the buffers on the way and then stops.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(32 << 20);
    let read = 0;
    for await (const chunk of socket) read += (chunk as Buffer).length;
    expect(read).toBeGreaterThan(total);
  });
});

describe('every request leaves an event when it is over', () => {
  // These tests have a user of their own, because requests of other tests may still be ending.
  let bea: Pair;
  beforeAll(async () => {
    bea = await world.user({ user: 'bea' });
  });
  const own = () => world.recorder.events.filter(({ user }) => user === 'bea');
  /** A client may see the end of an answer before the gateway does. */
  const heard = async (count: number): Promise<void> => {
    while (own().length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  const events = () => own().map(({ data, ...event }) => ({ ...event, data: JSON.parse(data ?? '{}') as Record<string, unknown> }));

  it("if it was answered: with its object and the cluster's audit id, without query and body", async () => {
    world.answer = (_, response) => void response.end('{"data":{"password":"c2VjcmV0"}}');
    await world.ask(bea, '/east/api/v1/namespaces/shop/secrets/db?pretty=tokenlike', { headers: { 'user-agent': 'kubectl/v1.34' } });
    await world.ask(bea, '/east/api/v1/namespaces/shop/secrets', { method: 'POST', body: '{"stringData":{"a":"topsecret"}}' });
    await heard(2);
    expect(events()).toMatchObject([
      {
        kind: 'kube',
        user: 'bea',
        login: 'steno:bea',
        cluster: 'east',
        namespace: 'shop',
        path: '/api/v1/namespaces/shop/secrets/db',
        name: 'get secrets',
        outcome: 'success',
        reason: '',
        address: '127.0.0.1',
        size: 32,
        data: {
          verb: 'get',
          resource: 'secrets',
          object: 'db',
          code: 200,
          bytes_in: 0,
          user_agent: 'kubectl/v1.34',
          groups: ['devs'],
          audit_id: world.seen[0]!.headers['audit-id']![0],
        },
      },
      { name: 'create secrets', data: { code: 200, bytes_in: 32 } },
    ]);
    expect(JSON.stringify(own())).not.toMatch(/c2VjcmV0|topsecret|tokenlike/);
  });

  it('if it was refused, by the API server or by the gateway', async () => {
    world.answer = (_, response) => void response.writeHead(404).end('{}');
    await world.ask(bea, '/east/api/v1/namespaces/shop/pods/absent');
    await world.ask(bea, '/west/api/v1/pods');
    await world.ask(bea, '/east//api');
    await heard(3);
    expect(events()).toMatchObject([
      { name: 'get pods', pod: 'absent', outcome: 'failure', reason: '', data: { code: 404 } },
      { name: 'list pods', cluster: 'west', outcome: 'failure', reason: 'KUBE_CLUSTER_UNKNOWN', data: { code: null } },
      { name: 'get', cluster: '', outcome: 'failure', reason: 'KUBE_REQUEST_REFUSED' },
    ]);
  });

  it('and a request that could leave none is refused, unless the role says best_effort', async () => {
    world.recorder.full = true;
    try {
      expect((await world.ask(bea, LIST)).body).toContain('SPOOL_FULL');
      expect(world.seen).toEqual([]);
      world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'] }], { recording: { mode: 'best_effort' } })] };
      expect((await world.ask(bea, LIST)).status).toBe(200);
    } finally {
      world.recorder.full = false;
    }
  });

  it('as a row that ingest accepts, with a number of its own', async () => {
    await world.ask(bea, LIST);
    await heard(1);
    const rows = freeEventRows(Date.now());
    const lines = [1, 2].map(() => rows.complete(own()[0]!, Date.now(), () => new Uint8Array()));
    expect(lines.every((line) => rows.isRow(line))).toBe(true);
    expect(lines.map((line) => freeEvent(line as FreeRow, { kind: 'gateway', name: 'gw' }))).toMatchObject([
      { kind: 'kube', source: 'kubernetes', emitter: 'gateway/gw', index: 0 },
      { kind: 'kube', index: 1 },
    ]);
    expect(rows.isRow(rows.dropped(3, Date.now(), () => new Uint8Array()))).toBe(true);
  });
});

describe('a certificate is not accepted', () => {
  const fails = async (who: Pair): Promise<void> => {
    await expect(world.ask(who, LIST)).rejects.toThrow();
    expect(world.seen).toEqual([]);
  };
  it('from another CA', async () => fails(await world.user({}, await TestCa.open('users'))));
  it('of a service', async () => fails(await world.serviceCa.issue([{ CN: ['viewer/v'] }], [{ type: 'url', value: 'steno://viewer/v' }])));
  it('that has expired', async () => fails(await world.user({}, world.userCa, { seconds: -60, usages: ['1.3.6.1.5.5.7.3.2'] })));
  it('for servers', async () => fails(await world.user({}, world.userCa, { usages: ['1.3.6.1.5.5.7.3.1'] })));
  it('of the right CA, without the facts of a user', async () =>
    fails(await world.userCa.issue([{ O: ['dev'] }, { CN: ['ann'] }], [{ type: 'dns', value: 'ann' }])));
  it('with two users', async () =>
    fails(await world.userCa.issue([{ O: ['dev'] }, { CN: ['ann'] }, { CN: ['root'] }], [{ type: 'dns', value: 'ann' }])));
});

it('a refused discovery request has the error code for steno kube ls, and the time when the API server was last heard', async () => {
  const VERSION = '/east/version';
  const before = Date.now();
  // The gateway removes these headers from answers of the API server.
  world.answer = (_, response) => void response.writeHead(200, { 'steno-refusal': 'LOCKED', 'steno-last-heard': '1' }).end('{}');
  const { headers } = await world.ask(ann, VERSION);
  expect([headers['steno-refusal'], headers['steno-last-heard']]).toEqual([undefined, undefined]);
  const answered = Date.now();
  // An error answer of the API server does not count as being heard.
  world.answer = (_, response) => void response.writeHead(503).end('no');
  await world.ask(ann, VERSION);
  world.answer = (request) => void request.socket.destroy();
  const away = await world.ask(ann, VERSION);
  expect(away).toMatchObject({ status: 502, headers: { 'steno-refusal': 'KUBE_UNREACHABLE' } });
  const heard = Number(away.headers['steno-last-heard']);
  expect(heard).toBeGreaterThanOrEqual(before);
  expect(heard).toBeLessThanOrEqual(answered);
  world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'x', expires_at: null }] };
  world.changed();
  const locked = await world.ask(ann, VERSION);
  expect([locked.headers['steno-refusal'], locked.headers['steno-last-heard']]).toEqual(['LOCKED', undefined]);
  // For resources, the Status alone carries the reason.
  expect((await world.ask(ann, LIST)).headers['steno-refusal']).toBeUndefined();
});

it('everybody is refused while the authority is away', async () => {
  const { snapshot } = world;
  Object.defineProperty(world, 'snapshot', { get: () => null, set: () => undefined, configurable: true });
  const { status, body } = await world.ask(ann, LIST);
  Object.defineProperty(world, 'snapshot', { value: snapshot, writable: true, configurable: true });
  expect(status).toBe(503);
  expect(body).toContain('AUTHORITY_UNREACHABLE');
});
