import { beforeEach, expect, it } from 'vitest';
import type { EventBatch } from '#runtime/uplink/source.js';
import { GONE_MS, HINDERS_MS, LoggedBatches, MAX_HELD_BYTES } from './logged-batches.js';

let now: number;
let told: (readonly [what: string, id: string, memory: boolean])[];
let unsigned: EventBatch[];
let batches: LoggedBatches;
beforeEach(() => {
  now = 0;
  told = [];
  unsigned = [];
  batches = new LoggedBatches({
    stored: (id, payload) => told.push(['stored', id, payload !== undefined]),
    parked: (id) => told.push(['parked', id, true]),
    unsigned: (batch) => unsigned.push(batch),
    now: () => now,
  });
  return () => batches.close();
});
const handedOut = (): string[] => {
  const ids: string[] = [];
  for (let batch = batches.next(); batch !== null; batch = batches.next()) ids.push(batch.id);
  return ids;
};

it('gives memory back at once, and sends in the order of making, also again', () => {
  const memory = Buffer.from('[1]');
  batches.add({ id: 'a', payload: memory });
  memory.fill(0);
  batches.add({ id: 'b', payload: Buffer.from('[2]') });
  expect(Buffer.from(batches.next()!.payload).toString()).toBe('[1]');
  expect(handedOut()).toEqual(['b']);
  batches.acknowledged('a');
  batches.add({ id: 'c', payload: Buffer.from('[3]') });
  batches.rewind(new Set());
  expect(handedOut()).toEqual(['b', 'c']);
  expect(told).toEqual([
    ['parked', 'a', true],
    ['parked', 'b', true],
    ['stored', 'a', false],
    ['parked', 'c', true],
  ]);
  batches.acknowledged('b');
  batches.acknowledged('c');
  batches.acknowledged('c');
  expect(batches.empty).toBe(true);
});

it('keeps the memory of what is more than it holds, so that no more is made', () => {
  const half = new Uint8Array(MAX_HELD_BYTES / 2);
  for (const id of ['a', 'b', 'c']) batches.add({ id, payload: half });
  expect(told).toEqual([
    ['parked', 'a', true],
    ['parked', 'b', true],
  ]);
  batches.acknowledged('c');
  expect(told.at(-1)).toEqual(['stored', 'c', true]);
  batches.acknowledged('a');
  batches.add({ id: 'd', payload: half });
  expect(told.at(-1)).toEqual(['parked', 'd', true]);
});

it('hands to ingest what the gateway refuses, and nothing else', () => {
  batches.add({ id: 'a', payload: Buffer.from('[1]') });
  batches.add({ id: 'b', payload: Buffer.from('[2]') });
  batches.refused('a');
  expect(unsigned.map(({ id, table }) => [id, table])).toEqual([['a', 'kernel']]);
  expect(handedOut()).toEqual(['b']);
});

it('hands to ingest what waited a day for a gateway that cannot be reached, and nothing while it can', () => {
  batches.reachable(true);
  batches.add({ id: 'a', payload: Buffer.from('[1]') });
  now = 3 * GONE_MS;
  batches.look();
  batches.reachable(false);
  now += GONE_MS - 1;
  batches.reachable(false);
  batches.look();
  expect(unsigned).toEqual([]);
  batches.add({ id: 'b', payload: Buffer.from('[2]') });
  now += 1;
  batches.look();
  expect(unsigned.map(({ id }) => id)).toEqual(['a']);
});

it('hands over sooner what keeps others from being sent', () => {
  const half = new Uint8Array(MAX_HELD_BYTES / 2);
  for (const id of ['a', 'b', 'c']) batches.add({ id, payload: half });
  now = HINDERS_MS - 1;
  batches.look();
  expect(unsigned).toEqual([]);
  now = HINDERS_MS;
  batches.look();
  expect(unsigned.map(({ id }) => id)).toEqual(['c']);
});
