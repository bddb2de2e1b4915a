/**
 * A row of `events` as an author of rules describes it: by the fields of the rule's log source. The row is made so that the source takes
 * it, then each field is written where the source has it. Tested in cases.test.ts.
 */
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Field } from '../predicate/field.js';
import { shapeOf } from '../predicate/pattern.js';
import type { Predicate } from '../predicate/predicate.js';
import type { Source } from '../sources/source.js';

export type ExampleValue = string | number | boolean;

interface Draft {
  readonly columns: Record<string, unknown>;
  readonly data: Record<string, unknown>;
}

/** What is wrong with the example, for people. */
export class ExampleError extends Error {}

export function exampleRow(source: Source, fields: Readonly<Record<string, ExampleValue>>): EventRow {
  const draft: Draft = { columns: {}, data: {} };
  satisfy(draft, source.selects);
  for (const [name, value] of Object.entries(fields)) {
    const field = Object.hasOwn(source.fields, name) ? source.fields[name]! : undefined;
    if (field === undefined) throw new ExampleError(`there is no field ${name} of ${source.name}`);
    if (field.kind !== 'cases') {
      write(draft, field, String(value));
      continue;
    }
    const known = field.of.find(({ text }) => text.toLowerCase() === String(value).toLowerCase());
    if (known === undefined) throw new ExampleError(`${name} of ${source.name} is one of ${field.of.map(({ text }) => text).join(', ')}`);
    satisfy(draft, known.when);
  }
  return {
    session: '',
    source: 'kernel',
    emitter: 'agent/example',
    block: 0,
    index: 0,
    at: 0,
    offset_ms: 0,
    kind: source.kinds[0]!,
    user: '',
    node: '',
    login: '',
    ...noFacts,
    ...draft.columns,
    data: JSON.stringify(draft.data),
  };
}

/** Writes what makes the predicate hold: the first branch of an `any`, the text of a pattern. What must not be is left as it is. */
function satisfy(draft: Draft, predicate: Predicate<Field>): void {
  switch (predicate.kind) {
    case 'all':
      for (const part of predicate.of) satisfy(draft, part);
      return;
    case 'any':
      satisfy(draft, predicate.of[0]!);
      return;
    case 'test': {
      const shape = predicate.test.kind === 'pattern' ? shapeOf(predicate.test.pattern) : null;
      if (shape !== null && 'text' in shape) write(draft, predicate.field, shape.text);
      return;
    }
    default:
  }
}

function write(draft: Draft, field: Field, text: string): void {
  switch (field.kind) {
    case 'text':
      draft.columns[field.column] =
        field.before !== undefined && text.startsWith(field.before) ? text.slice(field.before.length).toLowerCase() : text;
      return;
    case 'number':
      draft.columns[field.column] = numberOf(text);
      return;
    case 'data':
      put(draft.data, field.path, field.type === 'number' ? numberOf(text) : text);
  }
}

function numberOf(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new ExampleError(`${JSON.stringify(text)} is no whole number`);
  return number;
}

function put(into: Record<string, unknown>, path: readonly (string | number)[], value: unknown): void {
  const [name, place] = path as readonly [string, number?];
  if (place === undefined) {
    into[name] = value;
    return;
  }
  const list = (into[name] ??= []) as unknown[];
  while (list.length <= place) list.push('');
  list[place] = value;
}
