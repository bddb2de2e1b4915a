import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { concatBytes, utf8Bytes } from '#schemas/ssh/wire.js';
import { MAX_PACKET, PacketBuffer, framed, payloadOf, sealed } from './packets.js';
import { PacketCipher, randomBytes } from './web-crypto.js';

const refusal = expect.objectContaining({ code: 'SSH_PROTOCOL' }) as unknown;
const refused = (act: () => unknown): void => {
  expect(act).toThrow(StenoError);
  try {
    act();
  } catch (error) {
    expect(error).toEqual(refusal);
  }
};
const bufferOf = (...parts: readonly Uint8Array[]): PacketBuffer => {
  const buffer = new PacketBuffer();
  for (const part of parts) buffer.put(part);
  return buffer;
};

describe('the identification', () => {
  test('is a line, behind other lines, in any pieces', () => {
    const bytes = utf8Bytes('welcome\r\n\r\nSSH-2.0-OpenSSH_9.9 Steno\r\nrest');
    const buffer = new PacketBuffer();
    const found = [...bytes].map((byte) => {
      buffer.put(Uint8Array.of(byte));
      return buffer.identification();
    });
    expect(found.find((line) => line !== null)).toBe('SSH-2.0-OpenSSH_9.9 Steno');
  });
  test.each([
    ['of another version', 'SSH-1.99-old\r\n'],
    ['without a name', 'SSH-2.0-\r\n'],
    ['that is too long', `SSH-2.0-${'x'.repeat(300)}`],
    ['that never comes', 'a line\n'.repeat(2_000)],
  ])('%s is refused', (_, text) => refused(() => bufferOf(utf8Bytes(text)).identification()));
});

describe('packets', () => {
  test.each([0, 1, 3, 4, 5, 11, 12, 13, 255, 32_768])('of %i bytes are read as they were written', (length) => {
    const payload = concatBytes(Uint8Array.of(94), randomBytes(length));
    const { length: head, body } = framed(payload, false);
    expect((4 + body.length) % 8).toBe(0);
    const read = bufferOf(head, body).next(false)!;
    expect(payloadOf(read.body)).toEqual(payload);
  });

  test('are whole or not there', () => {
    const { length, body } = framed(Uint8Array.of(21), false);
    const buffer = bufferOf(length, body.subarray(0, -1));
    expect(buffer.next(false)).toBeNull();
    buffer.put(body.subarray(-1));
    expect(payloadOf(buffer.next(false)!.body)).toEqual(Uint8Array.of(21));
    expect(buffer.next(false)).toBeNull();
  });

  test.each([
    ['too long', [0, 1, 0, 16]],
    ['longer than memory', [255, 255, 255, 252]],
    ['too short', [0, 0, 0, 0]],
    ['of no whole blocks', [0, 0, 0, 13]],
  ])('of a length that is %s are refused before they are waited for', (_, bytes) =>
    refused(() => bufferOf(Uint8Array.from(bytes)).next(false)),
  );

  test.each([
    ['too little padding', [3, 1, 0, 0, 0]],
    ['padding for a payload of nothing', [4, 0, 0, 0, 0]],
    ['padding beyond the packet', [200, 1, 2, 3, 4]],
  ])('with %s are refused', (_, bytes) => refused(() => payloadOf(Uint8Array.from(bytes))));

  test('are sealed, in their order, and an altered one is refused', async () => {
    const [key, iv] = [randomBytes(32), randomBytes(12)];
    const [seal, open] = [await PacketCipher.of(key, iv, 'encrypt'), await PacketCipher.of(key, iv, 'decrypt')];
    const buffer = new PacketBuffer();
    for (const payload of [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]) buffer.put(await sealed(payload, seal));
    const next = async (): Promise<Uint8Array> => {
      const { length, body } = buffer.next(true)!;
      return payloadOf(await open.decrypt(body, length));
    };
    expect([await next(), await next()]).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    const { length, body } = buffer.next(true)!;
    const altered = body.slice();
    altered[0]! ^= 1;
    await expect(open.decrypt(altered, length)).rejects.toThrow();
  });

  test('never use one IV twice, also where the counter overflows a word', async () => {
    const iv = concatBytes(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255));
    const seal = await PacketCipher.of(new Uint8Array(16), iv, 'encrypt');
    const made = [await seal.encrypt(new Uint8Array(16), new Uint8Array(4)), await seal.encrypt(new Uint8Array(16), new Uint8Array(4))];
    expect(made[0]).not.toEqual(made[1]);
  });

  test('the bound of a packet is above what the other side may send in one message', () =>
    expect(MAX_PACKET).toBeGreaterThan(32 * 1024 + 64));
});
