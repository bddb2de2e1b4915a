/**
 * A Sigma log source, defined on Steno's events: which rows belong to it, and where its fields are. The tables are `linux.ts` and
 * `auditd.ts`; docs/rules.md documents them, and a test compares the two. Tested in sources.test.ts.
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
  /** Fields in which keywords are searched; if there are none, rows have no text that represents a whole log line. */
  readonly keywords: readonly Field[];
}

export type SourceField =
  | Field
  /**
   * One of a few texts, each with the condition under which it applies. Rows contain no other value, so a rule that tests for one
   * cannot be evaluated.
   */
  | { readonly kind: 'cases'; readonly of: readonly { readonly text: string; readonly when: Predicate<Field> }[] };

export const text = (column: Extract<Field, { kind: 'text' }>['column']): Field => ({ kind: 'text', column });
export const other = (what: 'path' | 'command'): Field => ({ kind: 'other', what });
export const normalCommand: Field = { kind: 'derived', what: 'normalCommand' };
export const port: Field = { kind: 'number', column: 'port' };
export const data = (type: 'text' | 'number', ...path: readonly (string | number)[]): Field => ({ kind: 'data', path, type });

/** Fields of the event's session, by which correlations can group: these are facts of Steno that no log contains. */
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

/** Kernel events of a node, of one kind. */
export function kernel(kind: EventKind, ...further: readonly Predicate<Field>[]): Predicate<Field> {
  return all([is(text('kind'), kind), is(text('source'), 'kernel'), ...further]);
}

export function oneOf(field: Field, values: readonly string[]): Predicate<Field> {
  return any(values.map((value) => is(field, value)));
}
