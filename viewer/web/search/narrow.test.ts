import { expect, test } from 'vitest';
import { withValue, within } from './narrow.js';

test('a value narrows the whole query, alternatives included', () => {
  expect(withValue('shadow', 'user', 'alice')).toBe('shadow user:alice');
  expect(withValue('sudo or su', 'node', 'web 1')).toBe('(sudo or su) node:"web 1"');
  expect(withValue('shadow', 'kind', 'screen', true)).toBe('shadow -kind:screen');
});

test('a span takes the place of the one before', () => {
  const [from, to] = [Date.UTC(2026, 2, 1), Date.UTC(2026, 2, 2)];
  const span = 'during:2026-03-01T00:00:00.000Z..2026-03-01T23:59:59.999Z';
  expect(within('shadow', from, to)).toBe(`shadow ${span}`);
  expect(within(`shadow after:7d user:alice`, from, to)).toBe(`shadow user:alice ${span}`);
  expect(within('after:7d', from, to)).toBe(span);
  expect(within('a or b', from, to)).toBe(`(a or b) ${span}`);
});
