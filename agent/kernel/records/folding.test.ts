import { expect, it } from 'vitest';
import { Folding } from './folding.js';
import { KernelRecord, RECORD_BYTES, kinds } from './record.js';
import { RING_HEADER, isDiscarded, stride } from '../probes/ring.js';

const DISCARD = 0x4000_0000;

/** One record as the ring has it, followed by arbitrary bytes. */
function record(time: number, tid: number, text: string, kind: number = kinds.file, header = 0): Buffer {
  const length = RECORD_BYTES + text.length;
  const bytes = Buffer.alloc(stride(length), time & 0xff);
  bytes.fill(0, 0, RING_HEADER + RECORD_BYTES);
  bytes.writeUInt32LE((length | header) >>> 0, 0);
  bytes.writeUInt32LE(time, RING_HEADER);
  bytes[RING_HEADER + 12] = kind;
  bytes.writeUInt32LE(tid, RING_HEADER + 20);
  bytes.writeUInt32LE(text.length, RING_HEADER + 64);
  bytes.write(text, RING_HEADER + RECORD_BYTES);
  return bytes;
}

/** `time×count-last text` of each record. */
function read(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes);
  const view = new KernelRecord(buffer);
  const found: string[] = [];
  for (let at = 0; at < buffer.length; at += stride(buffer.readUInt32LE(at))) {
    const header = buffer.readUInt32LE(at);
    if (isDiscarded(header)) {
      found.push('discarded');
      continue;
    }
    expect(view.point(at + RING_HEADER, header)).toBe(true);
    const { repeats } = view;
    found.push(`${view.tid}: ${view.time}${repeats === null ? '' : `×${repeats.count}-${repeats.last}`} ${view.text(0).toString()}`);
  }
  return found;
}

const folded = (...records: readonly Buffer[]): string[] => read(new Folding().fold(Buffer.concat(records)));

it('counts what a thread repeats without a difference, with the first time and the last', () => {
  expect(folded(record(1, 7, 'a'), record(2, 7, 'a'), record(9, 7, 'a'))).toEqual(['7: 1×3-9 a']);
});

it.each(['', 'b', 'bc', 'bcd', 'bcde', 'bcdef', 'bcdefgh'])(
  'compares texts of any length to the last byte, and nothing behind it: a%s',
  (rest) => {
    expect(folded(record(1, 7, `a${rest}`), record(2, 7, `a${rest}`), record(3, 7, `a${rest.slice(0, -1)}X`))).toEqual([
      `7: 1×2-2 a${rest}`,
      `7: 3 a${rest.slice(0, -1)}X`,
    ]);
  },
);

it('counts nothing together that something else of the same thread came between', () => {
  expect(folded(record(1, 7, 'a'), record(2, 7, 'b'), record(3, 7, 'a'), record(4, 7, 'a'))).toEqual(['7: 1 a', '7: 2 b', '7: 3×2-4 a']);
  expect(folded(record(1, 7, 'a'), record(2, 7, 'a', kinds.exit), record(3, 7, 'a'))).toEqual(['7: 1 a', '7: 2 a', '7: 3 a']);
});

it('keeps the threads apart, and the order of first times', () => {
  expect(folded(record(1, 7, 'a'), record(2, 8, 'a'), record(3, 7, 'a'), record(4, 9, 'c'), record(5, 8, 'a'))).toEqual([
    '7: 1×2-3 a',
    '8: 2×2-5 a',
    '9: 4 c',
  ]);
});

it('counts files and connections only, and passes on what the kernel took back', () => {
  for (const kind of [kinds.fork, kinds.exec, kinds.exit, kinds.privilege, kinds.system]) {
    expect(folded(record(1, 7, 'a', kind), record(2, 7, 'a', kind))).toEqual(['7: 1 a', '7: 2 a']);
  }
  expect(folded(record(1, 7, 'a', kinds.net), record(2, 7, 'a', kinds.net), record(3, 7, 'a', kinds.net, DISCARD))).toEqual([
    '7: 1×2-2 a',
    'discarded',
  ]);
});

it('begins anew with each read', () => {
  const folding = new Folding();
  expect(read(folding.fold(record(1, 7, 'a')))).toEqual(['7: 1 a']);
  expect(read(folding.fold(Buffer.concat([record(2, 7, 'a'), record(3, 7, 'a')])))).toEqual(['7: 2×2-3 a']);
});
