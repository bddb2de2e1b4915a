/**
 * Which of many rules could match a row, asked of ClickHouse in one pass for all of them: each rule's literals (../matching/triggers.ts)
 * become expressions of `multiMatchAllIndices`, which reads a text once however many there are. Only the rules whose literals are
 * there are then decided for the row.
 *
 * `multiSearchAnyCaseInsensitive` is no substitute: its time grows with the number of needles. Letters are folded by `lower`, as
 * everywhere in rules. Tested in hunt.test.ts, where every rule is also decided without a first look.
 *
 * A field inside of `data` is looked for in its JSON text. A writer may escape any character there (`\u0073`), so a row with such an
 * escape counts as a candidate, whatever else is in it.
 */
import { literal } from '#stores/events/queries/visible.js';
import type { Field } from '../predicate/field.js';
import type { Predicate } from '../predicate/predicate.js';
import { triggersOf } from '../matching/triggers.js';
import { asksForOther, loosened } from './loosened.js';

export interface FirstLook {
  /** Of the rules: those that a look can tell nothing of. */
  readonly unknown: readonly number[];
  /** A condition: a rule that is not `unknown` could match. */
  readonly any: string;
  /** An array of signs that are there. */
  readonly signs: string;
  /** The rule of each sign, the first for sign 1. A rule has a sign for each column that it is looked for in. */
  readonly ruleOf: readonly number[];
}

const ESCAPED = "multiSearchAny(data, ['\\\\u', '\\\\/'])";

export function firstLook(rules: readonly { readonly number: number; readonly predicate: Predicate<Field> }[]): FirstLook {
  const columns = new Map<string, { readonly rule: number; readonly expression: string }[]>();
  const unknown: number[] = [];
  for (const { number, predicate } of rules) {
    const own = ownSigns(predicate);
    if (own === null) unknown.push(number);
    for (const { column, expression } of own ?? []) {
      const signs = columns.get(column) ?? [];
      columns.set(column, signs);
      if (!signs.some((known) => known.rule === number && known.expression === expression)) signs.push({ rule: number, expression });
    }
  }
  const ruleOf: number[] = [];
  const conditions: string[] = [];
  const signs: string[] = [];
  for (const [column, expressions] of columns) {
    // A literal stands here once for each rule: a table from literals to rules would be built anew for every row.
    const list = `[${expressions.map(({ expression }) => literal(expression)).join(', ')}]`;
    conditions.push(
      `multiMatchAny(lower(${column}), [${[...new Set(expressions.map(({ expression }) => literal(expression)))].join(', ')}])`,
    );
    signs.push(`arrayMap(sign -> sign + ${ruleOf.length}, multiMatchAllIndices(lower(${column}), ${list}))`);
    if (column === 'data') {
      const all = `[${expressions.map((_, i) => ruleOf.length + 1 + i).join(', ')}]`;
      conditions.push(ESCAPED);
      signs.push(`if(${ESCAPED}, ${all}, [])`);
    }
    ruleOf.push(...expressions.map(({ rule }) => rule));
  }
  return {
    unknown,
    any: conditions.length === 0 ? 'false' : `(${conditions.join(' OR ')})`,
    signs: signs.length === 1 ? signs[0]! : `arrayConcat(${['[]', ...signs].join(', ')})`,
    ruleOf,
  };
}

/** Of which at least one is in every row that the rule matches. Null: there are none. */
function ownSigns(predicate: Predicate<Field>): readonly { readonly column: string; readonly expression: string }[] | null {
  // The kind of a row is asked for by itself, and every number is a short text.
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
  for (const { field, text } of triggers) {
    if (field.kind === 'text') {
      const { before } = field;
      // What is put in front of the column is not in it.
      const own = before === undefined ? text : withoutBefore(text, before.toLowerCase());
      if (own === null) return null;
      found.push({ column: field.column, expression: escaped(own) });
    } else if (field.kind === 'data') {
      const piece = plainPiece(text);
      if (piece === null) return null;
      found.push({ column: 'data', expression: escaped(piece) });
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

/** The longest part that JSON writes as it is, unless it escapes what it need not. */
function plainPiece(text: string): string | null {
  const [longest = ''] = text.split(/[^ !#-.0-[\]-~]+/).toSorted((a, b) => b.length - a.length);
  return longest.length < 2 ? null : longest;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&').replace(/\n/g, '\\n');
}
