import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeModes, sttyWords } from './modes.js';

const encode = (...modes: readonly (readonly [number, number])[]): Buffer =>
  Buffer.concat(
    modes.map(([opcode, value]) => {
      const bytes = Buffer.alloc(5);
      bytes[0] = opcode;
      bytes.writeUInt32BE(value, 1);
      return bytes;
    }),
  );

describe('terminal modes', () => {
  test.each<readonly [string, Buffer, readonly (readonly [number, number])[]]>([
    [
      'end at opcode 0',
      Buffer.concat([encode([3, 8], [53, 0]), Buffer.of(0)]),
      [
        [3, 8],
        [53, 0],
      ],
    ],
    ['may end without it', encode([3, 8]), [[3, 8]]],
    ['end at opcode 0, whatever follows', Buffer.concat([encode([3, 8]), Buffer.of(0), encode([53, 0])]), [[3, 8]]],
    ['end at an opcode that RFC 4254 does not define', Buffer.concat([encode([3, 8]), encode([160, 1], [53, 0])]), [[3, 8]]],
    [
      'may have opcodes that nobody knows',
      encode([159, 7], [3, 8]),
      [
        [159, 7],
        [3, 8],
      ],
    ],
    ['count as far as they go when cut off', Buffer.concat([encode([3, 8]), Buffer.of(53, 0, 0)]), [[3, 8]]],
    ['count the last of two', encode([3, 8], [3, 127]), [[3, 127]]],
    ['may be none', Buffer.alloc(0), []],
  ])('%s', (_claim, bytes, expected) => expect([...decodeModes(bytes)]).toEqual(expected));

  test('become words of stty', () => {
    expect(
      sttyWords(
        decodeModes(
          encode(
            [53, 0],
            [36, 1],
            [1, 5],
            [3, 255],
            [42, 1],
            [128, 38_400],
            [129, 38_400],
            [11, 7],
            [91, 1],
            [90, 0],
            [2, 256],
            [129, 4_000_001],
          ),
        ),
      ),
    ).toEqual([
      ['-brkint', '-hupcl', '-imaxbel', '-ixany', '-iutf8', '-echo', 'icrnl', 'iutf8', 'cs8'],
      ['intr', '0x05', 'erase', 'undef'],
      ['ispeed', '38400'],
    ]);
  });

  test('whatever the bytes, they are a bounded list of words of stty', () => {
    const word = /^(?:-?[a-z]+[0-9]?|0x[0-9a-f]{2}|undef|[0-9]{1,7})$/;
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .array(
          fc.tuple(fc.integer({ min: 0, max: 170 }), fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffff_ffff }))),
          { maxLength: 60 },
        )
        .map((modes) => new Uint8Array(encode(...modes))),
    );
    fc.assert(
      fc.property(any, fc.nat(3), (bytes, offset) => {
        const held = new Uint8Array(bytes.length + offset);
        held.set(bytes, offset);
        const words = sttyWords(decodeModes(held.subarray(offset)));
        expect(words).toEqual(sttyWords(decodeModes(bytes)));
        expect(words.length).toBeLessThanOrEqual(3);
        expect(words.flat().every((text) => word.test(text))).toBe(true);
        expect(words.flat().length).toBeLessThan(120);
      }),
      { numRuns: 2_000 },
    );
  });

  test('every word is one that stty takes', () => {
    for (const list of sttyWords(
      decodeModes(encode(...Array.from({ length: 159 }, (_, i) => [i + 1, i + 1 === 128 || i + 1 === 129 ? 9_600 : 1] as const))),
    )) {
      // Without a terminal stty reports that; for an unknown word it reports the word.
      expect(
        spawnSync('stty', [...list], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } }).stderr,
      ).not.toMatch(/invalid|missing/);
    }
  });
});
