import { expect, test } from 'vitest';
import { Tail } from './tail.js';
import type { Position } from './tail.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const at = (last: number): Position => ({ last, draft: null, drafted: 0 });
const KEPT = 1 << 20;

/** All that a follower is sent now. */
function read(tail: Tail, position: Position): string[] {
  const texts: string[] = [];
  for (;;) {
    const message = tail.next(position);
    if (message === null) return texts;
    texts.push(String(message));
    if (message === 'behind') return texts;
  }
}

test('each follower goes on from the block it has, and none is sent one twice', () => {
  const tail = new Tail(10);
  const [one, two, ahead] = [at(10), at(11), at(12)];
  tail.block(bytes('11'), KEPT);
  expect(read(tail, one)).toEqual(['11']);
  tail.block(bytes('12'), KEPT);
  tail.block(bytes('13'), KEPT);
  expect(read(tail, one)).toEqual(['12', '13']);
  expect(read(tail, two)).toEqual(['12', '13']);
  expect(read(tail, ahead)).toEqual(['13']);
  expect(read(tail, at(9))).toEqual(['behind']);
});

test('a draft begins once for each follower and goes on; one that starts over is sent from its beginning', () => {
  const tail = new Tail(0);
  const early = at(0);
  tail.drafted(true, bytes('ab'));
  expect(read(tail, early)).toEqual(['=ab']);
  tail.drafted(false, bytes('cd'));
  tail.drafted(false, bytes('ef'));
  expect(read(tail, early)).toEqual(['+cdef']);
  expect(read(tail, at(0))).toEqual(['=abcdef']);
  tail.drafted(true, bytes('x'));
  expect(read(tail, early)).toEqual(['=x']);
  tail.block(bytes('block'), KEPT);
  tail.drafted(true, bytes('y'));
  expect(read(tail, early)).toEqual(['block', '=y']);
  expect(read(tail, at(5))).toEqual([]);
});

test('followers at the same position are sent the same memory, which shares nothing with the message it came in', () => {
  const tail = new Tail(0);
  const message = Buffer.from('[0,"o","text"]');
  tail.block(message, KEPT);
  const [one, two] = [at(0), at(0)];
  const sent = tail.next(one);
  expect(tail.next(two)).toBe(sent);
  expect((sent as Buffer).buffer.byteLength).toBe(message.length);
  tail.drafted(true, bytes('draft'));
  expect(tail.next(one)).toBe(tail.next(two));
});

test('only so many bytes of blocks stay, whatever their size, and always the newest block', () => {
  const tail = new Tail(0);
  for (let n = 1; n <= 10_000; n++) tail.block(bytes('.'), 64 * 1024);
  expect(tail.bytes).toBeLessThanOrEqual(64 * 1024);
  expect(tail.base).toBeGreaterThan(9_000);
  expect(read(tail, at(tail.base))).toHaveLength(10_000 - tail.base);
  tail.block(Buffer.alloc(100_000, 'x'), 64 * 1024);
  expect(tail.base).toBe(10_000);
  expect(read(tail, at(10_000))).toHaveLength(1);
});
