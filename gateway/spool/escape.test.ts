import { isUtf8 } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { growText } from '#schemas/recording/line.js';
import { escapeInto, wholeUtf8 } from './escape.js';

const all = (text: string, room = 1 << 16): { written: string; read: number } => {
  const source = Buffer.from(text);
  const target = Buffer.alloc(room);
  const result = { read: 0, end: 0 };
  escapeInto(source, 0, source.length, target, 0, room, result);
  return { written: target.toString('utf8', 0, result.end), read: result.read };
};

test('escapes as JSON.stringify does, for every ASCII character and some others', () => {
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join('');
  for (const text of [ascii, 'é漢🙂\u2028\u2029\ufffd', '', '"', '\\\\"\n'.repeat(100), 'plain text of some length']) {
    expect(all(text).written).toBe(growText(text));
  }
});

test('escapes random text the same at any alignment', () => {
  const alphabet = [...'abcdefgh"\\\n\r\t\x1b\x00\x7fé漢🙂'];
  for (let round = 0; round < 300; round++) {
    const text = [...randomBytes(round % 60)].map((byte) => alphabet[byte % alphabet.length]!).join('');
    expect(all(text).written).toBe(growText(text));
  }
});

test('never splits a character or an escape at the limit, and never exceeds it', () => {
  const text = 'ab"c\x1bdé漢🙂z'.repeat(3);
  for (let room = 6; room < 80; room++) {
    const { written, read } = all(text, room);
    expect(Buffer.byteLength(written)).toBeLessThanOrEqual(room);
    const head = Buffer.from(text).subarray(0, read);
    expect(isUtf8(head)).toBe(true);
    expect(written).toBe(growText(head.toString()));
    expect(room - Buffer.byteLength(written)).toBeLessThan(written === growText(text) ? Infinity : 6);
  }
});

test('leaves out an incomplete sequence at the end, but not an invalid one', () => {
  for (const [bytes, whole] of [
    [[], 0],
    [[0x61], 1],
    [[0xc3], 0],
    [[0xc3, 0xa9], 2],
    [[0x61, 0xe6, 0xbc], 1],
    [[0xf0, 0x9f, 0x99], 0],
    [[0xf0, 0x9f, 0x99, 0x82], 4],
    [[0x80], 1],
    [[0x80, 0x80, 0x80, 0x80], 4],
    [[0x61, 0x80], 2],
  ] as const) {
    expect(wholeUtf8(Uint8Array.from(bytes))).toBe(whole);
  }
});
