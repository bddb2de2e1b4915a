import { expect, it } from 'vitest';
import { newId } from './ids.js';

it('an id has its prefix and length, no two are equal, and none contains look-alike characters', () => {
  const ids = Array.from({ length: 5_000 }, () => newId('x', 10));
  for (const id of ids) expect(id).toMatch(/^x-[2-9a-hjkmnp-tv-z]{10}$/);
  expect(new Set(ids).size).toBe(ids.length);
  expect(new Set(ids.join('').replaceAll('x-', '')).size).toBe(30);
});
