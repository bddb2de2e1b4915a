import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { kubeRole, openKubeWorld } from '../testing/kube-world.js';
import type { KubeWorld, Pair } from '../testing/kube-world.js';
import type { SpdyEnd } from '../testing/spdy-client.js';

let world: KubeWorld;
let ann: Pair;
beforeAll(async () => {
  world = await openKubeWorld();
  ann = await world.user();
});
afterAll(() => world.close());
beforeEach(() => {
  world.renew();
  world.answer = (_, response) => void response.end('{"status":{"containerStatuses":[{"name":"main","imageID":"repo@sha256:00"}]}}');
});

const POD = '/east/api/v1/namespaces/shop/pods/web-1';
const EXEC = `${POD}/exec?command=sh&container=main&stdin=true&stdout=true&stderr=true`;
const TERMINAL = `${POD}/exec?command=sh&container=main&stdin=true&stdout=true&tty=true`;
const frame = (channel: number, text: string): Buffer => Buffer.concat([Buffer.of(channel), Buffer.from(text)]);
const closed = (side: WebSocket): Promise<unknown> => (side.readyState === 3 ? Promise.resolve() : once(side, 'close'));
const last = () => world.recorder.recordings().at(-1)!;

/** A stream with both of its ends, and the data that each received. */
async function stream(path = EXEC, protocols?: readonly string[]) {
  const accepted = new Promise<WebSocket>((resolve) => {
    world.stream = (server) => resolve(server);
  });
  const client = await world.connect(ann, path, protocols);
  const server = await accepted;
  const [toClient, toServer]: [Buffer[], Buffer[]] = [[], []];
  const watch = (side: WebSocket, got: Buffer[]) => {
    const waiting = new Set<() => void>();
    side.on('message', (data) => {
      got.push(data as Buffer);
      for (const wake of waiting) wake();
    });
    return (text: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!Buffer.concat(got).includes(text)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
  };
  return { client, server, toClient, toServer, shown: watch(client, toClient), reached: watch(server, toServer) };
}

describe('a stream to a container', () => {
  it('is relayed frame by frame and recorded with its pod, image, size and exit code', async () => {
    const { client, server, shown, reached } = await stream(TERMINAL);
    expect(world.seen.at(-1)).toMatchObject({
      url: '/api/v1/namespaces/shop/pods/web-1/exec?container=main&command=sh&stdin=true&stdout=true&tty=true',
      headers: { 'impersonate-user': ['steno:ann'], 'impersonate-group': ['devs'], authorization: ['Bearer upstream-secret'] },
    });
    client.send(frame(4, '{"Width":100,"Height":30}'));
    client.send(frame(0, 'ls\r'));
    await reached('ls\r');
    server.send(frame(1, 'a b\r\n'));
    await shown('a b');
    server.send(frame(3, '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}'));
    server.close();
    await closed(client);
    await world.recorded();
    const { header, lines, exit } = last();
    expect(header.steno).toMatchObject({
      kind: 'exec',
      user: 'ann',
      login: 'steno:ann',
      node: 'east/shop/web-1',
      tty: true,
      labels: { env: 'dev' },
      pod: { cluster: 'east', namespace: 'shop', pod: 'web-1', container: 'main', image: 'repo@sha256:00' },
    });
    expect([last().bytes('in').toString(), last().bytes('out').toString(), exit]).toEqual(['ls\r', 'a b\r\n', '7']);
    expect(lines.filter(({ code }) => code === 'r').map(({ data }) => data)).toEqual(['100x30']);
    expect(lines.filter(({ code }) => code === 'g').map(({ data }) => data)).toMatchObject([{ reason: 'kernel_events' }]);
  });

  it('passes on the end of input, separates errors from output, and speaks version 4 to clients that offer only that', async () => {
    const { client, server, shown, reached, toServer } = await stream(EXEC);
    client.send(Buffer.of(255, 0));
    client.send(frame(4, '{"Width":1,"Height":1}'));
    await reached('Width');
    expect(toServer[0]).toEqual(Buffer.of(255, 0));
    server.send(frame(2, 'oops'));
    await shown('oops');
    server.close();
    await closed(client);
    await world.recorded();
    expect(last().bytes('err').toString()).toBe('oops');
    const old = await stream(EXEC, ['base64.channel.k8s.io', 'v4.channel.k8s.io']);
    expect([old.client.protocol, old.server.protocol]).toEqual(['v4.channel.k8s.io', 'v4.channel.k8s.io']);
    old.client.close();
    await closed(old.server);
  });

  it('ends with its client, and when the API server dies', async () => {
    const left = await stream();
    left.client.terminate();
    await closed(left.server);
    const died = await stream();
    died.server.terminate();
    await closed(died.client);
    await world.recorded();
    expect(world.recorder.live.size).toBe(0);
  });

  it.each([
    ['output', frame(1, 'x')],
    ['a status', frame(3, '{}')],
    ['an unknown channel', frame(7, '')],
    ['an invalid size', frame(4, '{"Width":"x"}')],
  ])('ends when its client sends %s, which is not passed on', async (_claim, bytes) => {
    const { client, server, toServer, toClient } = await stream();
    client.send(bytes);
    await Promise.all([closed(client), closed(server)]);
    expect(toServer).toEqual([]);
    expect(Buffer.concat(toClient).toString()).toContain('KUBE_REQUEST_REFUSED');
  });

  it('reaches the API server frame by frame, each unchanged: neither cut, nor joined, nor altered by a mask', async () => {
    const { client, server, toServer, reached } = await stream();
    const wire: Buffer[] = [];
    // The bytes that were sent, before ws reads them.
    (server as unknown as { _socket: Socket })._socket.prependListener('data', (chunk: Buffer) => wire.push(Buffer.from(chunk)));
    const frames = Array.from({ length: 64 }, (_, i) => frame(0, `${i}:${'x'.repeat(32 << 10)}`));
    for (const one of frames) client.send(one);
    client.send(frame(0, 'last'));
    await reached('last');
    expect(toServer).toEqual([...frames, frame(0, 'last')]);
    const sent = Buffer.concat(wire);
    for (const one of frames) expect(sent.includes(one)).toBe(true);
    // A frame of at most 64 KiB has 4 bytes of head and 4 bytes of mask.
    expect(sent.length).toBe(Buffer.concat(frames).length + 5 + 8 * frames.length + 6);
    client.close();
    await closed(server);
  });

  it('accepts text as bytes, as the API server does for clients in Python', async () => {
    const { client, server, toServer, reached } = await stream();
    client.send('\0ls ümläut');
    await reached('ls ümläut');
    expect(toServer).toEqual([frame(0, 'ls ümläut')]);
    client.close();
    await closed(server);
    await world.recorded();
    expect(last().bytes('in').toString()).toBe('ls ümläut');
  });

  it('ends when its client sends text on another channel, or a frame over the limit', async () => {
    const text = await stream();
    text.client.send('0ls');
    await Promise.all([closed(text.client), closed(text.server)]);
    const large = await stream();
    large.client.send(Buffer.alloc((4 << 20) + 2));
    await Promise.all([closed(large.client), closed(large.server)]);
    expect(large.toServer).toEqual([]);
  });
});

/** A SPDY stream with both of its ends, and all streams of the command open. */
async function spdyStream(path = EXEC) {
  const accepted = new Promise<SpdyEnd>((resolve) => {
    world.spdy = (server) => resolve(server);
  });
  const client = await world.connectSpdy(ann, path);
  const server = await accepted;
  const kinds = ['error', 'stdin', 'stdout', ...(path.includes('tty') ? ['resize'] : ['stderr'])];
  const ends = new Map(kinds.map((streamtype) => [streamtype, client.open({ streamtype })]));
  const far = new Map(await Promise.all(kinds.map(async (kind) => [kind, await server.stream(kind)] as const)));
  return { client, server, near: (kind: string) => ends.get(kind)!, far: (kind: string) => far.get(kind)! };
}

const FAILED = '{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}';

describe('a stream over SPDY', () => {
  it('is relayed stream by stream and recorded like a WebSocket, with its size, the end of its input and its exit code', async () => {
    const { client, server, near, far } = await spdyStream(TERMINAL);
    expect(world.seen.at(-1)).toMatchObject({
      method: 'POST',
      url: '/api/v1/namespaces/shop/pods/web-1/exec?container=main&command=sh&stdin=true&stdout=true&tty=true',
      headers: { 'impersonate-user': ['steno:ann'], 'impersonate-group': ['devs'], authorization: ['Bearer upstream-secret'] },
    });
    near('resize').stream.write(Buffer.from('{"Width":100,'));
    near('resize').stream.write(Buffer.from('"Height":30}\n{"Width":90,"Height":20}\n'));
    await far('resize').until(({ got }) => got.toString() === '{"Width":100,"Height":30}\n{"Width":90,"Height":20}\n');
    near('stdin').stream.write(Buffer.from('ls\r'));
    near('stdin').stream.end();
    await far('stdin').until(({ ended, got }) => ended && got.toString() === 'ls\r');
    far('stdout').stream.write(Buffer.from('a b\r\n'));
    far('error').stream.write(Buffer.from(FAILED.slice(0, 20)));
    far('error').stream.write(Buffer.from(FAILED.slice(20)));
    far('error').stream.end();
    server.connection.close();
    await near('error').until(({ ended, got }) => ended && got.toString() === FAILED);
    await near('stdout').until(({ ended, got }) => ended && got.toString() === 'a b\r\n');
    await client.closed;
    await world.recorded();
    const { header, lines, exit } = last();
    expect(header.steno).toMatchObject({ kind: 'exec', node: 'east/shop/web-1', tty: true });
    expect([last().bytes('in').toString(), last().bytes('out').toString(), exit]).toEqual(['ls\r', 'a b\r\n', '7']);
    expect(lines.filter(({ code }) => code === 'r').map(({ data }) => data)).toEqual(['100x30', '90x20']);
  });

  it('a lock ends it at once, with the reason on the terminal and in the final Status', async () => {
    const { client, server, near } = await spdyStream(TERMINAL);
    world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'incident', expires_at: null }] };
    world.changed();
    await Promise.all([client.closed, server.closed]);
    expect(near('stdout').got.toString()).toContain('incident [LOCKED]');
    expect(JSON.parse(near('error').got.toString())).toMatchObject({ status: 'Failure', reason: 'Forbidden' });
  });

  it.each([
    ['output', (streams: Awaited<ReturnType<typeof spdyStream>>) => streams.near('stdout').stream.write(Buffer.from('x'))],
    [
      'a stream that the command does not have',
      (streams: Awaited<ReturnType<typeof spdyStream>>) => streams.client.open({ streamtype: 'resize' }),
    ],
    ['a stream twice', (streams: Awaited<ReturnType<typeof spdyStream>>) => streams.client.open({ streamtype: 'stdin' })],
  ])('ends when its client sends %s, which is not passed on', async (_claim, send) => {
    const streams = await spdyStream();
    send(streams);
    await Promise.all([streams.client.closed, streams.server.closed]);
    expect(streams.near('error').got.toString()).toContain('KUBE_REQUEST_REFUSED');
    expect([...streams.server.streams.values()].map(({ got }) => got.length)).toEqual([0, 0, 0, 0]);
  });

  it('ends with its client, and when the API server dies', async () => {
    const left = await spdyStream();
    left.client.connection.destroy();
    await left.server.closed;
    const died = await spdyStream();
    died.server.connection.destroy();
    await died.client.closed;
    await world.recorded();
    expect(world.recorder.live.size).toBe(0);
  });

  it('passes megabytes both ways unchanged', async () => {
    const { client, near, far } = await spdyStream();
    const piece = Buffer.alloc(32_768, 'abcdefg');
    for (let i = 0; i < 256; i++) {
      near('stdin').stream.write(piece);
      far('stdout').stream.write(piece);
    }
    await far('stdin').until(({ got }) => got.length === 256 * piece.length);
    await near('stdout').until(({ got }) => got.length === 256 * piece.length);
    expect(far('stdin').got.equals(Buffer.concat(Array.from({ length: 256 }, () => piece)))).toBe(true);
    client.connection.destroy();
    await world.recorded();
  });

  it('is refused without the recorded protocol and with a body; refusals by the API server keep their words', async () => {
    await expect(world.connectSpdy(ann, EXEC, 'v3.channel.k8s.io')).rejects.toThrow(/KUBE_UNSUPPORTED/);
    await expect(world.connectSpdy(ann, EXEC, 'v4.channel.k8s.io', { 'content-length': '5' })).rejects.toThrow(/KUBE_REQUEST_REFUSED/);
    await expect(world.connectSpdy(ann, `${POD.replace('web-1', 'absent')}/exec?command=sh&stdout=true`)).rejects.toThrow(
      /404 pods "absent" not found/,
    );
  });
});

describe('control', () => {
  it('a lock on the user ends it at once, with the reason on the terminal and in the final Status', async () => {
    const { client, server, toClient } = await stream(TERMINAL);
    world.snapshot = { ...world.snapshot, locks: [{ id: 'l', target_kind: 'user', target: 'ann', reason: 'incident', expires_at: null }] };
    world.changed();
    await Promise.all([closed(client), closed(server)]);
    const [words, status] = toClient.slice(-2);
    expect([words![0], words!.toString()]).toEqual([1, expect.stringContaining('incident [LOCKED]')]);
    expect([status![0], JSON.parse(status!.subarray(1).toString())]).toMatchObject([3, { status: 'Failure', reason: 'Forbidden' }]);
    await world.recorded();
    expect(last().bytes('out').toString()).toContain('LOCKED');
    expect(world.audits.map(({ event }) => event)).toEqual(['session.ended', 'lock.enforced']);
  });

  it('a lock on the session ends that session, and a freeze discards typed input and still shows output', async () => {
    const { client, server, toServer, shown } = await stream(TERMINAL);
    const session = [...world.recorder.live][0]!;
    const lock = (target_kind: 'session' | 'session-input') => ({
      id: 'l',
      target_kind,
      target: session,
      reason: 'look',
      expires_at: null,
    });
    world.snapshot = { ...world.snapshot, locks: [lock('session-input')] };
    world.changed();
    await shown('is frozen');
    client.send(frame(0, 'rm -rf /\r'));
    client.send(frame(4, '{"Width":90,"Height":20}'));
    server.send(frame(1, 'still printing'));
    await shown('still printing');
    world.snapshot = { ...world.fresh, version: world.snapshot.version };
    world.changed();
    await shown('no longer frozen');
    client.send(frame(0, 'ls\r'));
    await new Promise<void>((resolve) => {
      const look = (): void => (Buffer.concat(toServer).includes('ls\r') ? resolve() : void server.once('message', look));
      look();
    });
    expect(Buffer.concat(toServer).toString()).not.toContain('rm -rf');
    world.snapshot = { ...world.snapshot, locks: [lock('session')] };
    world.changed();
    await Promise.all([closed(client), closed(server)]);
    await world.recorded();
    expect(last().lines.some(({ code, data }) => code === 'g' && (data as { reason: string }).reason === 'input_discarded')).toBe(true);
    expect(last().bytes('in').toString()).toBe('ls\r');
  });

  it('a freeze holds the input of a stream without a terminal, in order, and delivers it afterwards', async () => {
    const { client, server, toServer, reached } = await stream(EXEC);
    const session = [...world.recorder.live][0]!;
    world.snapshot = {
      ...world.snapshot,
      locks: [{ id: 'l', target_kind: 'session-input', target: session, reason: '', expires_at: null }],
    };
    world.changed();
    client.send(frame(0, 'one '));
    client.send(frame(0, 'two'));
    client.send(frame(4, '{"Width":1,"Height":1}'));
    await reached('Width');
    expect(Buffer.concat(toServer).toString()).not.toContain('one');
    world.snapshot = { ...world.fresh, version: world.snapshot.version };
    world.changed();
    await reached('two');
    expect(Buffer.concat(toServer.filter((bytes) => bytes[0] === 0).map((bytes) => bytes.subarray(1))).toString()).toBe('one two');
    client.close();
    await closed(server);
  });

  it('a strict recording that fails ends the stream', async () => {
    const { client, server, toClient } = await stream();
    world.recorder.break();
    await Promise.all([closed(client), closed(server)]);
    expect(Buffer.concat(toClient).toString()).toContain('RECORDING_IMPOSSIBLE');
  });
});

describe('refused before the API server is asked', () => {
  const streams = (): readonly string[] => world.seen.filter(({ url }) => /exec|attach/.test(url)).map(({ url }) => url);
  const refused = async (path: string, code: RegExp, protocols?: readonly string[]): Promise<void> => {
    await expect(world.connect(ann, path, protocols)).rejects.toThrow(code);
    expect(streams()).toEqual([]);
    expect(world.recorder.live.size).toBe(0);
  };

  it('for a role that only reads, because getting a stream runs a command', async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['g'], verbs: ['get', 'list', 'watch'] }])] };
    await refused(EXEC, /403 .*ACCESS_DENIED/);
  });
  it('for a role that permits pods but not their subresources', async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['g'], resources: ['pods'] }])] };
    await refused(EXEC, /403 .*ACCESS_DENIED/);
  });
  it('if it cannot be recorded', async () => {
    world.recorder.full = true;
    await refused(EXEC, /SPOOL_FULL/);
  });
  it('if the role demands kernel events', async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['g'] }], { recording: { enhanced: { mode: 'strict' } } })] };
    await refused(EXEC, /KERNEL_RECORDING_IMPOSSIBLE/);
  });
  it("over the role's limit of sessions", async () => {
    world.snapshot = { ...world.snapshot, roles: [kubeRole('dev', [{ groups: ['g'] }], { max_sessions: 1 })] };
    const { client, server } = await stream();
    await expect(world.connect(ann, EXEC)).rejects.toThrow(/SESSIONS_TOO_MANY/);
    client.close();
    await closed(server);
  });
  it.each([
    ['unknown parameters', `${EXEC}&tty=true&more=1`],
    ['a command for attach', `${POD}/attach?command=sh&stdout=true`],
    ['an upgrade of a plain request', POD],
  ])('%s', (_claim, path) => refused(path, /KUBE_REQUEST_REFUSED/));
  it('a protocol that is not recorded', () => refused(EXEC, /KUBE_UNSUPPORTED/, ['base64.channel.k8s.io']));
});

it('a refusal by the API server is passed on in its own words, with the headers that may pass', async () => {
  const path = `${POD.replace('web-1', 'absent')}/exec?command=sh&stdout=true`;
  await expect(world.connect(ann, path)).rejects.toThrow(/404 pods "absent" not found/);
  const socket = await world.raw(ann);
  const closing = once(socket, 'close');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==';
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n`);
  await closing;
  expect(text).toBe(
    'HTTP/1.1 404 Not Found\r\ncontent-length: 24\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\npods "absent" not found\n',
  );
});
