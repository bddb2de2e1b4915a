import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Unmasker } from './unmask.js';

/** A frame as a client sends it. */
function frame(payload: Uint8Array, key: Uint8Array): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = 0x82;
  head[1] = 0x80 | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, key, payload.map((byte, i) => byte ^ key[i & 3]!)]);
}

/** The payloads that a reader of the protocol finds in the bytes. */
function read(bytes: Buffer): readonly Buffer[] {
  const payloads: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const short = bytes[at + 1]! & 0x7f;
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? Number(bytes.readBigUInt64BE(at + 2)) : short;
    const key = at + (short === 126 ? 4 : short === 127 ? 10 : 2);
    const masked = bytes.subarray(key + 4, key + 4 + length);
    payloads.push(Buffer.from(masked.map((byte, i) => byte ^ bytes[key + (i & 3)]!)));
    at = key + 4 + length;
  }
  return payloads;
}

/** The bytes after they were passed on in pieces, each at another position in memory. */
function passed(bytes: Buffer, cuts: readonly number[]): Buffer {
  const unmasker = new Unmasker();
  const pieces: Buffer[] = [];
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  for (const [i, from] of [0, ...ends].entries()) {
    const source = bytes.subarray(from, ends[i] ?? bytes.length);
    const piece = Buffer.alloc(source.length + 3).subarray(i % 4, (i % 4) + source.length);
    source.copy(piece);
    unmasker.take(piece);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const payload = fc
  .tuple(fc.oneof(fc.nat(200), fc.integer({ min: 65_500, max: 65_600 })), fc.nat(255))
  .map(([length, seed]) => Buffer.from(Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff)));
const frames = fc.array(fc.tuple(payload, fc.uint8Array({ minLength: 4, maxLength: 4 })), { minLength: 1, maxLength: 5 });

it('payloads are the same however the bytes are cut', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(400_000), { maxLength: 12 }), (all, cuts) => {
      const bytes = Buffer.concat(all.map(([content, key]) => frame(content, key)));
      const payloads = read(passed(bytes, cuts));
      expect(payloads).toHaveLength(all.length);
      expect(payloads.every((one, i) => one.equals(all[i]![0]))).toBe(true);
    }),
    { numRuns: 60 },
  );
});

it('a frame in one piece is unmasked, and one whose key is cut is left unchanged', () => {
  const key = Uint8Array.of(1, 2, 3, 4);
  const content = Buffer.from('a frame of some length');
  const bytes = frame(content, key);
  expect(passed(bytes, []).subarray(6)).toEqual(content);
  for (const cut of [3, 4, 5]) expect(passed(bytes, [cut])).toEqual(bytes);
  expect(passed(bytes, [...bytes.keys()])).toEqual(bytes);
});

it.each([
  ['is not masked', Buffer.from([0x82, 5, 1, 2, 3, 4, 5])],
  ['has a length beyond 2^53', Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 9, 9])],
])('nothing is changed from the first frame that %s', (_, odd) => {
  const after = frame(Buffer.from('after'), Uint8Array.of(1, 2, 3, 4));
  expect(passed(Buffer.concat([odd, after]), [])).toEqual(Buffer.concat([odd, after]));
});
