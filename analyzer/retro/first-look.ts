/**
 * Finds the rows that any of many rules could match, in one pass of ClickHouse: the rules' literals (../matching/triggers.ts) become
 * expressions of `multiMatchAny`, which reads a text once regardless of their number. The rules are then decided for the rows that
 * contain a literal.
 *
 * `multiSearchAnyCaseInsensitive` is no substitute: its time grows with the number of needles. Letters are folded by `lower`, as
 * everywhere in rules. Tested in hunt.test.ts, where every rule is also decided without a first look.
 *
 * A field inside `data` is searched for in the JSON text. A writer may escape any character there (`\u0073`), so a row with such an
 * escape counts as a candidate, whatever else is in it.
 */
import { literal } from '#stores/events/queries/visible.js';
import type { Field } from '../predicate/field.js';
import type { Predicate } from '../predicate/predicate.js';
import { triggersOf } from '../matching/triggers.js';
import { asksForOther, loosened } from './loosened.js';

export interface FirstLook {
  /** The rules about which this look says nothing. */
  readonly unknown: readonly number[];
  /** A condition under which some rule that is not `unknown` could match. */
  readonly any: string;
}

const ESCAPED = "multiSearchAny(data, ['\\\\u', '\\\\/'])";

export function firstLook(rules: readonly { readonly number: number; readonly predicate: Predicate<Field> }[]): FirstLook {
  const columns = new Map<string, Set<string>>();
  const unknown: number[] = [];
  for (const { number, predicate } of rules) {
    const own = ownSigns(predicate);
    if (own === null) unknown.push(number);
    for (const { column, expression } of own ?? []) {
      const signs = columns.get(column) ?? new Set();
      columns.set(column, signs);
      signs.add(expression);
    }
  }
  const conditions: string[] = [];
  for (const [column, expressions] of columns) {
    conditions.push(`multiMatchAny(lower(${column}), [${[...expressions].map(literal).join(', ')}])`);
    if (column === 'data') conditions.push(ESCAPED);
  }
  return { unknown, any: conditions.length === 0 ? 'false' : `(${conditions.join(' OR ')})` };
}

/** Literals of which at least one is in every row that the rule matches. Null: there are none. */
function ownSigns(predicate: Predicate<Field>): readonly { readonly column: string; readonly expression: string }[] | null {
  // The kind of a row is tested separately, and every number is a short text.
  const visible = loosened(
    predicate,
    (one) =>
      !asksForOther(one) &&
      one.field.kind !== 'number' &&
      !(one.field.kind === 'text' && one.field.column === 'kind') &&
      !(one.field.kind === 'data' && (one.field.type === 'number' || plainPieces(one) === null)),
  );
  const triggers = triggersOf(visible);
  if (triggers === null) return null;
  const found: { column: string; expression: string }[] = [];
  for (const { field, text, start, end } of triggers) {
    if (field.kind === 'text') {
      const { before } = field;
      // The column does not contain the prefix that the field adds.
      const own = before === undefined ? text : withoutBefore(text, before.toLowerCase());
      if (own === null) return null;
      found.push({ column: field.column, expression: `${start ? '^' : ''}${escaped(own)}${end ? '$' : ''}` });
    } else if (field.kind === 'data') {
      const piece = plainPiece(text);
      if (piece === null) return null;
      // Quotes around a text are written as they are; only those inside it are escaped.
      const isWhole = field.type === 'text' && piece === text;
      found.push({ column: 'data', expression: `${isWhole && start ? '"' : ''}${escaped(piece)}${isWhole && end ? '"' : ''}` });
    } else return null;
  }
  return found;
}

function withoutBefore(text: string, before: string): string | null {
  return text.startsWith(before) && text.length > before.length ? text.slice(before.length) : null;
}

function plainPieces({ test }: Extract<Predicate<Field>, { kind: 'test' }>): string | null {
  const triggers = triggersOf({ kind: 'test', field: { kind: 'text', column: 'name' }, test });
  return triggers === null || triggers.length === 0 ? null : plainPiece(triggers[0]!.text);
}

/** The longest part that JSON writes unescaped, unless the writer escapes more than necessary. */
function plainPiece(text: string): string | null {
  const [longest = ''] = text.split(/[^ !#-.0-[\]-~]+/).toSorted((a, b) => b.length - a.length);
  return longest.length < 2 ? null : longest;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&').replace(/\n/g, '\\n');
}
