import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createSealer, openSealKey } from './seal.js';
import { Cleanup, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const wrong = expect.objectContaining({ code: 'SEAL_KEY_WRONG' });

describe('a sealed blob', () => {
  const key = randomBytes(32);
  const sealer = createSealer(key);
  const blob = sealer.seal('ca/ssh-user', Buffer.from('secret'));

  test('opens with its key and purpose', () => expect(sealer.open('ca/ssh-user', blob).toString()).toBe('secret'));
  test('is another each time', () => expect(sealer.seal('ca/ssh-user', Buffer.from('secret'))).not.toEqual(blob));
  test('opens neither for another purpose nor with another key', () => {
    expect(() => sealer.open('ca/ssh-host', blob)).toThrow(wrong);
    expect(() => createSealer(randomBytes(32)).open('ca/ssh-user', blob)).toThrow(wrong);
  });
  test('does not open with any one bit flipped, cut short, or longer', () => {
    for (let bit = 0; bit < blob.length * 8; bit += 1) {
      const altered = Buffer.from(blob);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => sealer.open('ca/ssh-user', altered)).toThrow(wrong);
    }
    for (let length = 0; length < blob.length; length += 1)
      expect(() => sealer.open('ca/ssh-user', blob.subarray(0, length))).toThrow(wrong);
    expect(() => sealer.open('ca/ssh-user', Buffer.concat([blob, Buffer.of(0)]))).toThrow(wrong);
  });
});

describe('the key file', () => {
  const path = (): string => join(temporaryFolder(cleanup), 'seal.key');

  test('is made once, of 32 bytes, for its owner only', () => {
    const file = path();
    const key = openSealKey(file, { mayCreate: true });
    expect(key).toHaveLength(32);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(openSealKey(file, { mayCreate: true })).toEqual(key);
    expect(openSealKey(file, { mayCreate: false })).toEqual(key);
    expect(readFileSync(file)).toEqual(key);
  });
  test('is not made when something is sealed already', () => {
    const file = path();
    expect(() => openSealKey(file, { mayCreate: false })).toThrow(expect.objectContaining({ code: 'SEAL_KEY_MISSING' }));
    expect(existsSync(file)).toBe(false);
  });
  test.each([0, 31, 33, 64])('of %i bytes is refused', (length) => {
    const file = path();
    writeFileSync(file, Buffer.alloc(length), { mode: 0o600 });
    expect(() => openSealKey(file, { mayCreate: true })).toThrow(wrong);
  });
  test('that others can read is refused', () => {
    const file = path();
    openSealKey(file, { mayCreate: true });
    chmodSync(file, 0o640);
    expect(() => openSealKey(file, { mayCreate: false })).toThrow(wrong);
  });
});
