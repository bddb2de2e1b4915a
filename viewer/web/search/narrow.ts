/** Changes that the page makes to a query: adding a value, setting a time span. Tested in narrow.test.ts. */
import type { SearchExpression } from '#schemas/search/expression.js';
import { parseSearch } from '#schemas/search/parse.js';
import { printSearch } from '#schemas/search/print.js';
import { writtenValue } from './completion.js';

/** The query, restricted to this value. */
export function withValue(query: string, field: string, value: string, without = false): string {
  const asked = /\b(?:or|OR)\b/.test(query) ? `(${query})` : query;
  return `${asked} ${without ? '-' : ''}${field}:${writtenValue(value)}`.trim();
}

const times: ReadonlySet<string> = new Set(['after', 'before', 'during']);

/**
 * The query restricted to events within this span, which replaces the span in the query: `during:` would also find long sessions that
 * began before. The query must be valid.
 */
export function within(query: string, from: number, to: number): string {
  const expression = parseSearch(query, Date.now());
  const parts: readonly SearchExpression[] = expression.kind === 'all' ? expression.of : [expression];
  const kept = parts.filter((part) => part.kind !== 'field' || !times.has(part.field));
  const bounds: readonly SearchExpression[] = [
    { kind: 'field', field: 'after', match: { kind: 'range', from, to: null } },
    { kind: 'field', field: 'before', match: { kind: 'range', from: null, to } },
  ];
  return printSearch({ kind: 'all', of: [...kept, ...bounds] });
}

/**
 * The span that applies to everything a query finds, ms since 1970; `to` is exclusive. Null if there is none, such as a span within an
 * alternative.
 */
export function spanOfSearch(expression: SearchExpression): { readonly from: number | null; readonly to: number | null } {
  const parts: readonly SearchExpression[] = expression.kind === 'all' ? expression.of : [expression];
  const ranges = parts.flatMap((part) =>
    part.kind === 'field' && times.has(part.field) && part.match.kind === 'range' ? [part.match] : [],
  );
  const named = (bounds: readonly (number | null)[]): readonly number[] => bounds.filter((bound) => bound !== null);
  const [froms, tos] = [named(ranges.map(({ from }) => from)), named(ranges.map(({ to }) => to))];
  return { from: froms.length === 0 ? null : Math.max(...froms), to: tos.length === 0 ? null : Math.min(...tos) };
}
