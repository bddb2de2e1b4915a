import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SshWriter, concatBytes, utf8Bytes } from '#schemas/ssh/wire.js';
import { ReplyBuffer, requestPacket } from './packets.js';
import type { Reply } from './packets.js';

const packet = (writer: SshWriter): Uint8Array => new SshWriter().string(writer.bytes()).bytes();
const named = new SshWriter()
  .byte(104)
  .uint32(9)
  .uint32(2)
  .utf8('a')
  .utf8('-rw-r--r-- a')
  .uint32(1 | 2 | 4 | 8 | 0x8000_0000)
  .uint64(7n)
  .uint32(1000)
  .uint32(1000)
  .uint32(0o100_644)
  .uint32(1)
  .uint32(2)
  .uint32(1)
  .utf8('x@y')
  .utf8('z')
  .utf8('b')
  .utf8('')
  .uint32(0);
const replies: readonly (readonly [SshWriter, Reply])[] = [
  [new SshWriter().byte(2).uint32(3).utf8('posix-rename@openssh.com').utf8('1'), { kind: 'version' }],
  [new SshWriter().byte(101).uint32(1).uint32(2).utf8('No such file').utf8(''), { kind: 'status', id: 1, code: 2 }],
  [new SshWriter().byte(101).uint32(1).uint32(1), { kind: 'status', id: 1, code: 1 }],
  [new SshWriter().byte(102).uint32(2).utf8('h'), { kind: 'handle', id: 2, handle: utf8Bytes('h') }],
  [new SshWriter().byte(103).uint32(3).utf8('bytes'), { kind: 'data', id: 3, bytes: utf8Bytes('bytes') }],
  [
    named,
    {
      kind: 'name',
      id: 9,
      names: [
        { name: utf8Bytes('a'), size: 7, mode: 0o100_644, modified: 2 },
        { name: utf8Bytes('b'), size: null, mode: null, modified: null },
      ],
    },
  ],
];
function readAll(buffer: ReplyBuffer): Reply[] {
  const found: Reply[] = [];
  for (let reply = buffer.next(); reply !== null; reply = buffer.next()) found.push(reply);
  return found;
}

test('replies are read whatever pieces they come in', () => {
  const all = concatBytes(...replies.map(([writer]) => packet(writer)));
  fc.assert(
    fc.property(fc.integer({ min: 1, max: all.length }), (size) => {
      const buffer = new ReplyBuffer();
      const found: Reply[] = [];
      for (let at = 0; at < all.length; at += size) {
        const piece = all.slice(at, at + size);
        buffer.put(piece);
        found.push(...readAll(buffer));
      }
      expect(found).toEqual(replies.map(([, reply]) => reply));
    }),
  );
});

test.each([
  ['longer than any', Uint8Array.of(0, 16, 0, 0, 101)],
  ['too short for an id', Uint8Array.of(0, 0, 0, 4, 101, 0, 0, 0)],
  ['of a kind that is none', packet(new SshWriter().byte(7).uint32(1))],
  ['of another version', packet(new SshWriter().byte(2).uint32(6))],
  ['that ends inside its handle', packet(new SshWriter().byte(102).uint32(1).uint32(9))],
  ['with a handle that is too long', packet(new SshWriter().byte(102).uint32(1).string(new Uint8Array(257)))],
  ['with more names than it sends', packet(new SshWriter().byte(104).uint32(1).uint32(0xffff_ffff))],
  ['with more attributes than it sends', packet(new SshWriter().byte(105).uint32(1).uint32(0x8000_0000).uint32(0xffff_ffff))],
  [
    'with a size that no file has',
    packet(
      new SshWriter()
        .byte(105)
        .uint32(1)
        .uint32(1)
        .uint64(2n ** 63n),
    ),
  ],
])('a reply %s is refused', (_what, bytes) => {
  const buffer = new ReplyBuffer();
  buffer.put(bytes);
  expect(() => buffer.next()).toThrow(expect.objectContaining({ code: 'SSH_PROTOCOL' }));
});

test('whatever a node sends is read or refused with one error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(2, 101, 102, 103, 104, 105), (bytes, type) => {
      const buffer = new ReplyBuffer();
      buffer.put(packet(new SshWriter().byte(type).raw(concatBytes(new Uint8Array(4), bytes))));
      try {
        readAll(buffer);
      } catch (error) {
        expect(error).toMatchObject({ code: 'SSH_PROTOCOL' });
      }
    }),
    { numRuns: 2_000 },
  );
});

test('requests are as the draft says', () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  expect(hex(requestPacket(1, { kind: 'stat', path: utf8Bytes('/a') }))).toBe('0000000b1100000001000000022f61');
  expect(hex(requestPacket(2, { kind: 'read', handle: utf8Bytes('h'), offset: 2 ** 33, length: 16 }))).toBe(
    '00000016050000000200000001680000000200000000' + '00000010',
  );
  expect(hex(requestPacket(3, { kind: 'mkdir', path: utf8Bytes('/a') }))).toBe('0000000f0e00000003000000022f6100000000');
  expect(hex(requestPacket(4, { kind: 'rename', path: utf8Bytes('/a'), to: utf8Bytes('/b') }))).toBe(
    '000000111200000004000000022f61000000022f62',
  );
  expect(hex(requestPacket(5, { kind: 'remove', path: utf8Bytes('/a') }))).toBe('0000000b0d00000005000000022f61');
  expect(hex(requestPacket(6, { kind: 'rmdir', path: utf8Bytes('/a') }))).toBe('0000000b0f00000006000000022f61');
});
