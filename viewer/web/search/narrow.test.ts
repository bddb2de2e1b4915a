import { expect, test } from 'vitest';
import { parseSearch } from '#schemas/search/parse.js';
import { spanOfSearch, withValue, within } from './narrow.js';

test('a value narrows the whole query, alternatives included', () => {
  expect(withValue('shadow', 'user', 'alice')).toBe('shadow user:alice');
  expect(withValue('sudo or su', 'node', 'web 1')).toBe('(sudo or su) node:"web 1"');
  expect(withValue('shadow', 'kind', 'screen', true)).toBe('shadow -kind:screen');
});

test('a span takes the place of the one before', () => {
  const [from, to] = [Date.UTC(2026, 2, 1), Date.UTC(2026, 2, 2)];
  const span = 'after:2026-03-01T00:00:00.000Z before:2026-03-02T00:00:00.000Z';
  expect(within('shadow', from, to)).toBe(`shadow ${span}`);
  expect(within(`shadow after:7d user:alice`, from, to)).toBe(`shadow user:alice ${span}`);
  expect(within('after:7d', from, to)).toBe(span);
  expect(within('a or b', from, to)).toBe(`(a or b) ${span}`);
});

test.each<[string, number | null, number | null]>([
  ['shadow', null, null],
  ['node:web-1 during:2026-03-01', Date.UTC(2026, 2, 1), Date.UTC(2026, 2, 2)],
  ['during:2026-03-01..2026-03-04 after:2026-03-02 x', Date.UTC(2026, 2, 2), Date.UTC(2026, 2, 5)],
  ['after:2026-03-02', Date.UTC(2026, 2, 2), null],
  ['before:2026-03-02 or x', null, null],
  ['-during:2026-03-01', null, null],
])('the span of %s', (query, from, to) => expect(spanOfSearch(parseSearch(query, 0))).toEqual({ from, to }));
