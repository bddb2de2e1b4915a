import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeHeader, encodeLine } from '#schemas/recording/line.js';
import type { LineBody, RecordingHeader, RecordingMode, StreamFact } from '#schemas/recording/line.js';
import { extractFile, listFiles } from './recorded-files.js';
import type { ContentSink } from './recorded-files.js';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

class MemorySink implements ContentSink {
  content = Buffer.alloc(0);
  reset(): void {
    this.content = Buffer.alloc(0);
  }
  write(offset: number, bytes: Buffer): void {
    const whole = Buffer.alloc(Math.max(this.content.length, offset + bytes.length));
    this.content.copy(whole);
    bytes.copy(whole, offset);
    this.content = whole;
  }
  digest(): { size: number; sha256: string } {
    return { size: this.content.length, sha256: sha256(this.content) };
  }
}

function header(recording: Partial<RecordingMode> = {}, tty = false): string {
  const value = {
    version: 3,
    term: { cols: 80, rows: 24 },
    timestamp: 1,
    steno: {
      ...{
        format: 1,
        session: '01kqpjrpe07mhrtn7v2w02n0k8',
        kind: 'sftp',
        gateway: 'gw',
        counter: 1,
        user: 'ann',
        roles: [],
        node: 'n',
        login: 'l',
      },
      ...{
        source_address: '',
        client_version: '',
        certificate_serial: '1',
        certificate_key_id: 'user=ann',
        requests: [],
        tty,
        started_at: 1,
      },
      recording: { mode: 'strict', streams: 'full', limit: 0, ...recording },
    },
  };
  return encodeHeader(value as unknown as RecordingHeader);
}

const raw = (stream: 'in' | 'out' | 'err', bytes: Buffer, channel?: number): LineBody => ({
  code: 'b',
  data: { stream, replaces: false, base64: bytes.toString('base64'), ...(channel === undefined ? {} : { channel }) },
});
/** Cuts bytes into lines as the recorder does (gateway/recorder/streams.ts). */
const cutInto = (size: number, stream: 'in' | 'out', bytes: Buffer): LineBody[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => raw(stream, bytes.subarray(i * size, (i + 1) * size)));
const fact = (data: StreamFact): LineBody => ({ code: 's', data });
const moved = (protocol: 'sftp' | 'scp' | 'rsync', operation: 'read' | 'write', path: string, content: Buffer): LineBody =>
  fact({ fact: 'file', protocol, operation, path, size: content.length, sha256: sha256(content), outcome: 'success' });

function chunksOf(lines: readonly LineBody[], head = header(), size = 1_000_000): () => AsyncIterable<Uint8Array> {
  const all = [head, ...lines.map((line) => encodeLine(10, line))];
  return async function* () {
    let chunk = '';
    for (const line of all) {
      if (chunk.length + line.length > size && chunk !== '') {
        yield Buffer.from(chunk);
        chunk = '';
      }
      chunk += line;
    }
    yield Buffer.from(chunk);
  };
}

async function taken(chunks: () => AsyncIterable<Uint8Array>, n: number): Promise<Buffer> {
  const sink = new MemorySink();
  await extractFile(chunks, (await listFiles(chunks())).files[n - 1]!, sink);
  return sink.content;
}

/** Packets of sftp, version 3. */
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const text = (value: string | Buffer): Buffer => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
const packet = (type: number, ...fields: readonly Buffer[]): Buffer => {
  const body = Buffer.concat([Buffer.of(type), ...fields]);
  return Buffer.concat([u32(body.length), body]);
};
const u64 = (value: number): Buffer => Buffer.concat([u32(Math.floor(value / 2 ** 32)), u32(value % 2 ** 32)]);
const open = (id: number, path: string, flags: number): Buffer => packet(3, u32(id), text(path), u32(flags), u32(0));
const handle = (id: number, name: string): Buffer => packet(102, u32(id), text(name));
const write = (id: number, name: string, offset: number, bytes: Buffer): Buffer => packet(6, u32(id), text(name), u64(offset), text(bytes));
const read = (id: number, name: string, offset: number, length: number): Buffer => packet(5, u32(id), text(name), u64(offset), u32(length));
const data = (id: number, bytes: Buffer): Buffer => packet(103, u32(id), text(bytes));
const close = (id: number, name: string): Buffer => packet(4, u32(id), text(name));
const status = (id: number, code = 0): Buffer => packet(101, u32(id), u32(code), text(''), text(''));

describe('sftp', () => {
  const content = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 31) % 256));
  const upload: readonly (readonly ['in' | 'out', Buffer])[] = [
    ['in', packet(1, u32(3))],
    ['out', packet(2, u32(3))],
    ['in', open(1, '/tmp/up.bin', 0x1a)],
    ['out', handle(1, 'h0')],
    ['in', write(2, 'h0', 32_768, content.subarray(32_768))],
    ['in', write(3, 'h0', 0, content.subarray(0, 32_768))],
    ['out', Buffer.concat([status(2), status(3)])],
    ['in', close(4, 'h0')],
    ['out', status(4)],
    ['in', open(5, 'down.bin', 1)],
    ['out', handle(5, 'h0')],
    ['in', Buffer.concat([read(6, 'h0', 0, 40_000), read(7, 'h0', 40_000, 40_000), read(8, 'h0', 70_000, 40_000)])],
    ['out', Buffer.concat([data(7, content.subarray(40_000)), data(6, content.subarray(0, 40_000)), status(8, 1)])],
    ['in', close(9, 'h0')],
    ['out', status(9)],
  ];
  const facts = [moved('sftp', 'write', '/tmp/up.bin', content), moved('sftp', 'read', '/home/ann/down.bin', content)];

  it('returns written and read content, in whatever order the pieces passed', async () => {
    const chunks = chunksOf([...upload.flatMap(([stream, bytes]) => cutInto(32 << 10, stream, bytes)), ...facts]);
    const { files } = await listFiles(chunks());
    expect(files.map(({ n, operation, path, missing }) => [n, operation, path, missing])).toEqual([
      [1, 'write', '/tmp/up.bin', null],
      [2, 'read', '/home/ann/down.bin', null],
    ]);
    for (const n of [1, 2]) expect((await taken(chunks, n)).equals(content)).toBe(true);
  });

  it('does so however the stream is cut into lines and frames', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 97, max: 9_000 }), fc.integer({ min: 1, max: 40_000 }), async (cut, frame) => {
        const lines = upload.flatMap(([stream, bytes]) => cutInto(cut, stream, bytes));
        const chunks = chunksOf([...lines, ...facts], header(), frame);
        expect((await taken(chunks, 1)).equals(content)).toBe(true);
        expect((await taken(chunks, 2)).equals(content)).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it('is not returned if the digest does not match or the stream is malformed', async () => {
    const other = moved('sftp', 'write', '/tmp/up.bin', Buffer.from('another'));
    const chunks = chunksOf([...upload.flatMap(([stream, bytes]) => cutInto(32 << 10, stream, bytes)), other]);
    await expect(taken(chunks, 1)).rejects.toMatchObject({ code: 'FILE_MISSING' });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => {
        const noise = chunksOf([raw('in', Buffer.from(bytes)), raw('out', Buffer.from(bytes)), facts[0]!]);
        await expect(taken(noise, 1)).rejects.toMatchObject({ code: 'FILE_MISSING' });
      }),
      { numRuns: 50 },
    );
  });

  it('a write far beyond the size of the file takes no space', async () => {
    const far = chunksOf([
      raw('in', open(1, '/tmp/up.bin', 0x1a)),
      raw('out', handle(1, 'h')),
      raw('in', write(2, 'h', 2 ** 40, Buffer.from('x'))),
      raw('in', close(3, 'h')),
      facts[0]!,
    ]);
    await expect(taken(far, 1)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });
});

describe('scp', () => {
  const content = Buffer.from('line one\n\0two\n');
  it.each(['write', 'read'] as const)('returns the transferred file: %s', async (operation) => {
    const source = operation === 'write' ? 'in' : 'out';
    const stream = Buffer.concat([
      Buffer.from('D0755 0 folder\nT1 0 1 0\nC0644 0 empty\n\0'),
      Buffer.from(`C0644 ${content.length} notes.txt\n`),
      content,
      Buffer.from('\0E\n'),
    ]);
    const facts = [
      moved('scp', operation, '/srv/folder/empty', Buffer.alloc(0)),
      moved('scp', operation, '/srv/folder/notes.txt', content),
    ];
    for (const cut of [1, 5, 1000]) {
      const lines = cutInto(cut, source, stream);
      const chunks = chunksOf([...lines, ...facts]);
      expect((await taken(chunks, 2)).equals(content)).toBe(true);
      expect((await taken(chunks, 1)).length).toBe(0);
    }
  });
});

describe('streams', () => {
  const total = (stream: 'in' | 'out' | 'err', content: Buffer, channel?: number): LineBody =>
    fact({ fact: 'total', stream, bytes: content.length, sha256: sha256(content), ...(channel === undefined ? {} : { channel }) });

  it('are extracted as they passed: text and bytes, separate outputs, separate connections', async () => {
    const out = Buffer.from('grüße\n\u{1f600}');
    const err = Buffer.from('oops\n');
    const [to, from] = [Buffer.of(0, 255, 1), Buffer.of(9)];
    const chunks = chunksOf([
      { code: 'i', data: 'input\n' },
      { code: 'o', data: 'grüße\n' },
      fact({ fact: 'stream', name: 'stderr' }),
      { code: 'o', data: 'oops\n' },
      raw('out', Buffer.from('\u{1f600}')),
      raw('in', to, 3),
      raw('out', from, 3),
      total('in', Buffer.from('input\n')),
      total('out', out),
      total('err', err),
      total('in', to, 3),
      total('out', from, 3),
    ]);
    const { files } = await listFiles(chunks());
    expect(files.map(({ path }) => path)).toEqual(['stdin', 'stdout', 'stderr', 'channel-3-in', 'channel-3-out']);
    const contents = await Promise.all(files.map(({ n }) => taken(chunks, n)));
    expect(contents).toEqual([Buffer.from('input\n'), out, err, to, from]);
  });

  it('that exceeded their limit are listed as missing, and so are files of rsync', async () => {
    const chunks = chunksOf([
      raw('in', Buffer.from('x')),
      { code: 'g', data: { reason: 'body_limit', stream: 'in' } },
      moved('sftp', 'write', '/a', Buffer.from('xy')),
      moved('sftp', 'read', '/b', Buffer.from('xy')),
      moved('rsync', 'read', '/c', Buffer.from('xy')),
      fact({ fact: 'file', protocol: 'sftp', operation: 'read', path: '/d', outcome: 'unfinished' }),
      total('in', Buffer.from('xy')),
    ]);
    const { files } = await listFiles(chunks());
    expect(files.map(({ missing }) => missing)).toEqual([
      expect.stringContaining('limit'),
      null,
      expect.stringContaining('rsync'),
      expect.stringContaining('whole'),
      expect.stringContaining('limit'),
    ]);
    await expect(taken(chunks, 1)).rejects.toMatchObject({ code: 'FILE_MISSING' });
  });

  it('data typed without an echo is extracted if the role records it', async () => {
    const secret = Buffer.from('a long heredoc of base64');
    const lines: LineBody[] = [
      { code: 'i', data: 'shown' },
      { code: 'g', data: { reason: 'input_not_echoed' } },
      raw('in', secret),
      fact({ fact: 'unechoed', bytes: secret.length, sha256: sha256(secret) }),
    ];
    expect(await taken(chunksOf(lines, header({ unechoed: 'full' }, true)), 1)).toEqual(secret);
    const digests = await listFiles(chunksOf(lines.toSpliced(2, 1), header({}, true))());
    expect(digests.files).toMatchObject([{ kind: 'unechoed', missing: expect.stringContaining('digest') }]);
  });
});
