import { describe, expect, test } from 'vitest';
import { parseSearch } from '#schemas/search/parse.js';
import { applied, completionAt, knownSuggestions, writtenValue } from './completion.js';

const labels = (query: string): readonly string[] | null => {
  const completion = completionAt(query, query.length);
  return completion === null ? [] : (knownSuggestions(completion)?.map(({ label }) => label) ?? null);
};

describe('what may come next', () => {
  test.each<[string, readonly string[] | null]>([
    ['no', ['node:']],
    ['shadow us', ['user:']],
    ['(-po', ['port:', 'pod:']],
    ['kind:ex', ['exec', 'exit']],
    ['severity:', ['info', 'low', 'medium', 'high', 'critical']],
    ['user:al', null],
    ['after:', ['today', 'yesterday', '1h', '24h', '7d', '30d']],
    ['during:yesterday..', ['now', 'today', 'yesterday', '1h', '24h'].map((end) => `yesterday..${end}`)],
    ['during:7d..y', ['7d..yesterday']],
    ['path:', ['path:/etc/shadow']],
    ['path:/e', []],
    ['nothing:', []],
    ['"user', []],
    ['', []],
  ])('after %j', (query, expected) => expect(labels(query)?.toSorted() ?? null).toEqual(expected?.toSorted() ?? null));
});

test('a suggestion replaces what was typed, up to the end of the word', () => {
  const query = 'shadow us x';
  const completion = completionAt(query, 9)!;
  expect(applied(query, 9, completion, { text: 'user:', label: '', note: '' })).toEqual({ query: 'shadow user:x', cursor: 12 });
  expect(applied('kind:ex', 7, completionAt('kind:ex', 7)!, { text: 'exec', label: '', note: '' })).toEqual({
    query: 'kind:exec ',
    cursor: 10,
  });
});

test.each(['alice', 'web-1', '-x', 'a b', 'q"uote', 'back\\slash', '10.1.2.3', '::1', 'east/shop/web-1', 'o*'])(
  'the value %j reads back',
  (value) => {
    const parsed = parseSearch(`user:${writtenValue(value)}`, 0);
    expect(parsed).toMatchObject({ kind: 'field', match: { kind: 'pattern' } });
  },
);
