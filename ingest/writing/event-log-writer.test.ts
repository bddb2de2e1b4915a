import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { encodeProof, readContainer } from '#schemas/recording/container.js';
import { eventPartKey, recordingPrefix } from '#schemas/recording/layout.js';
import { pairFault } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import type { EventRow } from '#schemas/events/rows.js';
import { formatRowsWanted, parseRowMessage } from '#schemas/row-feed.js';
import { UPLINK_PROTOCOL, encodeUplink } from '#schemas/uplink.js';
import type { UplinkFrame } from '#schemas/uplink.js';
import type { Running } from '#runtime/service/process.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { eventLogIndex, readEventLog } from '#recordings/read/event-log.js';
import { exportFile } from '#recordings/read/export-file.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import type { Made } from '#recordings/testing/recorder.js';
import { startIngest } from '../main.js';
import { reindex } from '../rebuild/reindex.js';
import { ServiceAuthority, UplinkClient, encodeMade, quiet, temporaryFolder } from '../testing/gateway.js';

const authority = new RecordingAuthority();
const identity = authority.certify('gw-1');
const startedAt = Date.UTC(2026, 0, 31, 12);
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let services: ServiceAuthority;
let objects: ObjectStore;
let events: EventStore;
let zstd: Zstd;
let ingest: Running;
let gateway: UplinkClient;

async function serve(): Promise<void> {
  ingest = await startIngest(
    // Sealing runs in parallel with a test, so keep the objects that the test reads.
    { listen: '127.0.0.1:0', repack: false },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects,
      events,
      snapshot: () => ({ recording_ca: [authority.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
      retry: { firstWait: 1, longestWait: 5 },
    },
  );
  gateway = await connect();
}
const connect = async (version = 3): Promise<UplinkClient> =>
  UplinkClient.connect(ingest.addresses['uplink']!, await services.certify('gateway/gw-1'), identity, version);

beforeAll(async () => {
  folder = await temporaryFolder();
  services = await ServiceAuthority.create();
  objects = await openDirectoryStore(`${folder.path}/objects`);
  events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  zstd = await openZstd();
  await serve();
});
afterAll(async () => {
  await gateway?.close();
  await ingest?.close();
  await events?.close();
  await folder?.remove();
});

let log: Recorder;
beforeEach(() => {
  log = new Recorder(identity, { stream: 'events', startedAt });
});
const fields = (index: number, more: Partial<Record<number, unknown>> = {}): unknown[] =>
  Object.assign(
    [KERNEL_BLOCKS + 3, index, index * 10, 'exec', '/bin/true', 1, '', '', null, `true ${index}`, '', 'success', null, '{"pid":1}'],
    more,
  );
const add = (index: number, more: Partial<Record<number, unknown>> = {}, interval = 1_000): Recorder =>
  log.line(interval, { code: 'e', data: fields(index, more) });
/** Ten rows in two parts. */
function filled(): Recorder {
  for (let i = 0; i < 5; i++) add(2 * i);
  log.checkpoint();
  for (let i = 5; i < 10; i++) add(2 * i);
  return log.close();
}
const prefix = (): string => recordingPrefix(log.session, startedAt);
const rowsOf = async (session = log.session): Promise<readonly EventRow[]> =>
  (await events.events({ session, source: 'kernel', limit: 1_000 })).rows;
async function exported(): Promise<Buffer> {
  const index = (await eventLogIndex(objects, prefix()))!;
  const pieces: Uint8Array[] = [];
  for await (const piece of exportFile(objects, index)) pieces.push(piece);
  return Buffer.concat(pieces);
}
const verify = async (file: Uint8Array): Promise<Verdict> => (await openVerifier([authority.line]))(file);
/** The verifier of docs/, with stock zstd and ssh-keygen. */
function independently(...files: readonly Uint8Array[]): Promise<{ readonly status: number; readonly text: string }> {
  const names = files.map((file, i) => {
    const name = join(folder.path, `verified-${i}`);
    writeFileSync(name, file);
    return name;
  });
  const ca = join(folder.path, 'ca.pub');
  writeFileSync(ca, `${authority.line}\n`);
  const script = fileURLToPath(new URL('../../docs/verify.py', import.meta.url));
  const [first, ...rest] = names;
  return new Promise((resolve) =>
    execFile('python3', [script, first!, ca, ...rest], (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), text: stdout + stderr }),
    ),
  );
}

test('whoever follows rows is told those of a draft ahead of their block, from its beginning, and again by the block', async () => {
  const told = async (): Promise<{ readonly socket: WebSocket; readonly indexes: number[]; until(count: number): Promise<void> }> => {
    const { key, cert, ca } = await services.certify('analyzer/one');
    const options = { key, cert, ca, checkServerIdentity: () => undefined as never };
    const socket = new WebSocket(
      `wss://${ingest.addresses['uplink']!}${formatRowsWanted({ grouped: true, shares: null })}`,
      UPLINK_PROTOCOL,
      options,
    );
    const indexes: number[] = [];
    let wake = (): void => undefined;
    socket.on('message', (data: Buffer) => {
      for (const row of parseRowMessage(data.toString())!.events) if (row.session === log.session) indexes.push(row.index);
      wake();
    });
    await once(socket, 'open');
    return {
      socket,
      indexes,
      until: async (count) => {
        while (indexes.length < count) await new Promise<void>((resolve) => (wake = resolve));
      },
    };
  };
  const sender = await connect(5);
  const { session } = log;
  const isFollow = (frame: UplinkFrame): boolean => frame.kind === 'follow';
  const follows = async (count: number): Promise<void> => {
    await sender.next((frame) => isFollow(frame) && sender.frames.filter(isFollow).length >= count);
  };
  const draft = (from: number, bytes: Uint8Array): void =>
    sender.send(encodeUplink('draft', { session, stream: 'events', n: 1, from }, bytes));
  for (let i = 0; i < 3; i += 1) add(2 * i, {}, 0);
  log.close();
  const [block, ...rest] = log.made;
  const content = Buffer.from((block as Extract<Made, { kind: 'block' }>).content);
  const ends = [...content.entries()].flatMap(([i, byte]) => (byte === 0x0a ? [i + 1] : []));
  const first = await told();
  sender.send(encodeUplink('open', { session, stream: 'events' }));
  await sender.next((frame) => frame.kind === 'resume');
  await follows(1);
  // A line is sent once it is complete.
  draft(0, content.subarray(0, ends[1]! + 5));
  await first.until(1);
  draft(ends[1]! + 5, content.subarray(ends[1]! + 5, ends[2]));
  await first.until(2);
  expect(first.indexes).toEqual([0, 2]);
  const second = await told();
  await follows(2);
  // This draft began before the second follower came.
  draft(ends[2]!, content.subarray(ends[2]));
  draft(0, content.subarray(0, ends[3]));
  await Promise.all([first.until(5), second.until(3)]);
  expect([first.indexes, second.indexes]).toEqual([
    [0, 2, 0, 2, 4],
    [0, 2, 4],
  ]);
  // An unreadable line makes no row; the block reports the fault.
  draft(0, Buffer.concat([content.subarray(0, ends[0]), Buffer.from('[0,"e",[1,2]]\n[0,"x"]\n')]));
  sender.send(encodeMade(session, block!, 'events'));
  await Promise.all([first.until(8), second.until(6)]);
  expect(second.indexes).toEqual([0, 2, 4, 0, 2, 4]);
  for (const made of rest) sender.send(encodeMade(session, made, 'events'));
  await sender.next((frame) => frame.kind === 'ack' && 'closed' in frame.header && frame.header.closed);
  expect((await rowsOf()).map(({ index }) => index).sort((a, b) => a - b)).toEqual([0, 2, 4]);
  for (const { socket } of [first, second]) socket.close();
  await sender.close();
});

test('rows are stored, and so are parts that verify by themselves and open with the functions of recordings', async () => {
  filled();
  await gateway.deliver(log.session, log.made, 'events');
  const rows = await rowsOf();
  expect(rows.map(({ index }) => index).sort((a, b) => a - b)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  expect(rows.find(({ index }) => index === 4)).toMatchObject({
    source: 'kernel',
    emitter: 'agent/web-1',
    block: 3,
    kind: 'exec',
    at: startedAt + 40,
    user: 'ana',
    node: 'web-1',
    login: 'root',
    name: 'true 4',
  });
  const file = await exported();
  expect(await verify(file)).toMatchObject({
    ok: true,
    parts: 2,
    header: { steno: { stream: 'events' } },
    checkpoint: { end: 'complete' },
  });
  expect(await independently(file)).toMatchObject({
    status: 0,
    text: expect.stringContaining(`event log of session ${log.session}`) as string,
  });
  expect(await gateway.deliver(log.session, log.made, 'events')).toBe(log.made.filter(({ kind }) => kind === 'block').length);
});

test('one bad row is a gap in its place; it stays in the log as it was signed', async () => {
  add(0);
  add(2, { 4: 'x'.repeat(70_000) });
  add(4);
  log.close();
  await gateway.deliver(log.session, log.made, 'events');
  expect((await rowsOf()).map(({ index, kind, name }) => [index, kind, name]).sort()).toEqual([
    [0, 'exec', 'true 0'],
    [2, 'gap', 'refused'],
    [4, 'exec', 'true 4'],
  ]);
  expect((await verify(await exported())).ok).toBe(true);
  const lines: unknown[] = [];
  for await (const { block } of readEventLog({ objects, zstd }, prefix())) lines.push(...block.lines.map(({ line }) => line.data));
  expect(lines[1]).toEqual(fields(2, { 4: 'x'.repeat(70_000) }));
});

test('an empty event store is filled again with the same rows, byte for byte', async () => {
  filled();
  const recording = new Recorder(identity, { session: log.session, startedAt }).output(5, 'seen\r\n').close();
  await gateway.deliver(log.session, log.made, 'events');
  await gateway.deliver(log.session, recording.made);
  const before = await rowsOf();
  // There can be only one embedded store at a time, so inserts are compared.
  const inserted: EventRow[] = [];
  const store = {
    insert: (table: string, rows: readonly unknown[]) => {
      if (table === 'events') inserted.push(...(rows as EventRow[]));
      return Promise.resolve();
    },
  };
  await reindex({ objects, events: store as never, zstd }, prefix(), 'run');
  const order = (rows: readonly EventRow[]): string[] => rows.map((row) => JSON.stringify(row, Object.keys(row).sort())).sort();
  expect(order(inserted.filter(({ source }) => source === 'kernel'))).toEqual(order(before));
});

describe('refused, and nothing of it is stored:', () => {
  const cases: readonly [string, string, () => readonly Made[]][] = [
    ['a row behind one that comes after it', 'UPLINK_CHAIN_BROKEN', () => (add(4), add(2), log.close().made)],
    ['a row that stands twice', 'UPLINK_CHAIN_BROKEN', () => (add(4), add(4), log.close().made)],
    [
      'a line that is no row',
      'UPLINK_CHAIN_BROKEN',
      () => (add(0), log.line(5, { code: 'g', data: { reason: 'interrupted' } }).close().made),
    ],
    [
      'a block that was changed',
      'UPLINK_CHAIN_BROKEN',
      () =>
        filled().made.map((each) =>
          each.kind === 'block' && each.n === 1 ? { ...each, content: Buffer.from(each.content.toString().replace('true', 'TRUE')) } : each,
        ),
    ],
    ['a block left out', 'UPLINK_CHAIN_BROKEN', () => filled().made.filter((each) => each.kind !== 'block' || each.n !== 2)],
    [
      'a recording in its place',
      'UPLINK_CHAIN_BROKEN',
      () => new Recorder(identity, { session: log.session, startedAt }).output(5, 'x').close().made,
    ],
    [
      'a checkpoint by another key',
      'UPLINK_SIGNATURE',
      () => {
        const forged = new Recorder({ ...new RecordingAuthority().certify('gw-1') }, { stream: 'events', session: log.session, startedAt });
        return forged.line(5, { code: 'e', data: fields(0) }).close().made;
      },
    ],
  ];
  test.each(cases)('%s', async (_, code, make) => {
    const made = make();
    await expect(gateway.deliver(log.session, made, 'events')).rejects.toThrow(code);
    expect(await eventLogIndex(objects, prefix())).toBeNull();
  });
});

test('an event log by an uplink that knows none is refused', async () => {
  const old = await connect(2);
  old.send(encodeUplink('open', { session: log.session, stream: 'events' }));
  expect((await old.next(({ kind }) => kind === 'refuse')).header).toMatchObject({ code: 'UPLINK_MALFORMED' });
  await old.closed;
});

test('an ingest that is started anew goes on behind what is stored, and takes no row twice', async () => {
  for (let i = 0; i < 5; i++) add(2 * i);
  log.checkpoint();
  await gateway.deliver(log.session, log.made, 'events');
  await gateway.close();
  await ingest.close();
  await serve();
  add(10);
  log.checkpoint();
  expect(await gateway.deliver(log.session, log.made, 'events')).toBeGreaterThan(0);
  // Row 10 is not in any block yet.
  expect((await rowsOf()).map(({ index }) => index).sort((a, b) => a - b)).toEqual([0, 2, 4, 6, 8]);
  await gateway.close();
  await ingest.close();
  await serve();
  add(4);
  log.close();
  await expect(gateway.deliver(log.session, log.made, 'events')).rejects.toThrow('UPLINK_CHAIN_BROKEN');
});

test('rows that a node brings by itself are refused where the session has a log', async () => {
  const recording = new Recorder(identity, { session: log.session, startedAt }).output(5, 'x').close();
  await gateway.deliver(log.session, recording.made);
  const agent = new UplinkClient(`wss://${ingest.addresses['uplink']!}/uplink`, await services.certify('agent/web-1'));
  await agent.opened();
  agent.send(encodeUplink('hello', { version: 1, name: 'web-1' }));
  const bring = (id: string, index: number, more = {}) => {
    const row = [log.session, ...fields(index, more)] as unknown as KernelRow;
    agent.send(encodeUplink('events', { id, table: 'kernel' }, Buffer.from(JSON.stringify([row]))));
    return agent.next((frame) => ('events' in frame.header && frame.header.events === id) as boolean);
  };
  expect((await bring('before', 1)).kind).toBe('ack');
  filled();
  await gateway.deliver(log.session, log.made, 'events');
  expect((await bring('behind', 20)).header).toMatchObject({ code: 'UPLINK_UNAUTHENTICATED' });
  // A node may resend rows that the log already has to a gateway that has finished the log: they are acknowledged and change nothing.
  const stored = await rowsOf();
  for (const index of [0, 18]) expect((await bring(`again ${index}`, index, { 9: 'forged' })).kind).toBe('ack');
  expect(await rowsOf()).toEqual(stored);
  await agent.close();
});

describe('a log that was exported and altered', () => {
  let file: Buffer;
  beforeEach(async () => {
    filled();
    await gateway.deliver(log.session, log.made, 'events');
    file = await exported();
  });
  /** The same file with different lines in its data frames. */
  function altered(change: (text: string, frame: number) => string): Buffer {
    let frame = 0;
    return Buffer.concat(
      [...readContainer(file)].flatMap((segment): Uint8Array[] => {
        if (segment.kind === 'data')
          return [zstd.compress(Buffer.from(change(Buffer.from(zstd.decompress(segment.bytes)).toString(), frame++)), 3)];
        if (segment.kind === 'proof') return [encodeProof(segment.proof)];
        return [file.subarray(segment.offset, segment.offset + segment.length)];
      }),
    );
  }
  const cases: readonly [string, number, (text: string, frame: number) => string][] = [
    ['a row that was forged', 10, (text) => text.replace('true 4', 'sudo 4')],
    ['a row that was dropped', 10, (text, frame) => (frame === 0 ? text.split('\n').toSpliced(3, 1).join('\n') : text)],
    [
      'rows in another order',
      10,
      (text) => {
        const lines = text.split('\n');
        return lines.toSpliced(2, 2, lines[3]!, lines[2]!).join('\n');
      },
    ],
    ['a row that was added', 10, (text, frame) => (frame === 1 ? `${text}[0,"e",${JSON.stringify(fields(50))}]\n` : text)],
  ];
  test.each(cases)('%s is found by both verifiers', async (_, exit, change) => {
    const changed = altered(change);
    expect(changed.equals(file)).toBe(false);
    expect(await verify(changed)).toMatchObject({ ok: false, code: 'VERIFY_ALTERED' });
    expect((await independently(changed)).status).toBe(exit);
  });

  test('without its first part, its last, or its end, it is not whole', async () => {
    const segments = [...readContainer(file)];
    const [first, second] = segments.flatMap((each, i) => (each.kind === 'proof' && each.proof.kind === 'part' ? [i] : []));
    const bytes = (each: (typeof segments)[number]): Uint8Array =>
      each.kind === 'data' ? each.bytes : file.subarray(each.offset, each.offset + each.length);
    const without = (from: number, to: number): Buffer => Buffer.concat(segments.toSpliced(from, to - from).map(bytes));
    const cases: readonly [Buffer, string, number][] = [
      [without(1, first! + 1), 'VERIFY_MISSING_PART', 13],
      [without(first! + 1, second! + 1), 'VERIFY_TRUNCATED', 11],
      [file.subarray(0, file.length >> 1), 'VERIFY_TRUNCATED', 11],
    ];
    for (const [changed, code, status] of cases) {
      expect(await verify(changed)).toMatchObject({ ok: false, code });
      expect((await independently(changed)).status).toBe(status);
    }
  });

  test('the log of another session does not stand for that of this one, and a recording that names a log misses it', async () => {
    const recorded = new Recorder(identity, { session: log.session, startedAt })
      .line(3, { code: 's', data: { fact: 'kernel', classes: ['exec'], error_ms: 1, log: true } })
      .close();
    await gateway.deliver(recorded.session, recorded.made);
    const object = await objects.get(`${prefix()}part-000001.cast.zst`);
    const recording = Buffer.concat([encodeProof({ kind: 'certificate', certificate: identity.certificate }), object]);
    const verdict = await verify(recording);
    expect(verdict).toMatchObject({ ok: true, logged: true });
    const own = await verify(file);
    expect(pairFault(verdict.header!, own.header!)).toBeNull();
    expect(await independently(recording, file)).toMatchObject({ status: 0 });
    expect((await independently(recording)).text).toContain('an event log, which was not given');
    const other = new Recorder(identity, { stream: 'events', startedAt }).line(5, { code: 'e', data: fields(0) }).close();
    await gateway.deliver(other.session, other.made, 'events');
    const stranger = await objects.get(eventPartKey(recordingPrefix(other.session, startedAt), 1));
    const foreign = Buffer.concat([encodeProof({ kind: 'certificate', certificate: identity.certificate }), stranger]);
    expect(pairFault(verdict.header!, (await verify(foreign)).header!)).toMatchObject({ code: 'VERIFY_ALTERED' });
    expect((await independently(recording, foreign)).status).toBe(10);
    expect(pairFault(own.header!, own.header!)).not.toBeNull();
  });
});
