import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kernelRow } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { BATCH_BYTES, BatchMemory, BatchText } from '../collecting/batch-text.js';
import { COUNT_BYTES, EXEC_FACTS_BYTES, ENDPOINTS_BYTES, KernelRecord, RECORD_BYTES, flags, kinds } from '../records/record.js';
import { BATCH_ENOUGH } from '../collecting/row-sender.js';
import { appendGap, appendRows } from './rows.js';
import { opNames } from '../probes/syscalls.js';

const SESSION = '01jd0000000000000000000000';
const clock = { session: SESSION, boot_ns: 1_000, offset_ms: 5, error_ms: 1 };
const LAST_FILE = 0x7fff_fffe;

interface Fields {
  readonly time: bigint;
  readonly kind: number;
  readonly op: number;
  readonly flags: number;
  readonly ids: readonly number[];
  readonly result: bigint;
  readonly a: bigint;
  readonly b: bigint;
  readonly c: number;
  readonly d: number;
  readonly texts: readonly Uint8Array[];
  readonly last: bigint;
  readonly count: number;
}

function encoded(fields: Fields): Buffer {
  const counted = (fields.flags & flags.counted) !== 0;
  const bytes = Buffer.alloc(RECORD_BYTES + fields.texts.reduce((sum, { length }) => sum + length, 0) + (counted ? COUNT_BYTES : 0));
  bytes.writeBigUInt64LE(fields.time, 0);
  bytes.writeUInt32LE(1, 8);
  bytes[12] = fields.kind;
  bytes[13] = fields.op;
  bytes.writeUInt16LE(fields.flags, 14);
  fields.ids.forEach((id, i) => bytes.writeUInt32LE(id, 16 + 4 * i));
  bytes.writeBigInt64LE(fields.result, 32);
  bytes.writeBigUInt64LE(fields.a, 40);
  bytes.writeBigUInt64LE(fields.b, 48);
  bytes.writeUInt32LE(fields.c, 56);
  bytes.writeUInt32LE(fields.d, 60);
  let at = RECORD_BYTES;
  fields.texts.forEach((text, i) => {
    bytes.writeUInt32LE(text.length, 64 + 4 * i);
    bytes.set(text, at);
    at += text.length;
  });
  if (counted) {
    bytes.writeBigUInt64LE(fields.last, at);
    bytes.writeUInt32LE(fields.count, at + 8);
  }
  return bytes;
}

function rowsOf(bytes: Buffer, file = LAST_FILE, ordinal = 0): KernelRow[] {
  const record = new KernelRecord(bytes);
  const rows: KernelRow[] = [];
  if (record.point(0, bytes.length))
    appendRows(rows, record, file, ordinal, { session: () => clock, digest: () => ({ missing: 'gone' }), inSession: () => false });
  return rows;
}

/** The faults that ingest finds in a row, and whether the row fits after any that a batch may already hold. */
function faultsOf(rows: readonly KernelRow[]): unknown[] {
  const bytes = rows.reduce((sum, row) => sum + Buffer.byteLength(JSON.stringify(row)) + 1, 0);
  const faults: unknown[] = rows.flatMap((row) => kernelRow.safeParse(JSON.parse(JSON.stringify(row))).error?.issues ?? []);
  return bytes + BATCH_ENOUGH + 2 > BATCH_BYTES ? [...faults, `${bytes} bytes`] : faults;
}

const u64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const i64 = u64.map((value) => BigInt.asIntN(64, value));
const u32 = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff), fc.integer({ min: 0, max: 0xffff_ffff }));
/** The maximum length that the programs of agent/bpf produce, of the characters that take most room. */
const long = fc
  .tuple(fc.constantFrom(0x01, 0x22, 0x5c, 0x0a, 0x00, 0xff, 0x41, 0xe4), fc.constantFrom(255, 4_096, 33_000, 65_536))
  .map(([byte, length]) => {
    const bytes = Buffer.alloc(length, byte);
    bytes[length - 1] = 0xff;
    return new Uint8Array(bytes);
  });
const text = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.string().map((some) => new Uint8Array(Buffer.from(some))),
  long,
);
const fixed = (length: number): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(fc.uint8Array({ minLength: length, maxLength: length }), text)
    .map(([head, tail]) => new Uint8Array(Buffer.concat([head, tail])));
/** The lengths at the end are valid, so that the rest is parsed. */
const execFacts = fc.tuple(fixed(EXEC_FACTS_BYTES), fc.boolean()).map(([facts, right]) => {
  if (right) Buffer.from(facts.buffer).writeUInt32LE(facts.length - EXEC_FACTS_BYTES, 60);
  if (right) Buffer.from(facts.buffer).writeUInt32LE(0, 64);
  return facts;
});
const json = fc.json().map((some) => new Uint8Array(Buffer.from(some)));
const anyText = fc.oneof(
  { weight: 4, arbitrary: text },
  { weight: 2, arbitrary: execFacts },
  { weight: 1, arbitrary: fixed(ENDPOINTS_BYTES) },
  { weight: 1, arbitrary: json },
);
const fields: fc.Arbitrary<Fields> = fc.record({
  time: u64,
  kind: fc.constantFrom(...Object.values(kinds)),
  op: fc.constantFrom(...opNames.keys(), 255),
  flags: fc.integer({ min: 0, max: 0xffff }),
  ids: fc.array(u32, { minLength: 4, maxLength: 4 }),
  result: i64,
  a: u64,
  b: u64,
  c: u32,
  d: u32,
  texts: fc.array(anyText, { minLength: 4, maxLength: 4 }),
  last: u64,
  count: u32,
});

describe('no record whatever makes a row that ingest refuses', () => {
  it('every field at its extremes', () => {
    fc.assert(
      fc.property(fields, (some) => {
        expect(faultsOf(rowsOf(encoded(some)))).toEqual([]);
      }),
      { numRuns: 3_000 },
    );
  });

  it('bytes by chance', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: RECORD_BYTES, maxLength: 1_000 }), fc.constantFrom(...Object.values(kinds)), (bytes, kind) => {
        const record = Buffer.from(bytes);
        record[12] = kind;
        // Random lengths nearly always exceed the record.
        for (let i = 0; i < 4; i++) record.writeUInt32LE(record.readUInt32LE(64 + 4 * i) % 64, 64 + 4 * i);
        expect(faultsOf(rowsOf(record))).toEqual([]);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each(Object.entries(kinds))('of kind %s, with all bytes set', (_name, kind) => {
    for (const op of opNames.keys()) {
      const all: Fields = {
        time: 2n ** 64n - 1n,
        kind,
        op,
        flags: 0xffff,
        ids: [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
        result: -1n,
        a: 2n ** 64n - 1n,
        b: 2n ** 64n - 1n,
        c: 0xffff_ffff,
        d: 0xffff_ffff,
        texts: [1, 2, 3, 4].map(() => new Uint8Array(Buffer.alloc(4_096, 0xff))),
        last: 2n ** 64n - 1n,
        count: 0xffff_ffff,
      };
      expect(faultsOf(rowsOf(encoded(all)))).toEqual([]);
      expect(faultsOf(rowsOf(encoded({ ...all, flags: 0 })))).toEqual([]);
    }
  });
});

const op = (name: string): number => [...opNames].find(([, known]) => known === name)![0];
const plain: Fields = {
  time: 1_000_000n,
  kind: kinds.file,
  op: 0,
  flags: 0,
  ids: [10, 10, 0, 0],
  result: 0n,
  a: 0n,
  b: 0n,
  c: 0,
  d: 0,
  texts: [new Uint8Array(), new Uint8Array(), new Uint8Array(), new Uint8Array()],
  last: 0n,
  count: 0,
};

it('a file cut to a negative length has no size, and the length that was asked for beside it', () => {
  const [row] = rowsOf(encoded({ ...plain, op: op('ftruncate'), result: -22n, a: 2n ** 64n - 1n }));
  expect(row!.slice(10, 13)).toEqual(['truncate', '', 'EINVAL']);
  expect(row![6]).toBeNull();
  expect(JSON.parse(row![14])).toMatchObject({ length: '-1' });
  expect(rowsOf(encoded({ ...plain, op: op('ftruncate'), a: 4096n }))[0]![6]).toBe(4096);
});

it('33 KB of control characters and one byte that is no text: the arguments are cut, their bytes stand beside them', () => {
  const argv = Buffer.concat([Buffer.alloc(33_000, 1), Buffer.from([0xff, 0])]);
  const facts = Buffer.alloc(EXEC_FACTS_BYTES);
  facts.writeBigUInt64LE(BigInt(argv.length), 16);
  const [row] = rowsOf(
    encoded({
      ...plain,
      kind: kinds.exec,
      texts: [new Uint8Array(Buffer.from('sh\0')), new Uint8Array(argv), new Uint8Array(), new Uint8Array(facts)],
    }),
  );
  expect(faultsOf([row!])).toEqual([]);
  const data = JSON.parse(row![14]) as { argv: string[]; argv_base64: string; truncated?: boolean };
  expect(Buffer.from(data.argv_base64, 'base64').equals(argv)).toBe(true);
  expect(data.truncated).toBe(true);
  expect(data.argv.join('').length).toBeGreaterThan(10_000);
});

it("an operation that this version does not know is a row of its own, and no other's", () => {
  for (const kind of [kinds.file, kinds.net, kinds.privilege, kinds.system, 77]) {
    const [row] = rowsOf(encoded({ ...plain, kind, op: 250, result: -1n }));
    expect(row!.slice(4, 5).concat(row!.slice(10, 13))).toEqual(['system', `unknown ${kind}.250`, '', 'EPERM']);
  }
});

it('a gap in place of events is a row too', () => {
  const rows: KernelRow[] = [];
  appendGap(rows, clock, LAST_FILE, 1, { why: 'unknown_session', count: 3, first: 2e64, last: 2e64 });
  expect(faultsOf(rows)).toEqual([]);
});

it('the longest rows of a batch fit into it', () => {
  const batch = new BatchText(new BatchMemory(1));
  while (batch.bytes < BATCH_ENOUGH) expect(batch.add(['x'.repeat(1_000)])).toBe(true);
  const bytes = Buffer.alloc(65_536, 0x5c);
  const rows = rowsOf(
    encoded({ ...plain, kind: kinds.exec, texts: [bytes, bytes, bytes, new Uint8Array(Buffer.alloc(EXEC_FACTS_BYTES))] }),
  );
  for (const row of rows) expect(batch.add(row)).toBe(true);
});
