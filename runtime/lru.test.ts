import { expect, test } from 'vitest';
import { Lru } from './lru.js';

test('what was used longest ago goes first, until the weight fits', () => {
  const lru = new Lru<string>(10);
  lru.set('a', 'A', 4);
  lru.set('b', 'B', 4);
  lru.get('a');
  lru.set('c', 'C', 4);
  expect([lru.get('a'), lru.get('b'), lru.get('c'), lru.weight]).toEqual(['A', undefined, 'C', 8]);
});

test('what weighs more than all is not kept; what is set again counts once', () => {
  const lru = new Lru<string>(10);
  lru.set('a', 'A', 11);
  expect([lru.get('a'), lru.weight]).toEqual([undefined, 0]);
  lru.set('b', 'B', 6);
  lru.set('b', 'C', 7);
  expect([lru.get('b'), lru.weight]).toEqual(['C', 7]);
});
