import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogCursor } from './log-cursor.js';
import { EventLog } from './log.js';
import { pack } from '../records/packing.js';
import { RECORD_BYTES, kinds } from '../records/record.js';
import { RING_HEADER, stride } from '../probes/ring.js';

let folder: string;
let log: EventLog;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'steno-cursor-'));
  log = new EventLog(folder);
});
afterEach(() => {
  log.close();
  rmSync(folder, { recursive: true, force: true });
});

function record(text: string): Buffer {
  const length = RECORD_BYTES + text.length;
  const bytes = Buffer.alloc(stride(length));
  bytes.writeUInt32LE(length, 0);
  bytes[RING_HEADER + 12] = kinds.file;
  bytes.writeUInt32LE(text.length, RING_HEADER + 64);
  bytes.write(text, RING_HEADER + RECORD_BYTES);
  return bytes;
}

const packed = (...texts: readonly string[]): Buffer => pack(Buffer.concat(texts.map(record)))!;

function rest(cursor: LogCursor): (readonly [text: string, ordinal: number, place: string])[] {
  const found: (readonly [string, number, string])[] = [];
  for (let next = cursor.next(); next !== null; next = cursor.next()) found.push([next.text(0).toString(), cursor.ordinal, cursor.place]);
  return found;
}

it('gives the records in their order, alone or packed, with the same ordinals and places each time', () => {
  log.append(Buffer.concat([record('a'), record('b')]));
  log.append(packed('c', 'd', 'e'));
  log.append(record('f'));
  const cursor = new LogCursor(log);
  cursor.seek(1);
  const first = rest(cursor);
  expect(first.map(([text, ordinal]) => `${text}${ordinal}`)).toEqual(['a1', 'b2', 'c3', 'd4', 'e5', 'f6']);
  expect(new Set(first.map(([, , place]) => place)).size).toBe(6);
  expect(cursor.left).toBe(0);
  cursor.seek(1);
  expect(rest(cursor)).toEqual(first);
});

it('goes on where it stood when more is written, also within what is packed', () => {
  log.append(packed('a', 'b', 'c'));
  const cursor = new LogCursor(log);
  cursor.seek(1);
  expect(cursor.next()!.text(0).toString()).toBe('a');
  expect(cursor.left).toBeGreaterThan(0);
  log.append(record('d'));
  expect(rest(cursor).map(([text]) => text)).toEqual(['b', 'c', 'd']);
  log.append(packed('e', 'f'));
  expect(rest(cursor).map(([text]) => text)).toEqual(['e', 'f']);
});

it('gives more than it reads at once', () => {
  const texts = Array.from({ length: 9_000 }, (_, i) => `file number ${i}`);
  log.append(Buffer.concat(texts.slice(0, 6_000).map(record)));
  log.append(packed(...texts.slice(6_000)));
  const cursor = new LogCursor(log);
  cursor.seek(1);
  expect(rest(cursor).map(([text]) => text)).toEqual(texts);
});

it('packs what is alike to a fraction, and leaves alone what is not', () => {
  const alike = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => record(`a name ${i}`)));
  expect(pack(alike)!.length).toBeLessThan(alike.length / 5);
  const random = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * i * 2654435761) >>> 24));
  expect(pack(random)?.length ?? 0).toBeLessThan(random.length / 2);
});

it('ends at what a crash tore, and passes over what it damaged', () => {
  const damaged = packed('b', 'c');
  damaged.fill(0xff, RING_HEADER + RECORD_BYTES);
  log.append(Buffer.concat([record('a'), damaged, record('d'), record('torn')]));
  log.close();
  truncateSync(join(folder, '1.log'), log.size(1) - 8);
  const next = new EventLog(folder);
  const cursor = new LogCursor(next);
  cursor.seek(1);
  expect(rest(cursor).map(([text]) => text)).toEqual(['a', 'd']);
  expect(cursor.left).toBe(0);
});
