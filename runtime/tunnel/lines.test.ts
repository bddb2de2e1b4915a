import { Duplex, PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readLines, writeLine } from './lines.js';

it('messages arrive complete and in order, however they are split', () => {
  fc.assert(
    fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), fc.integer({ min: 1, max: 40 }), (messages, size) => {
      const written: Buffer[] = [];
      const out = new Duplex({
        read: () => undefined,
        write: (chunk: Buffer, _, done) => {
          written.push(chunk);
          done();
        },
      });
      for (const message of messages) writeLine(out, message);
      const stream = new PassThrough();
      const seen: unknown[] = [];
      readLines(stream, 1 << 20, (message) => seen.push(message));
      const bytes = Buffer.concat(written);
      for (let from = 0; from < bytes.length; from += size) stream.emit('data', bytes.subarray(from, from + size));
      expect(seen).toEqual(JSON.parse(JSON.stringify(messages)));
    }),
  );
});

it.each([
  ['a line that is too long', Buffer.from('"12345678901"\n')],
  ['a line without an end', Buffer.alloc(11, 0x20)],
  ['a line that is not JSON', Buffer.from('{"a"\n')],
])('%s ends the stream, and nothing after it is read', async (_, bytes) => {
  const stream = new PassThrough();
  const seen: unknown[] = [];
  const failed = new Promise((resolve) => stream.once('error', resolve));
  readLines(stream, 10, (message) => seen.push(message));
  stream.write('1\n');
  stream.write(bytes);
  stream.write('2\n');
  expect(await failed).toBeInstanceOf(Error);
  expect(seen).toEqual([1]);
});
