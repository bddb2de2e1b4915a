import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { FIRST_WINDOW, encodeFrame } from '#schemas/tunnel.js';
import { TunnelDuplex } from './duplex.js';
import { Chunks, Mux } from './mux.js';
import type { MuxOptions, MuxStream } from './mux.js';

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

interface Pair {
  readonly gateway: Mux;
  readonly agent: Mux;
  /** The underlying sockets, for tests that misbehave. */
  readonly sockets: { readonly gateway: WebSocket; readonly agent: WebSocket };
  readonly opened: TunnelDuplex[];
  readonly ended: Promise<string>;
  open(): TunnelDuplex;
}

/** Two ends over a real WebSocket on loopback. */
async function pair(more: Partial<MuxOptions> = {}): Promise<Pair> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  await once(server, 'listening');
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, { perMessageDeflate: false });
  const [[accepted]] = await Promise.all([once(server, 'connection') as Promise<[WebSocket]>, once(client, 'open')]);
  const opened: TunnelDuplex[] = [];
  let over: (reason: string) => void = () => undefined;
  const ended = new Promise<string>((resolve) => {
    over = resolve;
  });
  const gateway = new Mux(accepted, { side: 'gateway', onControl: () => undefined, onClose: over, ...more });
  const agent = new Mux(client, {
    side: 'agent',
    onControl: () => undefined,
    onClose: () => undefined,
    onOpen: (stream, queue) => void opened.push(new TunnelDuplex(stream, queue).on('error', () => undefined)),
  });
  closing.push(() => {
    gateway.close('over');
    agent.close('over');
    server.close();
  });
  return {
    gateway,
    agent,
    opened,
    ended,
    sockets: { gateway: accepted, agent: client },
    open: () => {
      const queue = new Chunks();
      return new TunnelDuplex(gateway.open({ kind: 'ssh', source: '192.0.2.1' }, queue), queue).on('error', () => undefined);
    },
  };
}

const gone = (stream: TunnelDuplex): Promise<void> => new Promise((resolve) => void stream.once('close', resolve));

/** Reads everything up to the end; unlike stream/consumers, leaves the other direction open. */
function all(stream: TunnelDuplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => void stream.once('end', () => resolve(Buffer.concat(chunks))));
}

async function other(ends: Pair, n: number): Promise<TunnelDuplex> {
  await expect.poll(() => ends.opened.length).toBeGreaterThan(n);
  return ends.opened[n]!;
}

describe('streams of a tunnel', () => {
  it('carry bytes both ways; each direction ends independently', async () => {
    const ends = await pair();
    const near = ends.open();
    const far = await other(ends, 0);
    const [up, down] = [randomBytes(3_000_000), randomBytes(5_000_000)];
    near.end(up);
    expect((await all(far)).equals(up)).toBe(true);
    far.end(down);
    expect((await all(near)).equals(down)).toBe(true);
    await expect.poll(() => ends.gateway.streams + ends.agent.streams).toBe(0);
  });

  it('one that nobody reads holds at most its window and does not delay others', async () => {
    const ends = await pair();
    const stalled = ends.open();
    const unread = await other(ends, 0);
    const flood = randomBytes(64 << 10);
    let sent = 0;
    const more = (): void => {
      while (stalled.write(flood)) sent += flood.length;
    };
    stalled.on('drain', more);
    more();
    const near = ends.open();
    const far = await other(ends, 1);
    far.pipe(far);
    const message = randomBytes(1_000_000);
    near.end(message);
    expect((await all(near)).equals(message)).toBe(true);
    // The window, both queues and data in flight.
    expect(sent).toBeLessThan(4 << 20);
    expect(unread.readableLength).toBeLessThanOrEqual(1 << 20);
  });

  it('a late reader gets everything, in order', async () => {
    const ends = await pair();
    const near = ends.open();
    const far = await other(ends, 0);
    const bytes = randomBytes(6_000_000);
    let at = 0;
    // Single bytes as well as large pieces.
    while (at < bytes.length) {
      const length = at % 3 === 0 ? 1 : 70_000;
      if (!near.write(bytes.subarray(at, at + length))) {
        if (far.readableFlowing === null) void all(far).then((got) => far.emit('got', got));
        await once(near, 'drain');
      }
      at += length;
    }
    const got = once(far, 'got') as Promise<[Buffer]>;
    near.end();
    expect((await got)[0].equals(bytes)).toBe(true);
  });

  it('a reset reaches the other end, and data that crosses it is ignored', async () => {
    const ends = await pair();
    const near = ends.open();
    const far = await other(ends, 0);
    far.on('error', () => undefined);
    near.destroy();
    far.write('crossing');
    await gone(far);
    const again = ends.open();
    const second = await other(ends, 1);
    second.pipe(second);
    again.end('still there');
    expect((await all(again)).toString()).toBe('still there');
  });

  it('a lost link ends every stream with the reason', async () => {
    const ends = await pair();
    const near = ends.open();
    const reasons: string[] = [];
    near.on('error', (error) => reasons.push(error.message));
    ends.sockets.agent.terminate();
    await gone(near);
    expect(reasons).toEqual(['the connection was lost']);
    expect(() => ends.open()).toThrow('its tunnel was lost');
  });

  it('a peer that goes silent is given up', async () => {
    const ends = await pair({ pingMs: 20, silenceMs: 60 });
    // Like a cut cable: the socket stays open, but nothing passes.
    ends.sockets.agent.pause();
    expect(await ends.ended).toContain('nothing was received');
  });

  const data = (bytes: number): Uint8Array => encodeFrame('data', 1, new Uint8Array(bytes));
  const faults: readonly [string, (ends: Pair) => void][] = [
    [
      'more data than was granted',
      ({ sockets }) => {
        for (let i = 0; i < 40; i++) sockets.agent.send(data(32 << 10));
      },
    ],
    [
      'data after an end',
      ({ sockets }) => {
        sockets.agent.send(encodeFrame('end', 1, new Uint8Array(0)));
        sockets.agent.send(data(1));
      },
    ],
    ['a stream that was never opened', ({ sockets }) => sockets.agent.send(encodeFrame('data', 7, new Uint8Array(1)))],
    ['an agent that opens streams', ({ sockets }) => sockets.agent.send(encodeFrame('open', 2, Buffer.from('{"kind":"ssh","source":""}')))],
    ['a frame of unknown type', ({ sockets }) => sockets.agent.send(Buffer.from([9, 0, 0, 0, 1]))],
    ['a truncated frame', ({ sockets }) => sockets.agent.send(Buffer.from([2]))],
    ['a text message', ({ sockets }) => sockets.agent.send('hello')],
    [
      'a window larger than allowed',
      ({ sockets }) => {
        for (let i = 0; i < 2; i++) sockets.agent.send(encodeFrame('window', 1, Buffer.from('ffffffff', 'hex')));
      },
    ],
    ['a window of three bytes', ({ sockets }) => sockets.agent.send(encodeFrame('window', 1, Buffer.alloc(3)))],
    ['a data frame over its limit', ({ sockets }) => sockets.agent.send(data((32 << 10) + 1))],
  ];
  for (const [what, act] of faults) {
    it(`ends the tunnel on ${what}`, async () => {
      const ends = await pair();
      const queue = new Chunks();
      const stream: MuxStream = ends.gateway.open({ kind: 'ssh', source: '' }, queue);
      let reason: string | undefined;
      stream.attach({
        data: () => stream.pause(),
        end: () => undefined,
        sent: () => undefined,
        closed: (why) => {
          reason = why;
        },
      });
      await other(ends, 0).then((far) => far.on('error', () => undefined));
      act(ends);
      expect(await ends.ended).toMatch(/tunnel carried an invalid frame/);
      expect(reason).toBeDefined();
    });
  }

  it('random frames end the tunnel or do nothing', async () => {
    for (let round = 0; round < 20; round++) {
      const ends = await pair();
      ends.open().on('error', () => undefined);
      (await other(ends, 0)).on('error', () => undefined);
      for (let i = 0; i < 50; i++) {
        const frame = randomBytes(Math.floor(Math.random() * 64));
        if (frame.length > 0) frame[0] = frame[0]! % 7;
        ends.sockets.agent.send(frame);
      }
      ends.sockets.agent.send(Buffer.from([77]));
      expect(await ends.ended).toMatch(/invalid/i);
    }
  });

  it('grants small windows once the budget of large ones is spent', async () => {
    const ends = await pair();
    const streams = Array.from({ length: 80 }, () => ends.open());
    await other(ends, 79);
    for (const stream of streams) stream.on('error', () => undefined);
    expect(ends.gateway.windowSize(FIRST_WINDOW)).toBe(FIRST_WINDOW);
  });
});
