import { once } from 'node:events';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';
import { SpdyEnd } from '../testing/spdy-client.js';
import type { StreamEnd } from '../testing/spdy-client.js';

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterAll(() => world.close());
beforeEach(() => world.renew());

const FORWARD = '/east/api/v1/namespaces/shop/pods/web-1/portforward';
const PROTOCOL = 'portforward.k8s.io';
const last = () => world.recorder.recordings().at(-1)!;

async function forwarding(carrier: 'spdy' | 'websocket' = 'spdy') {
  const accepted = new Promise<SpdyEnd>((resolve) => {
    world.spdy = (server) => resolve(server);
  });
  let client: SpdyEnd;
  if (carrier === 'spdy') client = await world.connectSpdy(ann, FORWARD, PROTOCOL);
  else client = new SpdyEnd(await world.connectTunnel(ann, FORWARD, `SPDY/3.1+${PROTOCOL}`), 'client');
  return { client, server: await accepted };
}

/** Like kubectl, opens the error stream first and ends it at once. */
function connection(client: SpdyEnd, port: number, requestid: number): { readonly error: StreamEnd; readonly data: StreamEnd } {
  const headers = { port: String(port), requestid: String(requestid) };
  const error = client.open({ streamtype: 'error', ...headers });
  error.stream.end();
  return { error, data: client.open({ streamtype: 'data', ...headers }) };
}

describe.each(['spdy', 'websocket'] as const)('port-forward over %s', (carrier) => {
  it('carries connections both ways, each recorded with its port and its bytes', async () => {
    const { client, server } = await forwarding(carrier);
    expect(world.seen.at(-1)).toMatchObject({
      method: 'POST',
      url: '/api/v1/namespaces/shop/pods/web-1/portforward',
      headers: { 'impersonate-user': ['steno:ann'], 'x-stream-protocol-version': [PROTOCOL] },
    });
    const [one, two] = [connection(client, 8080, 0), connection(client, 5432, 1)];
    one.data.stream.write(Buffer.from('GET /'));
    two.data.stream.write(Buffer.from('select 1'));
    const [farOne, farTwo] = [await server.stream('data 0'), await server.stream('data 1')];
    expect([farOne.headers.get('port'), farTwo.headers.get('port')]).toEqual(['8080', '5432']);
    await farOne.until(({ got }) => got.toString() === 'GET /');
    await farTwo.until(({ got }) => got.toString() === 'select 1');
    farTwo.stream.write(Buffer.from('1 row'));
    farOne.stream.write(Buffer.from('200 OK'));
    await one.data.until(({ got }) => got.toString() === '200 OK');
    await two.data.until(({ got }) => got.toString() === '1 row');
    farOne.stream.end();
    await one.data.until(({ ended }) => ended);
    one.data.stream.reset();
    await farOne.until(({ wasReset }) => wasReset);
    client.connection.close();
    await Promise.all([client.closed, server.closed]);
    await world.recorded();
    const { header, lines } = last();
    expect(header.steno).toMatchObject({ kind: 'forward', user: 'ann', node: 'east/shop/web-1', tty: false });
    expect([1, 2].map((channel) => [last().bytes('in', channel).toString(), last().bytes('out', channel).toString()])).toEqual([
      ['GET /', '200 OK'],
      ['select 1', '1 row'],
    ]);
    const facts = lines.filter(({ code }) => code === 's').map(({ data }) => data);
    expect(facts).toMatchObject([
      { fact: 'forward_open', channel: 1, port: 8080, address: '127.0.0.1', direction: 'local' },
      { fact: 'forward_open', channel: 2, port: 5432 },
      { fact: 'forward_close', channel: 1 },
      { fact: 'forward_close', channel: 2 },
    ]);
  });

  it('an error that the kubelet reports for a connection reaches the client', async () => {
    const { client, server } = await forwarding(carrier);
    const { error } = connection(client, 9, 0);
    const far = await server.stream('error 0');
    far.stream.write(Buffer.from('connection refused'));
    far.stream.end();
    await error.until(({ ended, got }) => ended && got.toString() === 'connection refused');
    client.connection.destroy();
    await server.closed;
  });

  it('a lock ends it, and kubectl reads the reason', async () => {
    const { client, server } = await forwarding(carrier);
    const { error } = connection(client, 8080, 0);
    await server.stream('data 0');
    world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'incident', expires_at: null }] };
    world.changed();
    await Promise.all([client.closed, server.closed]);
    expect(error.got.toString()).toMatch(/incident \[LOCKED\]/);
  });
});

describe('port-forward by channels of a WebSocket, as clients in Python and JavaScript use it', () => {
  const CHANNELS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

  async function channels(ports: string) {
    const accepted = new Promise<SpdyEnd>((resolve) => {
      world.spdy = (server) => resolve(server);
    });
    const client = await world.connect(ann, `${FORWARD}?${ports}`, CHANNELS);
    const got = new Map<number, Buffer>();
    const waiting = new Set<() => void>();
    client.on('message', (data) => {
      const [number, bytes] = [(data as Buffer)[0]!, (data as Buffer).subarray(1)];
      got.set(number, Buffer.concat([got.get(number) ?? Buffer.alloc(0), bytes]));
      for (const look of waiting) look();
    });
    const closed = once(client, 'close');
    const until = (channel: number, holds: (bytes: Buffer) => boolean): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!holds(got.get(channel) ?? Buffer.alloc(0))) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    return { client, server: await accepted, got, until, closed };
  }
  const message = (channel: number, text: string): Buffer => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);

  it('carries a connection to each port of the query, recorded like those of kubectl', async () => {
    const { client, server, got, until, closed } = await channels('ports=8080,5432&ports=81');
    expect([client.protocol, world.seen.at(-1)]).toMatchObject([
      'v4.channel.k8s.io',
      { method: 'POST', url: '/api/v1/namespaces/shop/pods/web-1/portforward', headers: { 'x-stream-protocol-version': [PROTOCOL] } },
    ]);
    await until(5, (bytes) => bytes.length === 2);
    expect([0, 1, 2, 3, 4, 5].map((channel) => got.get(channel)!.readUInt16LE(0))).toEqual([8080, 8080, 5432, 5432, 81, 81]);
    client.send(message(0, 'GET /'));
    client.send(message(2, 'select 1'));
    const far = await Promise.all(['data 0', 'data 1', 'data 2', 'error 0', 'error 1', 'error 2'].map((name) => server.stream(name)));
    expect(far.map(({ headers }) => headers.get('port'))).toEqual(['8080', '5432', '81', '8080', '5432', '81']);
    await far[0]!.until((end) => end.got.toString() === 'GET /');
    await far[1]!.until((end) => end.got.toString() === 'select 1');
    far[0]!.stream.write(Buffer.from('200 OK'));
    await until(0, (bytes) => bytes.subarray(2).toString() === '200 OK');
    // The kubelet reports an error for one connection; the others continue.
    far[5]!.stream.write(Buffer.from('connection refused'));
    for (const end of [far[2]!, far[5]!]) end.stream.end();
    await until(5, (bytes) => bytes.subarray(2).toString() === 'connection refused');
    far[1]!.stream.write(Buffer.from('1 row'));
    await until(2, (bytes) => bytes.subarray(2).toString() === '1 row');
    for (const end of far) end.stream.end();
    // After the pod has ended every connection.
    expect((await closed)[0]).toBe(1000);
    await server.closed;
    await world.recorded();
    expect(last().header.steno).toMatchObject({ kind: 'forward', user: 'ann', node: 'east/shop/web-1' });
    expect([1, 2, 3].map((channel) => [last().bytes('in', channel).toString(), last().bytes('out', channel).toString()])).toEqual([
      ['GET /', '200 OK'],
      ['select 1', '1 row'],
      ['', ''],
    ]);
    const facts = last().lines.flatMap(({ code, data }) => (code === 's' ? [data as { fact: string; port?: number }] : []));
    expect(facts.flatMap(({ fact, port }) => (fact === 'forward_open' ? [port] : []))).toEqual([8080, 5432, 81]);
    expect(facts.filter(({ fact }) => fact === 'forward_close').length).toBe(3);
  });

  it('a port that no role permits is refused in words, and the others continue', async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'] }], { port_forwarding: { to: ['127.0.0.1:81'] } })] };
    world.changed();
    const { client, server, got, until, closed } = await channels('ports=80,81');
    await until(1, (bytes) => /no role allows port forwarding to 127.0.0.1:80.*ACCESS_DENIED/.test(bytes.toString()));
    client.send(message(0, 'nobody hears'));
    client.send(message(2, 'x'));
    await (await server.stream('data 1')).until((end) => end.got.toString() === 'x');
    expect([...server.streams.keys()].sort()).toEqual(['data 1', 'error 1']);
    world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'incident', expires_at: null }] };
    world.changed();
    await Promise.all([closed, server.closed]);
    expect(got.get(3)!.toString()).toMatch(/incident \[LOCKED\]/);
  });

  it.each([
    ['errors', message(1, 'x')],
    ['data for a port that it did not name', message(2, 'x')],
  ])('ends when the client sends %s', async (_claim, bytes) => {
    const { client, server, closed } = await channels('ports=80');
    client.send(bytes);
    await Promise.all([closed, server.closed]);
  });

  it('a client that does not read stops the pod', async () => {
    const { client, server } = await channels('ports=8080');
    const far = await server.stream('data 0');
    client.pause();
    let sent = 0;
    while (sent < 256 << 20 && server.connection.unread < 8 << 20) {
      far.stream.write(Buffer.alloc(65_536));
      sent += 65_536;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(server.connection.unread).toBeGreaterThan(1 << 20);
    client.terminate();
    await server.closed;
  });

  it.each([
    ['no port', ''],
    ['a port over 65535', 'ports=65536'],
    ['a port in another notation', 'ports=0x50'],
    ['port 0', 'ports=0'],
    ['an empty port', 'ports=80,'],
    ['another parameter', 'ports=80&address=0.0.0.0'],
    ['more ports than a byte can name', `ports=${Array.from({ length: 129 }, (_, i) => i + 1).join(',')}`],
  ])('%s is refused', async (_claim, query) => {
    await expect(world.connect(ann, `${FORWARD}?${query}`, CHANNELS)).rejects.toThrow(/KUBE_REQUEST_REFUSED/);
  });

  it('a request without the protocol is refused', async () => {
    await expect(world.connect(ann, `${FORWARD}?ports=80`, ['v5.channel.k8s.io'])).rejects.toThrow(/KUBE_UNSUPPORTED/);
  });
});

describe('control', () => {
  it('a port that no role permits is refused in words, and the others continue', async () => {
    world.snapshot = {
      ...world.snapshot,
      roles: [kubeRole('dev', [{ groups: ['devs'] }], { port_forwarding: { to: ['127.0.0.1:8080'] } })],
    };
    world.changed();
    const { client, server } = await forwarding();
    const denied = connection(client, 5432, 0);
    await denied.error.until(
      ({ ended, got }) => ended && /no role allows port forwarding to 127.0.0.1:5432.*ACCESS_DENIED/.test(got.toString()),
    );
    await denied.data.until(({ ended }) => ended);
    const allowed = connection(client, 8080, 1);
    allowed.data.stream.write(Buffer.from('x'));
    await (await server.stream('data 1')).until(({ got }) => got.toString() === 'x');
    expect([...server.streams.keys()].sort()).toEqual(['data 1', 'error 1']);
    // A role that takes the port away ends open connections to it.
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['devs'] }], { port_forwarding: { to: ['127.0.0.1:1'] } })] };
    world.changed();
    await allowed.error.until(({ ended, got }) => ended && got.toString().includes('ACCESS_DENIED'));
    await (await server.stream('data 1')).until(({ wasReset }) => wasReset);
    client.connection.destroy();
    await server.closed;
  });

  it.each([
    ['no port forwarding', kubeRole('dev', [{ groups: ['devs'] }], { port_forwarding: false })],
    ['pods only', kubeRole('dev', [{ groups: ['devs'], resources: ['pods'] }])],
    ['a denial', kubeRole('dev', [{ groups: ['devs'] }], { deny: { port_forwarding: { loopback: true } } })],
  ])('a role with %s refuses it before the API server is asked', async (_claim, role) => {
    world.snapshot = { ...world.snapshot, roles: [role] };
    world.changed();
    await expect(world.connectSpdy(ann, FORWARD, PROTOCOL)).rejects.toThrow(/403 .*ACCESS_DENIED/);
    expect(world.seen).toEqual([]);
  });

  it.each([
    ['parameters', `${FORWARD}?ports=80`, PROTOCOL, /KUBE_REQUEST_REFUSED/],
    ['another protocol', FORWARD, 'v4.channel.k8s.io', /KUBE_UNSUPPORTED/],
  ])('%s are refused', async (_claim, path, protocol, code) => {
    await expect(world.connectSpdy(ann, path, protocol)).rejects.toThrow(code);
  });

  it.each([
    ['without a port', { streamtype: 'data', requestid: '0' }],
    ['with port 65536', { streamtype: 'data', requestid: '0', port: '65536' }],
    ['with a port in another notation', { streamtype: 'data', requestid: '0', port: '0x50' }],
    ['of another type', { streamtype: 'stdin', requestid: '0', port: '80' }],
    ['without a number', { streamtype: 'data', port: '80' }],
  ])('a stream %s is refused and goes nowhere', async (_claim, headers) => {
    const { client, server } = await forwarding();
    await client.open(headers).until(({ wasReset }) => wasReset);
    expect(server.streams.size).toBe(0);
    client.connection.destroy();
    await server.closed;
  });

  it('a freeze holds what the client sends, and still shows output', async () => {
    const { client, server } = await forwarding();
    const { data } = connection(client, 8080, 0);
    data.stream.write(Buffer.from('one '));
    const far = await server.stream('data 0');
    await far.until(({ got }) => got.toString() === 'one ');
    const [session] = [...world.recorder.live];
    world.snapshot = {
      ...world.snapshot,
      locks: [{ id: 'l', target_kind: 'session-input', target: session!, reason: '', expires_at: null }],
    };
    world.changed();
    data.stream.write(Buffer.from('two'));
    far.stream.write(Buffer.from('still coming'));
    await data.until(({ got }) => got.toString() === 'still coming');
    expect(far.got.toString()).toBe('one ');
    world.snapshot = { ...world.fresh, version: world.snapshot.version };
    world.changed();
    await far.until(({ got }) => got.toString() === 'one two');
    client.connection.destroy();
    await server.closed;
  });

  it('a client that does not read stops the pod, and no data piles up', async () => {
    const { client, server } = await forwarding();
    connection(client, 8080, 0);
    const far = await server.stream('data 0');
    client.connection.pause();
    const piece = Buffer.alloc(65_536);
    const before = process.memoryUsage().rss;
    let sent = 0;
    while (sent < 256 << 20 && server.connection.unread < 8 << 20) {
      far.stream.write(piece);
      sent += piece.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(server.connection.unread).toBeGreaterThan(1 << 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 << 20);
    client.connection.destroy();
    await server.closed;
  });

  it('ends with the client or the API server, and leaves no recording open', async () => {
    const left = await forwarding();
    left.client.connection.destroy();
    await left.server.closed;
    const died = await forwarding('websocket');
    died.server.connection.destroy();
    await died.client.closed;
    await world.recorded();
    expect(world.recorder.live.size).toBe(0);
  });

  it('is refused if it cannot be recorded', async () => {
    world.recorder.full = true;
    await expect(world.connectSpdy(ann, FORWARD, PROTOCOL)).rejects.toThrow(/SPOOL_FULL/);
  });
});
