/** Changes to a query from the page: a value added, a span of time set. Tested in narrow.test.ts. */
import type { SearchExpression } from '#schemas/search/expression.js';
import { parseSearch } from '#schemas/search/parse.js';
import { printSearch } from '#schemas/search/print.js';
import { writtenValue } from './completion.js';

/** The query, and this of it. */
export function withValue(query: string, field: string, value: string, without = false): string {
  const asked = /\b(?:or|OR)\b/.test(query) ? `(${query})` : query;
  return `${asked} ${without ? '-' : ''}${field}:${writtenValue(value)}`.trim();
}

const times: ReadonlySet<string> = new Set(['after', 'before', 'during']);

/** The query within this span, in place of the one that it names now. The query must be one. */
export function within(query: string, from: number, to: number): string {
  const expression = parseSearch(query, Date.now());
  const parts: readonly SearchExpression[] = expression.kind === 'all' ? expression.of : [expression];
  const kept = parts.filter((part) => part.kind !== 'field' || !times.has(part.field));
  const during: SearchExpression = { kind: 'field', field: 'during', match: { kind: 'range', from, to } };
  return printSearch(kept.length === 0 ? during : { kind: 'all', of: [...kept, during] });
}
