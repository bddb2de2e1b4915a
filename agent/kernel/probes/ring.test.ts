import { expect, it } from 'vitest';
import { Ring, isDiscarded, stride } from './ring.js';

/** A ring in the kernel's layout, with a writer. */
function memory(size: number): {
  readonly ring: Ring;
  write(bytes: Buffer, flags?: number): void;
  commit(at: number): void;
  readonly produced: () => number;
} {
  const data = new Uint8Array(2 * size);
  const consumer = new BigInt64Array(1);
  const producer = new BigInt64Array(1);
  let position = 0;
  const put = (at: number, byte: number): void => {
    data[at % size] = byte;
    data[(at % size) + size] = byte;
  };
  return {
    ring: new Ring({ consumer, producer, data }),
    write(bytes, flags = 0) {
      const head = Buffer.alloc(8);
      head.writeUInt32LE((bytes.length | flags) >>> 0);
      for (const [i, byte] of [...head, ...bytes].entries()) put(position + i, byte);
      position += stride(bytes.length);
      Atomics.store(producer, 0, BigInt(position));
    },
    commit: (at) => put(at + 3, 0),
    produced: () => position,
  };
}

const texts = (ring: Ring): string[] => {
  const read: string[] = [];
  ring.read(1 << 20, (records) => {
    const bytes = Buffer.from(records);
    for (let at = 0; at < bytes.length; at += stride(bytes.readUInt32LE(at))) {
      const header = bytes.readUInt32LE(at);
      if (!isDiscarded(header)) read.push(bytes.subarray(at + 8, at + 8 + (header & 0x3fff_ffff)).toString());
    }
  });
  return read;
};

it('reads records in order, around the end of the ring and around again', () => {
  const { ring, write } = memory(256);
  for (let round = 0; round < 40; round++) {
    write(Buffer.from(`first ${round}`));
    write(Buffer.from('x'.repeat(round % 30)));
    expect(texts(ring)).toEqual([`first ${round}`, 'x'.repeat(round % 30)]);
  }
  expect(texts(ring)).toEqual([]);
});

it('stops before a record that is still being written, and leaves out one that was taken back', () => {
  const { ring, write, commit, produced } = memory(256);
  write(Buffer.from('whole'));
  const at = produced();
  write(Buffer.from('busy'), 0x8000_0000);
  write(Buffer.from('gone'), 0x4000_0000);
  write(Buffer.from('last'));
  expect(texts(ring)).toEqual(['whole']);
  commit(at);
  expect(texts(ring)).toEqual(['busy', 'last']);
});

it('reads up to a mark and no further', () => {
  const { ring, write } = memory(256);
  write(Buffer.from('before'));
  const mark = ring.mark();
  write(Buffer.from('after'));
  let bytes = 0;
  ring.read(
    1 << 20,
    (records) => {
      bytes = records.length;
    },
    mark,
  );
  expect(bytes).toBe(stride(6));
  expect(texts(ring)).toEqual(['after']);
});
