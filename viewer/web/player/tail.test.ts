import { expect, test } from 'vitest';
import { Tail } from './tail.js';

test('blocks add up, and leave when they are stored', () => {
  const tail = new Tail(3, 1000, false);
  tail.append('[1,"o","a"]\n[1,"o","b"]\n');
  tail.append('[0.5,"o","c"]\n');
  expect([tail.block, tail.until, tail.events.map(({ at }) => at)]).toEqual([5, 3500, [2000, 3000, 3500]]);
  expect(tail.stored(4, 3000)).toBe(2);
  expect([tail.block, tail.until, tail.events.length]).toEqual([5, 3500, 1]);
  expect(tail.stored(8, 9000)).toBe(1);
  expect([tail.block, tail.until, tail.events.length, tail.characters]).toEqual([8, 9000, 0, 0]);
});
