/** docs/search.md lists every field, and its examples are valid queries. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fieldFacts, searchFields } from '#schemas/search/fields.js';
import type { SearchField } from '#schemas/search/fields.js';
import { parseSearch } from '#schemas/search/parse.js';

const page = readFileSync(new URL('../../docs/search.md', import.meta.url), 'utf8');

it('lists every field with its meaning and an example', () => {
  const listed = [...page.slice(page.indexOf('<!-- fields -->')).matchAll(/^\| `(\w+)` \| (.+) \| `(.+)` \|$/gm)].map(
    ([, field, text, example]) => [field, text, example],
  );
  const known = (Object.keys(searchFields) as SearchField[]).map((field) => [field, fieldFacts(field).text, fieldFacts(field).example]);
  expect(listed).toEqual(known);
});

it.each((Object.keys(searchFields) as SearchField[]).map((field) => fieldFacts(field).example.replace('…', '*')))(
  '%s is a query',
  (example) => {
    expect(parseSearch(example, Date.now())).toMatchObject({ kind: 'field' });
  },
);
