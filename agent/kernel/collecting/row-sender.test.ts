import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { kernelRows } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { Digests } from './digests.js';
import { EventLog } from '../log/log.js';
import type { FromCollector } from './messages.js';
import { RECORD_BYTES, kinds } from '../records/record.js';
import { RING_HEADER } from '../probes/ring.js';
import { RowSender } from './row-sender.js';
import type { LateDigest } from './row-sender.js';
import type { Digest } from '../rows/rows.js';
import { placeOf } from '../log/log-cursor.js';

const SESSION = '01jd0000000000000000000000';
let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'steno-rows-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A record as the ring has it. */
function record(kind: number, session: number, time: number, text = ''): Buffer {
  const length = RECORD_BYTES + Buffer.byteLength(text);
  const bytes = Buffer.alloc((RING_HEADER + length + 7) & ~7);
  bytes.writeUInt32LE(length, 0);
  bytes.writeBigUInt64LE(BigInt(time), RING_HEADER);
  bytes.writeUInt32LE(session, RING_HEADER + 8);
  bytes[RING_HEADER + 12] = kind;
  bytes.writeUInt32LE(Buffer.byteLength(text), RING_HEADER + 64);
  bytes.write(text, RING_HEADER + RECORD_BYTES);
  return bytes;
}
/** The execution of `/prog`. */
function executed(session: number): Buffer {
  const facts = Buffer.alloc(72);
  const exec = record(kinds.exec, session, 5_000_000, `prog\0${facts.toString('latin1')}`);
  // The texts: the path, no arguments, no folder, the facts.
  exec.writeUInt32LE(5, RING_HEADER + 64);
  exec.writeUInt32LE(facts.length, RING_HEADER + 76);
  return exec;
}
const clock = { boot_ns: 0, offset_ms: 0, error_ms: 0 };
const named = (facts: object): string => JSON.stringify({ session: SESSION, mode: 'strict', classes: ['exec'], clock, ...facts });

/** The rows made from a log that an earlier node service left. */
async function rowsOf(records: readonly Buffer[]): Promise<readonly KernelRow[]> {
  const log = new EventLog(folder);
  for (const one of records) expect(log.append(one)).toBe(true);
  log.close();
  const rows: KernelRow[] = [];
  await new Promise<void>((resolve, reject) => {
    const post = (message: FromCollector): void => {
      if (message.kind === 'failed') reject(new Error(message.reason));
      if (message.kind !== 'batch') return;
      rows.push(...kernelRows.parse(JSON.parse(Buffer.from(message.payload).toString('utf8'))));
      setImmediate(() => {
        sender.stored(message.id, false, undefined);
        if (sender.drained) resolve();
      });
    };
    const sender = new RowSender({
      log: new EventLog(folder),
      digests: new Digests(),
      post,
      now: Date.now,
      writing: () => false,
      late: () => true,
      over: () => undefined,
    });
    void sender.send(true);
  });
  return rows;
}

it('events that a log has before it says whose they are become a gap of that session', async () => {
  const rows = await rowsOf([
    record(kinds.fork, 7, 5_000_000),
    record(kinds.fork, 7, 9_000_000),
    record(kinds.session, 7, 0, named({})),
    record(kinds.fork, 7, 10_000_000),
    record(kinds.fork, 8, 11_000_000),
  ]);
  expect(rows.map((row) => [row[2], row[3], row[4], row[10], row[13]])).toEqual([
    [4, 0, 'kernel', 'recording', null],
    [5, 9, 'gap', 'unknown_session', 2],
    [6, 10, 'fork', '', null],
  ]);
  expect(JSON.parse(rows[1]![14])).toMatchObject({ first_ms: 5, last_ms: 9 });
  expect(readdirSync(folder)).toEqual(['sequence']);
});

it('a log that was spoiled makes no row that ingest refuses', async () => {
  const rows = await rowsOf([
    record(kinds.session, 1, 0, 'null'),
    record(kinds.session, 2, 0, named({ clock: { boot_ns: null } })),
    record(kinds.session, 3, 0, named({ session: 'nobody' })),
    record(kinds.session, 4, 0, named({})),
    ...[1, 2, 3, 4].map((number) => record(kinds.gap, number, 1_000_000, '[]')),
  ]);
  expect(rows.map((row) => row[4])).toEqual(['kernel', 'gap']);
});

it('no row waits for a digest: one that comes later is told by itself, with the execution it is of', async () => {
  const log = new EventLog(folder);
  const head = record(kinds.session, 4, 0, named({}));
  for (const one of [head, executed(4), record(kinds.fork, 4, 6_000_000)]) expect(log.append(one)).toBe(true);
  const rows: KernelRow[] = [];
  const told: LateDigest[] = [];
  let answer = (_: Digest): void => undefined;
  const post = (message: FromCollector): void => {
    if (message.kind === 'batch') rows.push(...kernelRows.parse(JSON.parse(Buffer.from(message.payload).toString('utf8'))));
  };
  const sender = new RowSender({
    log,
    digests: new Digests(),
    post,
    now: Date.now,
    writing: () => true,
    late: (digest) => told.push(digest) > 0,
    over: () => undefined,
  });
  sender.expect(
    placeOf(1, head.length, 0),
    new Promise((resolve) => {
      answer = resolve;
    }),
  );
  await sender.send(true);
  expect(rows.map((row) => row[4])).toEqual(['kernel', 'exec', 'fork']);
  expect(JSON.parse(rows[1]![14])).toMatchObject({ sha256_missing: 'late' });
  expect(sender.drained).toBe(false);
  const sha256 = 'a'.repeat(64);
  answer({ sha256 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([
    { session: SESSION, way: null, offset: 5, pid: 0, path: '/prog', sha256, of: `${rows[1]![1]}.${rows[1]![2]}`, unconfirmed: false },
  ]);
});

it('rows of sessions that gateways sign go in batches of their own, in the order of their places, each to its gateway', async () => {
  const other = '01jd0000000000000000000001';
  const way = { gateway: 'gw-1', address: '127.0.0.1:8024' };
  const log = new EventLog(folder);
  const records = [
    record(kinds.session, 1, 0, named({ way })),
    record(kinds.session, 2, 0, named({ session: other })),
    record(kinds.fork, 1, 1_000_000),
    record(kinds.fork, 2, 1_000_000),
    record(kinds.fork, 1, 2_000_000),
    record(kinds.end, 1, 3_000_000, '{}'),
  ];
  for (const one of records) log.append(one);
  const batches: { readonly id: string; readonly way: unknown; readonly rows: readonly KernelRow[] }[] = [];
  const sender = new RowSender({
    log,
    digests: new Digests(),
    post: (message) => {
      if (message.kind !== 'batch') return;
      batches.push({ id: message.id, way: message.way, rows: kernelRows.parse(JSON.parse(Buffer.from(message.payload).toString('utf8'))) });
    },
    now: Date.now,
    writing: () => true,
    late: () => true,
    over: () => undefined,
  });
  await sender.send(true);
  expect(batches.map(({ id, way: to, rows }) => [id, to, rows.map((row) => [row[0], row[2], row[4], row[10]])])).toEqual([
    [
      '1.0-6@0',
      way,
      [
        [SESSION, 0, 'kernel', 'recording'],
        [SESSION, 4, 'fork', ''],
        [SESSION, 8, 'fork', ''],
        [SESSION, 10, 'kernel', 'end'],
      ],
    ],
    [
      '1.0-6',
      null,
      [
        [other, 2, 'kernel', 'recording'],
        [other, 6, 'fork', ''],
      ],
    ],
  ]);
  // The event store must not learn the way.
  expect(batches[0]!.rows[0]![14]).not.toContain('8024');
});

/** When the end is written: before the digest is available, and read before that or not; or after. */
it.each(['end, read, digest', 'end, digest, read', 'digest, end, read', 'digest, read, end, read', 'read, end, digest, read'])(
  'the end of a session is behind its digests, in any order: %s',
  async (order) => {
    const way = { gateway: 'gw-1', address: '127.0.0.1:8024' };
    const log = new EventLog(folder);
    const head = record(kinds.session, 1, 0, named({ way }));
    const write = (...records: readonly Buffer[]): boolean => log.append(Buffer.concat(records));
    const own = (kind: number, facts: object): boolean =>
      write(record(kinds.session, 0, 0, named({ way, again: true })), record(kind, 0, 9_000_000, JSON.stringify(facts)));
    write(head, executed(1));
    const rows: KernelRow[] = [];
    let answer = (_: Digest): void => undefined;
    const ended: unknown[] = [];
    const sender = new RowSender({
      log,
      digests: new Digests(),
      post: (message) => {
        if (message.kind === 'batch') rows.push(...kernelRows.parse(JSON.parse(Buffer.from(message.payload).toString('utf8'))));
      },
      now: Date.now,
      writing: () => true,
      late: (digest) => own(kinds.digest, digest),
      over: (session, offset) => {
        ended.push([session.session, session.way, offset]);
        own(kinds.end, {});
      },
    });
    sender.expect(placeOf(1, head.length, 0), new Promise((resolve) => (answer = resolve)));
    // Every order begins with the execution read while its digest is pending.
    await sender.send(true);
    for (const step of order.split(', ')) {
      if (step === 'end') write(record(kinds.end, 1, 9_000_000, '{}'));
      else if (step === 'read') await sender.send(true);
      else {
        answer({ sha256: 'a'.repeat(64) });
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await sender.send(true);
    expect(rows.map((row) => row[10])).toEqual(['recording', '', 'digest', 'end']);
    expect(ended).toEqual(order.startsWith('digest') ? [] : [[SESSION, way, 9]]);
  },
);

it('the end of a session waits for no digest that the disk refuses, or that cannot be had', async () => {
  for (const found of [{ sha256: 'a'.repeat(64) }, { missing: 'gone' }] as const) {
    const log = new EventLog(folder);
    const head = record(kinds.session, 1, 0, named({}));
    for (const one of [head, executed(1), record(kinds.end, 1, 9_000_000, '{}')]) log.append(one);
    let ends = 0;
    let answer = (_: Digest): void => undefined;
    const sender = new RowSender({
      ...{ log, digests: new Digests(), post: () => undefined, now: Date.now, writing: () => true },
      late: () => false,
      over: () => (ends += 1),
    });
    sender.expect(placeOf(log.current!, head.length, 0), new Promise((resolve) => (answer = resolve)));
    await sender.send(true);
    expect(ends).toBe(0);
    answer(found);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ends).toBe(1);
    log.close();
  }
});

it('sessions that an earlier node service followed end once all that it left is read, but those whose end it had written', async () => {
  const way = { gateway: 'gw-1', address: '127.0.0.1:8024' };
  const left = new EventLog(folder);
  const over = '01jd0000000000000000000001';
  for (const one of [
    record(kinds.session, 1, 0, named({ way })),
    record(kinds.session, 2, 0, named({ way, session: over })),
    record(kinds.session, 3, 0, named({ session: '01jd0000000000000000000002' })),
    record(kinds.fork, 3, 1_000_000),
    record(kinds.fork, 1, 5_000_000),
    record(kinds.fork, 2, 6_000_000),
    record(kinds.end, 2, 7_000_000, '{}'),
  ])
    left.append(one);
  left.close();
  const told: unknown[] = [];
  const sender = new RowSender({
    log: new EventLog(folder),
    digests: new Digests(),
    post: () => undefined,
    now: Date.now,
    writing: () => true,
    late: () => true,
    over: (session, offset) => told.push([session.session, session.way, offset]),
  });
  await sender.send(true);
  await sender.send(true);
  expect(told).toEqual([[SESSION, way, 5]]);
});
