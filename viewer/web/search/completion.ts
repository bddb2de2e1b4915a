/** Completions of a query while it is typed: field names, and values of the field before the cursor. Tested in completion.test.ts. */
import { completedFields } from '#schemas/api/recordings/find.js';
import { fieldFacts, isSearchField, searchFields } from '#schemas/search/fields.js';
import type { SearchField } from '#schemas/search/fields.js';

export type Completion =
  /** `from`: offset at which the typed part begins; it is replaced up to the cursor. */
  | { readonly kind: 'field'; readonly prefix: string; readonly from: number }
  | { readonly kind: 'value'; readonly field: SearchField; readonly prefix: string; readonly from: number };

export interface Suggestion {
  /** The replacement for the typed part. */
  readonly text: string;
  readonly label: string;
  readonly note: string;
}

export function completionAt(query: string, cursor: number): Completion | null {
  const before = query.slice(0, cursor);
  const word = /(?:^|[\s(])(-?)([^\s()"]*)$/.exec(before);
  if (word === null) return null;
  const typed = word[2]!;
  const colon = typed.indexOf(':');
  if (colon < 0) return /^[a-z]{1,12}$/.test(typed) ? { kind: 'field', prefix: typed, from: cursor - typed.length } : null;
  const field = typed.slice(0, colon).toLowerCase();
  if (!isSearchField(field)) return null;
  const prefix = typed.slice(colon + 1);
  return { kind: 'value', field, prefix, from: cursor - prefix.length };
}

/** Suggestions that need no request. Null: ask the server for values. */
export function knownSuggestions(completion: Completion): readonly Suggestion[] | null {
  if (completion.kind === 'field')
    return (Object.keys(searchFields) as SearchField[])
      .filter((name) => name.startsWith(completion.prefix))
      .map((name) => ({ text: `${name}:`, label: `${name}:`, note: fieldFacts(name).text }));
  const { choices, takes, example } = fieldFacts(completion.field);
  if (choices !== undefined)
    return choices
      .filter((choice) => choice.startsWith(completion.prefix.toLowerCase()))
      .map((choice) => ({ text: choice, label: choice, note: '' }));
  if (completion.field === 'during' && completion.prefix.includes('..')) return endsOf(completion.prefix);
  if (takes === 'moment')
    return ['today', 'yesterday', '1h', '24h', '7d', '30d']
      .filter((moment) => moment.startsWith(completion.prefix))
      .map((moment) => ({
        text: moment,
        label: moment,
        note: /\d/.test(moment) ? (completion.field === 'during' ? 'since then' : 'that long ago') : '',
      }));
  if ((completedFields as readonly string[]).includes(completion.field)) return null;
  return completion.prefix === '' ? [{ text: '', label: example, note: fieldFacts(completion.field).text }] : [];
}

/** Possible ends of an unfinished span: `2026-03-01..`. */
function endsOf(prefix: string): readonly Suggestion[] {
  const begun = prefix.slice(0, prefix.indexOf('..') + 2);
  return ['now', 'today', 'yesterday', '1h', '24h']
    .map((end) => ({ text: `${begun}${end}`, label: `${begun}${end}`, note: /\d/.test(end) ? 'up to that long ago' : '' }))
    .filter(({ text }) => text.startsWith(prefix));
}

/** A value as it must be written in a query. */
export function writtenValue(value: string): string {
  return /^[^\s()"\\*/:-][^\s()"\\*]*$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`;
}

export function applied(
  query: string,
  cursor: number,
  { from }: Completion,
  { text }: Suggestion,
): { readonly query: string; readonly cursor: number } {
  const whole = text.endsWith(':') || text === '' ? text : `${text} `;
  const rest = query.slice(cursor).replace(/^[^\s()]*\s?/, '');
  return { query: `${query.slice(0, from)}${whole}${rest}`, cursor: from + whole.length };
}
