import { describe, expect, it } from 'vitest';
import { decodeBase64, encodeBase64 } from './base64.js';
import { concatBytes, equalBytes, SshReader, SshWriter, utf8Bytes } from './wire.js';

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const reader = (content: Uint8Array): SshReader => new SshReader(content, 'SIGNATURE_GARBLED');
const garbled = expect.objectContaining({ code: 'SIGNATURE_GARBLED' }) as Error;
/** Bytes as an SSH `string`. */
const wrapped = (...values: readonly number[]): Uint8Array => new SshWriter().string(bytes(...values)).bytes();

describe('written data', () => {
  const writer = new SshWriter()
    .byte(255)
    .uint32(4_294_967_295)
    .uint64(18_446_744_073_709_551_615n)
    .string(bytes(1, 2, 3))
    .utf8('Zürich 🚀')
    .mpint(bytes(0, 0, 0x80))
    .mpint(bytes(0x7f))
    .nameList(['a', 'b@c'])
    .raw(bytes(9));

  it('is read back unchanged, to the last byte', () => {
    const read = reader(writer.bytes());
    expect([read.byte('b'), read.uint32('u'), read.uint64('l')]).toEqual([255, 4_294_967_295, 18_446_744_073_709_551_615n]);
    expect([read.string('s'), read.utf8('t'), read.mpint('m'), read.mpint('n')]).toEqual([
      bytes(1, 2, 3),
      'Zürich 🚀',
      bytes(0x80),
      bytes(0x7f),
    ]);
    expect([read.nameList('l'), read.remaining]).toEqual([['a', 'b@c'], 1]);
    expect(() => {
      read.end('it');
    }).toThrow(garbled);
    expect(read.raw(1, 'r')).toEqual(bytes(9));
    read.end('it');
  });

  it('may be longer than the first buffer', () => {
    const long = new Uint8Array(100_000).fill(7);
    expect(reader(new SshWriter().byte(1).string(long).bytes().subarray(1)).string('s')).toEqual(long);
  });

  it('is not shared with the writer', () => {
    const first = writer.bytes();
    writer.byte(1);
    expect(writer.bytes().length).toBe(first.length + 1);
  });
});

describe('reading refuses', () => {
  const cases: readonly (readonly [string, Uint8Array, (read: SshReader) => unknown])[] = [
    ['a missing byte', bytes(), (read) => read.byte('b')],
    ['a truncated number', bytes(0, 0, 0), (read) => read.uint32('u')],
    ['a truncated long number', bytes(0, 0, 0, 0, 0, 0, 0), (read) => read.uint64('l')],
    ['a string longer than the rest', bytes(0, 0, 0, 2, 1), (read) => read.string('s')],
    ['a string of four gigabytes', bytes(255, 255, 255, 255, 1), (read) => read.string('s')],
    ['a string over its limit', wrapped(1, 2, 3), (read) => read.string('s', 2)],
    ['text that is not UTF-8', wrapped(0xc3, 0x28), (read) => read.utf8('t')],
    ['text with a surrogate', wrapped(0xed, 0xa0, 0x80), (read) => read.utf8('t')],
    ['text with NUL', wrapped(65, 0), (read) => read.utf8('t')],
    ['a number of no bytes', wrapped(), (read) => read.mpint('m')],
    ['a negative number', wrapped(0x80), (read) => read.mpint('m')],
    ['a number with a superfluous zero', wrapped(0, 0x7f), (read) => read.mpint('m')],
    ['zero written out', wrapped(0), (read) => read.mpint('m')],
    ['an empty name', wrapped(0x61, 0x2c), (read) => read.nameList('l')],
    ['a name with a space', wrapped(0x20), (read) => read.nameList('l')],
  ];
  it.each(cases)('%s', (_name, content, act) => {
    expect(() => act(reader(content))).toThrow(garbled);
  });

  it('no valid input: an empty string, an empty list', () => {
    expect([reader(wrapped()).utf8('t'), reader(wrapped()).nameList('l'), reader(wrapped()).nested('n').remaining]).toEqual(['', [], 0]);
  });
});

describe('base64', () => {
  it('round-trips every length', () => {
    for (let length = 0; length < 70; length += 1) {
      const content = Uint8Array.from({ length }, (_, i) => (i * 37 + length) % 256);
      expect(decodeBase64(encodeBase64(content))).toEqual(content);
    }
    expect(encodeBase64(utf8Bytes('light work.'))).toBe('bGlnaHQgd29yay4=');
  });

  it.each(['A', 'AA', 'AAA', 'A===', '====', 'AAA=A', 'AB==', 'AAB=', 'AAA\n', 'AAA-', 'AAAA ', '=AAA'])('refuses %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined();
  });
});

it('bytes are equal if their length and every byte are', () => {
  expect(equalBytes(bytes(), bytes())).toBe(true);
  expect(equalBytes(bytes(1, 2), bytes(1, 2))).toBe(true);
  for (const other of [bytes(), bytes(1), bytes(1, 2, 3), bytes(1, 3), bytes(3, 2), bytes(2, 1)])
    expect([equalBytes(bytes(1, 2), other), equalBytes(other, bytes(1, 2))]).toEqual([false, false]);
});

it('zero is written without bytes, and leading zeros of a number are dropped', () => {
  for (const zero of [bytes(), bytes(0), bytes(0, 0)]) expect(new SshWriter().mpint(zero).bytes()).toEqual(bytes(0, 0, 0, 0));
  expect(new SshWriter().mpint(bytes(0, 1, 0)).bytes()).toEqual(bytes(0, 0, 0, 2, 1, 0));
});

it('a byte order mark at the start of a text is part of it', () => {
  expect(reader(wrapped(0xef, 0xbb, 0xbf, 0x61)).utf8('t')).toBe('\ufeffa');
});

it('a writer grows as needed, for pieces of any size', () => {
  for (const sizes of [[256], [255, 1], [256, 1], [300, 300, 300], [1, 10_000, 1]]) {
    const parts = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
    expect(parts.reduce((writer, part) => writer.raw(part), new SshWriter()).bytes()).toEqual(concatBytes(...parts));
  }
});

it('bytes are joined in order', () => {
  expect(concatBytes(bytes(1), bytes(), bytes(2, 3))).toEqual(bytes(1, 2, 3));
});
