import { PassThrough, Duplex } from 'node:stream';
import { constants, createInflate } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ZlibBlocks } from '../../testing/spdy-client.js';
import { SpdyConnection } from './connection.js';
import type { SpdyStream } from './connection.js';
import { FrameReader, dataFrame, goAwayFrame, pingFrame, rstFrame, synReplyFrame, synStreamFrame } from './frames.js';
import type { Frame } from './frames.js';
import { HeaderReader, HeaderWriter, MAX_BLOCK, SpdyError, dictionary } from './header-block.js';
import type { Headers } from './header-block.js';

const headers = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-z0-9-]{1,20}$/), fc.stringMatching(/^[ -~]{0,60}$/)), {
    maxLength: 6,
    selector: ([name]) => name,
  })
  .map((pairs): Headers => new Map(pairs));

describe('header blocks', () => {
  it('are read as zlib wrote them, at any level, one after another', () =>
    fc.assert(
      fc.asyncProperty(fc.array(headers, { minLength: 1, maxLength: 8 }), fc.integer({ min: 0, max: 9 }), async (blocks, level) => {
        const [writer, reader] = [new ZlibBlocks(level), new HeaderReader()];
        for (const block of blocks) expect(reader.read(await writer.write(block))).toEqual(block);
      }),
      { numRuns: 60 },
    ));

  it('can be read by zlib', async () => {
    const inflate = createInflate({ dictionary, finishFlush: constants.Z_SYNC_FLUSH });
    const got: Buffer[] = [];
    inflate.on('data', (chunk: Buffer) => got.push(chunk));
    const writer = new HeaderWriter();
    inflate.write(writer.write(new Map([['streamtype', 'error']])));
    inflate.end(writer.write(new Map()));
    await new Promise((resolve) => inflate.on('end', resolve));
    expect(Buffer.concat(got).toString('latin1')).toBe('\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error\0\0\0\0');
    expect(new HeaderReader().read(new HeaderWriter().write(new Map([['a', 'b']])))).toEqual(new Map([['a', 'b']]));
  });

  it('that inflate to megabytes are refused before they do', async () => {
    const bomb = await new ZlibBlocks().write(new Map([['x', 'a'.repeat(8 << 20)]]));
    expect(bomb.length).toBeLessThan(MAX_BLOCK);
    const before = process.memoryUsage().rss;
    expect(() => new HeaderReader().read(bomb)).toThrow(SpdyError);
    expect(process.memoryUsage().rss - before).toBeLessThan(8 << 20);
  });

  it.each([
    ['a name twice', '\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01a\0\0\0\0'],
    ['a capital letter', '\0\0\0\x01\0\0\0\x01A\0\0\0\0'],
    ['a length beyond the block', '\0\0\0\x01\0\0\0\x09a'],
    ['a count above the number of headers', '\0\0\0\x02\0\0\0\x01a\0\0\0\0'],
    ['bytes after the last header', '\0\0\0\0x'],
  ])('with %s are refused', (_claim, plain) => {
    const bytes = Buffer.from(plain, 'latin1');
    const block = new HeaderWriter().write(new Map());
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(bytes.length, 1);
    stored.writeUInt16LE(bytes.length ^ 0xffff, 3);
    expect(() => new HeaderReader().read(Buffer.concat([block.subarray(0, 6), stored, bytes, Buffer.of(0, 0, 0, 255, 255)]))).toThrow(
      SpdyError,
    );
  });
});

/** Frames with adjacent pieces of data joined: the division into pieces does not matter. */
function joined(frames: Iterable<Frame>): unknown[] {
  const all: { kind: string; stream?: number; bytes?: Buffer; fin?: boolean }[] = [];
  for (const frame of frames) {
    const last = all.at(-1);
    if (frame.kind === 'data' && last?.kind === 'data' && last.stream === frame.stream && last.fin === false) {
      last.bytes = Buffer.concat([last.bytes!, frame.bytes]);
      last.fin = frame.fin;
    } else all.push({ ...frame });
  }
  return all;
}

describe('frames', () => {
  const wire = (): Buffer => {
    const writer = new HeaderWriter();
    return Buffer.concat([
      synStreamFrame(1, writer.write(new Map([['streamtype', 'error']]))),
      synStreamFrame(3, writer.write(new Map([['streamtype', 'data']])), true),
      synReplyFrame(1, writer.write(new Map())),
      dataFrame(1, Buffer.from('hello'), false),
      dataFrame(1, Buffer.alloc(0), true),
      pingFrame(7),
      rstFrame(3, 5),
      goAwayFrame(3),
    ]);
  };

  it('are the same in pieces of any size', () => {
    const whole = joined(new FrameReader().push(wire()));
    expect(whole).toMatchObject([
      { kind: 'syn_stream', stream: 1, fin: false },
      { kind: 'syn_stream', stream: 3, fin: true },
      { kind: 'syn_reply', stream: 1 },
      { kind: 'data', stream: 1, bytes: Buffer.from('hello'), fin: true },
      { kind: 'ping', id: 7 },
      { kind: 'rst', stream: 3, status: 5 },
      { kind: 'go_away' },
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (cuts) => {
        const [reader, bytes, frames] = [new FrameReader(), wire(), [] as Frame[]];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + cuts[i % cuts.length]!;
          frames.push(...reader.push(bytes.subarray(at, end)));
          at = end;
        }
        expect(joined(frames)).toEqual(whole);
      }),
    );
  });

  it('of data are passed on before they are complete, and nothing of them is kept', () => {
    const reader = new FrameReader();
    const head = dataFrame(1, Buffer.alloc(0), false);
    head.writeUIntBE(0xffffff, 5, 3);
    expect([...reader.push(head)]).toEqual([]);
    for (let i = 0; i < 100; i++) expect([...reader.push(Buffer.alloc(65_536))]).toMatchObject([{ bytes: { length: 65_536 } }]);
  });

  it.each([
    ['another version', Buffer.of(0x80, 2, 0, 1, 0, 0, 0, 0)],
    ['an unknown type', Buffer.of(0x80, 3, 0, 99, 0, 0, 0, 0)],
    ['a control frame of 16 MB', Buffer.of(0x80, 3, 0, 4, 0, 0xff, 0xff, 0xff)],
    ['data of stream 0', Buffer.of(0, 0, 0, 0, 0, 0, 0, 0)],
    ['a ping that is too long', Buffer.of(0x80, 3, 0, 6, 0, 0, 0, 5, 0, 0, 0, 0, 0)],
    ['a stream without a priority', Buffer.of(0x80, 3, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1)],
    ['headers that are not compressed', Buffer.concat([Buffer.of(0x80, 3, 0, 1, 0, 0, 0, 14), Buffer.alloc(14, 1)])],
  ])('that are %s are refused', (_claim, bytes) => {
    expect(() => [...new FrameReader().push(bytes)]).toThrow(SpdyError);
  });
});

/** Two duplex streams connected to each other. */
function pair(): [Duplex, Duplex] {
  const [a, b] = [new PassThrough(), new PassThrough()];
  return [Duplex.from({ readable: a, writable: b }), Duplex.from({ readable: b, writable: a })];
}

describe('a connection', () => {
  const open = (opened: (stream: SpdyStream, headers: Headers) => boolean = () => true) => {
    const [near, far] = pair();
    let closed: (error: SpdyError | undefined) => void;
    const over = new Promise<SpdyError | undefined>((resolve) => (closed = resolve));
    const server = new SpdyConnection(near, 'server', Buffer.alloc(0), { opened, closed: (error) => closed(error) });
    server.resume();
    const reader = new FrameReader();
    const frames: Frame[] = [];
    const waiting = new Set<() => void>();
    far.on('data', (chunk: Buffer) => {
      frames.push(...reader.push(chunk));
      for (const look of waiting) look();
    });
    const until = (count: number): Promise<readonly Frame[]> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (frames.length < count) return;
          waiting.delete(look);
          resolve(frames);
        };
        waiting.add(look);
        look();
      });
    return { server, far, over, until };
  };

  it('accepts a stream, refuses one that nobody takes, and answers pings', async () => {
    const { far, until } = open((_, map) => map.get('streamtype') === 'error');
    const writer = new HeaderWriter();
    far.write(synStreamFrame(1, writer.write(new Map([['streamtype', 'error']]))));
    far.write(synStreamFrame(3, writer.write(new Map([['streamtype', 'else']]))));
    far.write(pingFrame(9));
    far.write(pingFrame(2));
    far.write(pingFrame(11));
    expect(await until(4)).toMatchObject([
      { kind: 'syn_reply', stream: 1 },
      { kind: 'rst', stream: 3, status: 3 },
      { kind: 'ping', id: 9 },
      { kind: 'ping', id: 11 },
    ]);
  });

  it('refuses streams over the limit, and continues', async () => {
    const { far, until } = open();
    const writer = new HeaderWriter();
    for (let i = 0; i < 1_025; i++) far.write(synStreamFrame(2 * i + 1, writer.write(new Map())));
    expect((await until(1_025)).filter(({ kind }) => kind === 'rst')).toEqual([{ kind: 'rst', stream: 2_049, status: 3 }]);
  });

  it.each([
    ['a stream with an id that belongs to the other side', () => [synStreamFrame(2, new HeaderWriter().write(new Map()))]],
    [
      'a stream twice',
      () => {
        const writer = new HeaderWriter();
        return [1, 1].map((id) => synStreamFrame(id, writer.write(new Map())));
      },
    ],
    [
      'data after the end',
      () => [
        synStreamFrame(1, new HeaderWriter().write(new Map())),
        dataFrame(1, Buffer.alloc(0), true),
        dataFrame(1, Buffer.from('x'), false),
      ],
    ],
  ])('ends with %s', async (_claim, frames) => {
    const { far, over } = open();
    far.on('error', () => undefined);
    for (const frame of frames()) far.write(frame);
    expect(await over).toBeInstanceOf(SpdyError);
  });

  it('ends when the peer sends pings without end and reads nothing', async () => {
    const [near, far] = pair();
    far.on('error', () => undefined);
    const over = new Promise<SpdyError | undefined>((resolve) => {
      new SpdyConnection(near, 'server', Buffer.alloc(0), { opened: () => true, closed: resolve }).resume();
    });
    const pings = Buffer.concat(Array.from({ length: 5_000 }, () => pingFrame(1)));
    for (let i = 0; i < 60; i++) far.write(pings);
    expect(await over).toBeInstanceOf(SpdyError);
  });
});
