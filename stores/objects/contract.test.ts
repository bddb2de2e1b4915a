/** Inputs that every object store refuses before any access, and how a missing object differs from a failure. */
import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { checkKey, checkPrefix, checkRange, unlessMissing } from './contract.js';

const refused = expect.objectContaining({ code: 'BAD_REQUEST' }) as Error;
const most = 'k'.repeat(512);

describe('a key', () => {
  test.each(['a', 'a/b', '0-_.x/1', 'a..b', 'a.', most])('%s is accepted unchanged', (key) => {
    expect(checkKey(key)).toBe(key);
  });

  test.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    '.a',
    'a/.',
    'a/..',
    'a/../b',
    'a/.b',
    'A',
    'a b',
    'a\\b',
    'a\0',
    'a\n',
    'é',
    '%2e',
    `${most}k`,
  ])('%j is refused', (key) => {
    expect(() => checkKey(key)).toThrow(refused);
  });

  test('that is refused is quoted up to 80 characters', () => {
    expect(() => checkKey('K'.repeat(600))).toThrow(expect.objectContaining({ detail: `not an object key: "${'K'.repeat(80)}"` }));
    expect(() => checkPrefix('K'.repeat(600))).toThrow(expect.objectContaining({ detail: `not an object prefix: "${'K'.repeat(80)}"` }));
  });
});

describe('a prefix', () => {
  test.each(['', 'a', 'a/', 'a/b', 'a/b/', 'a.', most])('%j is accepted as the beginning of a key', (prefix) => {
    expect(checkPrefix(prefix)).toBe(prefix);
  });

  test.each(['/', '.', '..', 'a//', 'a/.', 'a/../', 'A', ' ', `${most}k`, `${'a/'.repeat(256)}k`])('%j is refused', (prefix) => {
    expect(() => checkPrefix(prefix)).toThrow(refused);
  });
});

describe('a range', () => {
  const last = Number.MAX_SAFE_INTEGER;
  test.each([
    [0, 0],
    [1, 0],
    [0, last],
    [last, 0],
    [last - 1, 1],
  ])('from %d of %d bytes is accepted', (offset, length) => {
    expect(checkRange({ offset, length })).toEqual({ offset, length });
  });

  test.each([
    [-1, 1],
    [1, -1],
    [0.5, 1],
    [1, 0.5],
    [Number.NaN, 1],
    [1, Number.NaN],
    [Number.POSITIVE_INFINITY, 1],
    [1, Number.POSITIVE_INFINITY],
    [last, 1],
    [last + 1, 0],
    [0, last + 1],
  ])('from %d of %d bytes is refused', (offset, length) => {
    expect(() => checkRange({ offset, length })).toThrow(refused);
  });
});

describe('unlessMissing', () => {
  test('returns the result, null for a missing object, and throws every other failure', async () => {
    expect(await unlessMissing(() => Promise.resolve(7))).toBe(7);
    expect(await unlessMissing(() => Promise.reject(new StenoError('STORE_NOT_FOUND', 'a')))).toBeNull();
    const failures = [new StenoError('STORE_UNAVAILABLE', 'a'), Object.assign(new Error('other'), { code: 'STORE_NOT_FOUND' })];
    for (const failure of failures) await expect(unlessMissing(() => Promise.reject(failure))).rejects.toBe(failure);
  });
});
