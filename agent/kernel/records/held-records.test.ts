import { expect, it } from 'vitest';
import { HELD_BYTES, HELD_MS, HeldRecords } from './held-records.js';

function record(time: number, length = 88): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32LE(length - 8, 0);
  bytes.writeBigUInt64LE(BigInt(time), 8);
  return bytes;
}

it('what came before its session is announced is handed over in its order, once', () => {
  const held = new HeldRecords();
  held.add(1, record(10), 0);
  held.add(2, record(11), 0);
  held.add(1, record(12), 5);
  expect(held.take(1)).toEqual({ records: Buffer.concat([record(10), record(12)]), lost: null });
  expect(held.take(1)).toEqual({ records: null, lost: null });
  expect(held.bytes).toBe(88);
});

it('what waits too long is counted, and the count waits for the session', () => {
  const held = new HeldRecords();
  held.add(1, record(10), 0);
  held.add(1, record(30), HELD_MS - 1);
  held.expire(HELD_MS - 1);
  held.expire(HELD_MS);
  held.add(1, record(40), HELD_MS);
  expect(held.take(1)).toEqual({ records: record(40), lost: { count: 2, first: 10, last: 30 } });
  expect(held.bytes).toBe(0);
});

it('what is beyond the bound of memory is counted at once', () => {
  const held = new HeldRecords();
  for (let i = 0; i < 3; i++) held.add(1, record(i, HELD_BYTES / 2), 0);
  expect(held.bytes).toBe(HELD_BYTES);
  expect(held.take(1).lost).toEqual({ count: 1, first: 2, last: 2 });
});

it('numbers that are never announced take no memory for ever', () => {
  const held = new HeldRecords();
  for (let number = 0; number < 5_000; number++) held.add(number, record(number), 0);
  held.expire(HELD_MS);
  expect(held.bytes).toBe(0);
  expect(held.take(0).lost).toBeNull();
  expect(held.take(4_999).lost).toEqual({ count: 1, first: 4_999, last: 4_999 });
});
