/**
 * What Sigma calls a log source, on Steno's events: which rows belong to it, and where its fields are. The tables are
 * `linux.ts` and `auditd.ts`; docs/rules.md shows them to people, and a test compares the two. Tested in sources.test.ts.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import type { Field } from '../predicate/field.js';
import type { Predicate } from '../predicate/predicate.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import { all, any, test } from '../predicate/predicate.js';

export interface Source {
  readonly name: string;
  readonly kinds: readonly EventKind[];
  readonly selects: Predicate<Field>;
  readonly fields: Readonly<Record<string, SourceField>>;
  /** Where keywords are searched for; none: rows have no text that stands for a whole line of a log. */
  readonly keywords: readonly Field[];
}

export type SourceField =
  | Field
  /** One of a few texts, each where its condition holds. Rows tell of no other value, so a rule that asks for one is not evaluable. */
  | { readonly kind: 'cases'; readonly of: readonly { readonly text: string; readonly when: Predicate<Field> }[] };

export const text = (column: Extract<Field, { kind: 'text' }>['column']): Field => ({ kind: 'text', column });
export const other = (what: 'path' | 'command'): Field => ({ kind: 'other', what });
export const normalCommand: Field = { kind: 'derived', what: 'normalCommand' };
export const port: Field = { kind: 'number', column: 'port' };
export const data = (type: 'text' | 'number', ...path: readonly (string | number)[]): Field => ({ kind: 'data', path, type });

/** Of the session that an event belongs to, for correlations to group by: these are facts of Steno, and no log has them. */
export const session: Readonly<Record<string, SourceField>> = {
  SessionId: text('session'),
  SessionUser: text('user'),
  SessionLogin: text('login'),
};

export function is(field: Field, value: string): Predicate<Field> {
  return test(field, { kind: 'pattern', pattern: patternOf([value]), cased: true });
}

export function contains(field: Field, value: string): Predicate<Field> {
  return test(field, { kind: 'pattern', pattern: patternOf([ANY, value, ANY]), cased: true });
}

/** Events of a node's kernel, of one kind. */
export function kernel(kind: EventKind, ...further: readonly Predicate<Field>[]): Predicate<Field> {
  return all([is(text('kind'), kind), is(text('source'), 'kernel'), ...further]);
}

export function oneOf(field: Field, values: readonly string[]): Predicate<Field> {
  return any(values.map((value) => is(field, value)));
}
